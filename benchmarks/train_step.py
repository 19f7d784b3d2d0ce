"""Time of a training step: TRL's own ``GRPOTrainer`` against ours, on the same model, data, seed and batch.

``python -m benchmarks.train_step [--model DIR] [--rounds 3] [--steps 4] [key=value ...]``

The two run in processes of their own, one after the other in every round, so that both meet the same machine. A step is
everything from one optimizer step to the next: rollout, judging, forward, backward, update. The first step of a process
warms up and is left out. This is about time, not learning: the gradients are the same (tests/training/test_trainer.py),
the samples are not, since the two draw their random numbers differently. ``--same-kernels`` gives TRL what we set up on
a CPU (``r1zero/models/cpu.py``) too, and so shows the rest alone.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from hydra import compose, initialize_config_module
from tqdm import tqdm
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from r1zero.command_line import quiet
from r1zero.config.compose import register_schema, resolve
from r1zero.evaluating.accuracy import HeldOutAccuracy
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.flops import matmul_peak, model_flops
from r1zero.models.load import load_model, load_tokenizer
from r1zero.tasks.build import build_task
from r1zero.training.reward_functions import reward_functions
from r1zero.training.settings import grpo_config
from r1zero.training.trainer import R1ZeroTrainer
from r1zero.watching.tracking import Tracker

CONTENDERS = ("trl", "r1zero")


@dataclass(frozen=True)
class Measurement:
    """What one process measured.

    Attributes:
        step_s: Seconds of each step but the first.
        tokens: Completion tokens of all those steps.
        completions: Completions of all those steps.
        floor_s: Seconds that the arithmetic of all those steps would take at the measured matrix-product peak.
        peak_mb: Largest resident size of the process.
    """

    step_s: list[float]
    tokens: float
    completions: int
    floor_s: float
    peak_mb: float


class Stopwatch(TrainerCallback):
    """Notes when each optimizer step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        """Called by the trainer."""
        self.ends.append(time.perf_counter())


def measure(contender: str, model: str, steps: int, same_kernels: bool, overrides: list[str]) -> Measurement:
    """Train for ``steps`` + 1 steps in this process."""
    quiet()
    register_schema()
    fixed = [f"trainer.max_steps={steps + 1}", "trainer.eval_strategy=no", "trainer.eval_on_start=false"]
    with initialize_config_module(version_base="1.3", config_module="conf"):
        config = resolve(compose("train", overrides=[f"model.path={model}", "tracker=none", *fixed, *overrides]))
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        args = grpo_config(config, run_dir)
        tokenizer, policy = load_tokenizer(config.model), load_model(config.model)
        task = build_task(config, tokenizer)
        if same_kernels or contender == "r1zero":
            speed_up_cpu(policy, config.model)
        if contender == "trl":
            functions, args.reward_weights = reward_functions(task, config.reward.weights)
            trainer = GRPOTrainer(
                model=policy,
                reward_funcs=[*functions],
                args=args,
                train_dataset=Dataset.from_list(task.train),
                processing_class=tokenizer,
            )
            trainer.remove_callback(PrinterCallback)
        else:
            tracker = Tracker(config, run_dir, args.max_steps)
            held_out = HeldOutAccuracy(task, config.eval, config.seed)
            trainer = R1ZeroTrainer(config, args, task, held_out, policy, tokenizer, run_dir, tracker)
        trainer.add_callback(stopwatch)
        trainer.train()
    lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    prompt = round(statistics.mean(len(tokenizer(row["prompt"])["input_ids"]) for row in task.train[:100]))
    floor = floor_s(policy, args, prompt, [round(length) for length in lengths[1:]])
    return Measurement(
        step_s=[end - start for start, end in zip(stopwatch.ends, stopwatch.ends[1:], strict=False)],
        tokens=sum(lengths[1:]) * args.generation_batch_size,
        completions=len(lengths[1:]) * args.generation_batch_size,
        floor_s=floor,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def floor_s(model: PreTrainedModel, args: GRPOConfig, prompt: int, lengths: list[int]) -> float:
    """Seconds of the arithmetic that rollouts and updates of all rows need, at the measured matrix-product peak.

    From the mean lengths of the prompts and of each step's completions, in tokens.
    """
    flops, rows = model_flops(model), args.generation_batch_size
    total = 0
    for length in lengths:
        spans = [(prompt, length)] * rows
        total += flops.rollout([prompt] * (rows // args.num_generations), spans) + 3 * flops.forward(spans)
    return total / matmul_peak(model.device, torch.bfloat16 if args.bf16 else model.dtype)


def device_name() -> str:
    """The accelerator's name, or the CPU's kind."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu ({platform.machine()})"


def in_process_of_its_own(contender: str, arguments: argparse.Namespace) -> Measurement:
    """``measure`` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.train_step", "--one", contender, "--model", arguments.model]
    command += ["--steps", str(arguments.steps), *["--same-kernels"] * arguments.same_kernels, *arguments.overrides]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{contender} failed:\n{result.stderr[-3000:]}")
    return Measurement(**json.loads(result.stdout.splitlines()[-1]))


def compare(arguments: argparse.Namespace) -> dict[str, object]:
    """All rounds, as the object that is written to ``--out``."""
    measured: dict[str, list[Measurement]] = {name: [] for name in CONTENDERS}
    for _ in tqdm(range(arguments.rounds), desc="rounds"):
        for name in CONTENDERS:
            measured[name].append(in_process_of_its_own(name, arguments))
    ratios = [
        statistics.mean(theirs.step_s) / statistics.mean(ours.step_s)
        for theirs, ours in zip(measured["trl"], measured["r1zero"], strict=True)
    ]
    contenders = {
        name: {
            "median_step_s": statistics.median(second for one in all_of_it for second in one.step_s),
            "tokens_per_s": sum(one.tokens for one in all_of_it) / sum(sum(one.step_s) for one in all_of_it),
            "mean_length": sum(one.tokens for one in all_of_it) / sum(one.completions for one in all_of_it),
            "floor_share": sum(one.floor_s for one in all_of_it) / sum(sum(one.step_s) for one in all_of_it),
            "peak_mb": max(one.peak_mb for one in all_of_it),
        }
        for name, all_of_it in measured.items()
    }
    return {
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "model": arguments.model,
        "overrides": arguments.overrides,
        "same_kernels": arguments.same_kernels,
        "contenders": contenders,
        "ratios": ratios,
    }


def main() -> None:
    """Parse the command line, measure, print the table and the headline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="nano, a folder or a Hub name; a trained one writes longer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each contender in each round")
    parser.add_argument("--same-kernels", action="store_true", help="give TRL our set-up of the CPU too")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="config overrides, as for r1zero.train")
    arguments = parser.parse_args()
    if arguments.one:
        one = measure(arguments.one, arguments.model, arguments.steps, arguments.same_kernels, arguments.overrides)
        sys.stdout.write(json.dumps(vars(one)) + "\n")
        return
    result = compare(arguments)
    lines = [f"{'':8} {'median step':>12} {'tokens/s':>10} {'mean length':>12} {'floor/step':>11} {'peak memory':>12}"]
    for name, row in result["contenders"].items():
        lines.append(
            f"{name:8} {row['median_step_s']:>10.2f} s {row['tokens_per_s']:>10,.0f} {row['mean_length']:>12.1f}"
            f" {row['floor_share']:>11.1%} {row['peak_mb']:>9,.0f} MB"
        )
    ratios = sorted(result["ratios"])
    lines.append(f"ratio step_time: {statistics.median(ratios):.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})")
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
