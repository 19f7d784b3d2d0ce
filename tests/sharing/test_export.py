"""A run as a folder for others: the same model, a card that says what is known, and nothing half done."""

import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy import compose_config
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1zero import export
from r1zero.config.schema import ModelConfig
from r1zero.models.load import load_model
from r1zero.sharing import hub

WEIGHTS = Path(__file__).parents[2] / "r1zero" / "nano" / "weights"
PROMPT = "Numbers: 3 5 7 Target: 22 <think>\n"


def evaluation(step: int, accuracy: float, low: float, high: float) -> dict[str, Any]:
    key = "eval/countdown/accuracy"
    return {"step": step, key: accuracy, f"{key}_low": low, f"{key}_high": high, "reward": accuracy}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of 40 steps whose last model is the base with its first layer doubled."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(asdict(compose_config("trainer.learning_rate=1e-4"))))
    rows = [evaluation(0, 0.14, 0.11, 0.17), evaluation(20, 0.16, 0.13, 0.2), evaluation(40, 0.7, 0.66, 0.74)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = shlex.join(["/x/r1zero/train.py", "trainer.learning_rate=1e-4", "run_name=a b", "hydra.run.dir=/home/me"])
    (run / "environment.json").write_text(json.dumps({"python": "3.11.7", "torch": "2.13.0", "command": command}))
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(2)
    model.save_pretrained(run / "checkpoints" / "final")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(WEIGHTS / name, run / "checkpoints" / "final")
    shutil.copytree(WEIGHTS, run / "checkpoints" / "checkpoint-20")
    return run


def logits(folder: Path) -> torch.Tensor:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(PROMPT, return_tensors="pt")).logits.float()


def test_the_folder_holds_the_trained_model_and_its_card(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export.main([str(run_dir)])
    out = run_dir / "export"
    printed = capsys.readouterr().out
    assert f"serve      vllm serve {out}" in printed and f"transformers serve {out}" in printed
    assert torch.equal(logits(out), logits(run_dir / "checkpoints" / "final"))
    generation = json.loads((out / "generation_config.json").read_text())
    assert (generation["do_sample"], generation["temperature"], generation["top_k"]) == (True, 1.0, 0)
    assert (generation["max_new_tokens"], generation["eos_token_id"]) == (224, [2])
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert yaml.safe_load((out / "r1zero_config.yaml").read_text())["trainer"]["learning_rate"] == 1e-4
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "transformers" and "base_model" not in front and "license" not in front
    assert (
        "| accuracy, sampled | 14.0% | 70.0% | +56.0 points |\n| 95% interval | 11.0 to 17.0% | 66.0 to 74.0% |" in card
    )
    assert "The two intervals lie apart." in card
    assert "40 steps, seed 0" in card and "python 3.11.7, torch 2.13.0" in card
    assert "python -m r1zero.train trainer.learning_rate=1e-4 'run_name=a b'\n" in card  # and not where it was
    assert "{question} <think>\n" in card
    assert {path.name for path in run_dir.iterdir()} >= {"export"} and not list(run_dir.glob(".export-*"))


def test_nothing_is_replaced_unasked(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run_dir.parent / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"out = .*mine: is there already.*overwrite=true"):
        export.main([str(run_dir), f"out={out}"])
    assert (out / "notes.txt").read_text() == "mine"
    export.main([str(run_dir), f"out={out}", "overwrite=true", "dtype=bfloat16"])
    assert "(replaced)" in capsys.readouterr().out
    assert not (out / "notes.txt").exists()
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").dtype is torch.bfloat16
    assert [path.name for path in run_dir.parent.iterdir() if path.name.startswith(".export")] == []


def test_a_checkpoint_has_the_results_of_its_step(run_dir: Path) -> None:
    export.main([str(run_dir), "checkpoint=20"])
    card = (run_dir / "export" / "README.md").read_text()
    assert "| 14.0% | 16.0% | +2.0 points |" in card and "70.0%" not in card
    assert "The two intervals overlap" in card
    assert torch.equal(logits(run_dir / "export"), logits(WEIGHTS))


def test_an_adapter_is_merged(run_dir: Path) -> None:
    peft = pytest.importorskip("peft")
    config = compose_config("peft=lora")
    (run_dir / "config.yaml").write_text(yaml.safe_dump(asdict(config)))
    base = load_model(ModelConfig(name="nano", path="nano"))
    torch.manual_seed(0)
    adapted = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    )
    checkpoint = run_dir / "checkpoints" / "checkpoint-30"
    adapted.save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(WEIGHTS).save_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    with torch.no_grad():
        expected = adapted(**tokenizer(PROMPT, return_tensors="pt")).logits
    export.main([str(run_dir), "checkpoint=30"])
    torch.testing.assert_close(logits(run_dir / "export"), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected, logits(WEIGHTS), atol=0.1)
    assert "LoRA, rank 32, merged" in (run_dir / "export" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekpoint=1"], "chekpoint = 1: no such key. Did you mean 'checkpoint'?"),
        (["checkpoint=7"], r"checkpoint = 7: no model in .*This run has 20, final"),
        (["dtype=int4"], "dtype = int4: must be one of float32, bfloat16, float16"),
        (["gguf=true"], r"gguf: the (tokenizer is WordLevel|package gguf is not installed)"),
        (["another"], "give one run directory"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(run_dir: Path, arguments: list[str], message: str) -> None:
    before = sorted(run_dir.iterdir())
    with pytest.raises(SystemExit, match=message) as end:
        export.main([str(run_dir), *arguments])
    assert "\n" not in str(end.value)
    assert sorted(run_dir.iterdir()) == before


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="which does not exist"):
        export.main([str(tmp_path)])


def test_a_push_is_refused_before_the_work(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "get_token", lambda: None)
    with pytest.raises(SystemExit, match=r"push_to_hub = me/it: nobody is logged in\. Give `hf auth login`"):
        export.main([str(run_dir), "push_to_hub=me/it"])
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit, match="the Hub is out of reach"):
        export.main([str(run_dir), "push_to_hub=me/it"])
    with pytest.raises(SystemExit, match="push_to_hub = me/a/b"):
        export.main([str(run_dir), "push_to_hub=me/a/b"])
    assert not (run_dir / "export").exists()


class Hub:
    """What is asked of ``HfApi``."""

    pushed: list[tuple[str, Path, bool]]

    def whoami(self) -> dict[str, str]:
        return {"name": "me"}

    def create_repo(self, name: str, private: bool, exist_ok: bool) -> Any:
        self.private = private
        return type("Address", (), {"repo_id": name, "__str__": lambda _: f"https://hub/{name}"})()

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        if repo_id.endswith("full"):
            raise OSError("no space left on the Hub")
        Hub.pushed.append((repo_id, folder_path, self.private))


def test_a_push_names_the_repository_in_the_card(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Hub.pushed = []
    monkeypatch.setattr(hub, "HfApi", Hub)
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub, "go_offline_if_unreachable", lambda: None)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    export.main([str(run_dir), "push_to_hub=me/it", "private=true"])
    out = run_dir / "export"
    assert Hub.pushed == [("me/it", out, True)]
    assert 'from_pretrained("me/it")' in (out / "README.md").read_text()
    assert "hub        https://hub/me/it" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no space left.*The export is kept: `hf upload me/full"):
        export.main([str(run_dir), "push_to_hub=me/full", "overwrite=true"])
    assert (out / "README.md").is_file()


def test_a_base_model_and_a_data_set_of_the_hub_are_linked(run_dir: Path) -> None:
    from r1zero.sharing.card import front_matter

    config = compose_config("task=gsm8k", "reward=math", "model=qwen2_5_0_5b")
    front = front_matter(config)
    assert (front["base_model"], front["datasets"]) == ("Qwen/Qwen2.5-0.5B", ["openai/gsm8k"])
    local = replace(config, model=replace(config.model, path=str(run_dir)))
    assert "base_model" not in front_matter(local)
