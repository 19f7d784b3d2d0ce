"""Speed of rollouts: our decode loop against the model's ``generate``, as TRL calls it, continuous batching, and vLLM.

``python -m benchmarks.rollout [--model nano] [--rounds 3] [key=value ...]``   the embedded model on its own task
``python -m benchmarks.rollout --shapes 1m 10m 135m --rows 32 128``     random weights: how cost grows
``.venv-vllm/bin/python -m benchmarks.rollout --loops r1zero vllm --rows 64``     where vLLM is installed

All loops run in one process, one after the other in every round, on the same prompts and with what
``r1zero/models/cpu.py`` sets up on a CPU; it stays for the models that follow. Random weights draw tokens almost
evenly, so a completion ends at each token with the chance that gives ``--mean-tokens`` on average: lengths vary as in
training. Ratios are against the first of ``--loops``. vLLM takes over the weights in every call, as in training, and
starts in the round that warms up. A CPU second is one of one core; neighbours on the machine do not lengthen it.
``utilization`` is the arithmetic that the sampled tokens need over what the measured peak of a large matrix product
allows in that time: the distance to the floor.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from tqdm import tqdm
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config

from benchmarks.train_step import device_name
from r1zero.command_line import quiet
from r1zero.config.compose import register_schema, resolve
from r1zero.config.schema import ModelConfig
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.flops import matmul_peak, model_flops
from r1zero.models.load import load_model, load_tokenizer
from r1zero.models.tokens import encode
from r1zero.rollout.decode import decode
from r1zero.rollout.library_loops import generate, generate_continuously
from r1zero.rollout.loop import SampleRows
from r1zero.rollout.sampling import Sampling
from r1zero.rollout.vllm_engine import VLLMSettings, check_installed
from r1zero.rollout.vllm_loop import VLLMLoop
from r1zero.tasks.build import build_task

# Makes each loop, for one model.
LOOPS: dict[str, Callable[[], SampleRows]] = {
    "generate": lambda: generate,
    "continuous": lambda: generate_continuously,
    "r1zero": lambda: decode,
    "vllm": lambda: VLLMLoop(VLLMSettings(max_length=VLLM_MAX_LENGTH)).sample,
}
VLLM_MAX_LENGTH = 512  # prompt and completion, of all workloads here

# hidden size, layers, query heads, key-value heads, MLP size, vocabulary. 135m has the shape of SmolLM2-135M, the
# larger ones those of Qwen2.5 (their config.json on the Hub).
SHAPES = {
    "1m": (128, 4, 4, 1, 512, 225),
    "10m": (256, 8, 4, 4, 1024, 8192),
    "35m": (384, 12, 6, 3, 1536, 16384),
    "135m": (576, 30, 9, 3, 1536, 49152),
    "350m": (1024, 24, 16, 8, 3072, 49152),
    "0.5b": (896, 24, 14, 2, 4864, 151936),
    "1.5b": (1536, 28, 12, 2, 8960, 151936),
    "3b": (2048, 36, 16, 2, 11008, 151936),
}


@dataclass(frozen=True)
class Workload:
    """What is decoded: ``num_rows`` completions of ``prompts``, each ending with one of ``eos_ids``."""

    label: str
    model: PreTrainedModel
    prompts: list[list[int]]
    eos_ids: list[int]
    pad_id: int
    max_tokens: int


def task_workload(model: str, num_rows: int, overrides: list[str]) -> Workload:
    """The default task with its own prompts, groups of 8."""
    register_schema()
    with initialize_config_module(version_base="1.3", config_module="conf"):
        config = resolve(compose("train", overrides=[f"model.path={model}", "tracker=none", *overrides]))
    tokenizer = load_tokenizer(config.model)
    rows = build_task(config, tokenizer).train[: num_rows // 8]
    prompts = [encode(row["prompt"], tokenizer) for row in rows for _ in range(8)]
    loaded = load_model(config.model).eval()
    speed_up_cpu(loaded, config.model)
    label, max_tokens = f"{Path(model).name} x {len(prompts)}", config.trainer["max_completion_length"]
    return Workload(label, loaded, prompts, [tokenizer.eos_token_id], tokenizer.pad_token_id, max_tokens)


def random_workload(
    shape: str, num_rows: int, mean_tokens: int, max_tokens: int, device: torch.device, dtype: torch.dtype
) -> Workload:
    """Random weights; groups of 8 share a prompt of 32 to 128 tokens."""
    hidden, layers, heads, kv_heads, mlp, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": mlp,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }
    qwen = shape.endswith("b")
    with torch.device(device):
        model = (
            AutoModelForCausalLM.from_config(Qwen2Config(**sizes)) if qwen else LlamaForCausalLM(LlamaConfig(**sizes))
        )
    model = model.to(dtype).eval()
    speed_up_cpu(model, ModelConfig(name=shape))
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(32, 129, (num_rows // 8,), generator=generator).tolist()
    distinct = [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]
    prompts = [prompt for prompt in distinct for _ in range(8)]
    eos_ids = torch.randperm(vocabulary, generator=generator)[: max(1, vocabulary // mean_tokens)].tolist()
    label = f"{shape} x {len(prompts)}, {mean_tokens} of {max_tokens}"
    return Workload(label, model, prompts, eos_ids, eos_ids[0], max_tokens)


def measure(work: Workload, names: list[str], rounds: int, peak: float) -> dict[str, dict[str, float]]:
    """Figures of each loop: tokens/s as median and range over rounds, tokens per CPU second, and the utilization."""
    flops = model_flops(work.model)
    keys = [str(row) for row in range(len(work.prompts))]
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    loops = {name: LOOPS[name]() for name in names}
    for measured in tqdm(range(rounds + 1), desc=work.label, leave=False):
        for name in names:
            started, cpu_started = time.perf_counter(), time.process_time()
            done = loops[name](
                work.model, work.prompts, keys, Sampling(work.max_tokens), work.eos_ids, work.pad_id, max_rows=1024
            )
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
            if measured:  # the first round warms up
                spans = [(len(prompt), len(one.ids)) for prompt, one in zip(work.prompts, done, strict=True)]
                work_flops = flops.rollout([len(prompt) for prompt in set(map(tuple, work.prompts))], spans)
                tokens = sum(completion for _, completion in spans)
                seen[name].append((tokens / seconds, tokens / cpu_seconds, work_flops / seconds / peak))
    return {
        name: {
            "tokens_per_s": statistics.median(speed for speed, _, _ in rows),
            "slowest": min(speed for speed, _, _ in rows),
            "fastest": max(speed for speed, _, _ in rows),
            "tokens_per_cpu_s": statistics.median(speed for _, speed, _ in rows),
            "utilization": statistics.median(share for _, _, share in rows),
        }
        for name, rows in seen.items()
    }


def table(label: str, figures: dict[str, dict[str, float]]) -> list[str]:
    """One line a loop."""
    base = next(iter(figures.values()))["tokens_per_s"]
    return [
        f"{label:24} {name:11} {row['tokens_per_s']:>9,.0f} {row['slowest']:>9,.0f} to {row['fastest']:>7,.0f}"
        f" {row['tokens_per_cpu_s']:>9,.0f} {row['utilization']:>11.1%} {row['tokens_per_s'] / base:>8.2f} x"
        for name, row in figures.items()
    ]


def main() -> None:
    """Parse the command line, measure, print the table and the headline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="nano or a folder; ignored with --shapes")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, help="random weights of these shapes instead")
    parser.add_argument("--rows", nargs="+", type=int, default=[256], help="completions decoded at once, 8 a prompt")
    parser.add_argument("--mean-tokens", nargs="+", type=int, default=[64], help="mean length, with --shapes")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest completion, with --shapes")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="with --shapes")
    parser.add_argument("--loops", nargs="+", default=["generate", "r1zero"], choices=LOOPS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("overrides", nargs="*", help="config overrides, as for r1zero.train")
    arguments = parser.parse_args()
    if arguments.shapes and arguments.overrides:
        parser.error(f"{' '.join(arguments.overrides)}: random weights have no config; leave --shapes or these out.")
    quiet()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, arguments.dtype) if arguments.shapes else torch.float32
    if "vllm" in arguments.loops:
        check_installed()
    results = {}
    sys.stdout.write(f"{'':36} {'tokens/s':>9} {'range':>20} {'per CPU s':>9} {'utilization':>11} {'ratio':>10}\n")
    for rows in arguments.rows:
        for shape in arguments.shapes or [None]:
            for mean in arguments.mean_tokens if shape else [0]:
                if shape:
                    work = random_workload(shape, rows, mean, arguments.max_tokens, device, dtype)
                else:
                    work = task_workload(arguments.model, rows, arguments.overrides)
                peak = matmul_peak(device, dtype)
                results[work.label] = measure(work, arguments.loops, arguments.rounds, peak)
                sys.stdout.write("\n".join(table(work.label, results[work.label])) + "\n")
    ratios = [
        figures["r1zero"]["tokens_per_s"] / figures["generate"]["tokens_per_s"]
        for figures in results.values()
        if {"r1zero", "generate"} <= figures.keys()
    ]
    if ratios:
        sys.stdout.write(f"ratio rollout_tokens_per_s: {statistics.median(ratios):.2f}\n")
    if arguments.out:
        record = {"device": device_name(), "threads": torch.get_num_threads(), "peak_flops": peak, "results": results}
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
