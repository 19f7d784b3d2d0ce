"""The README's commands for a model, rows and a judge of one's own, run as they are written, in another folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your model, your rows, your judge")[2]
COMMANDS = re.findall(r"^r1zero (train [^#\n]*?) *(?:#.*)?$", SECTION.partition("\n## ")[0], re.MULTILINE)
SMALL = [
    "trainer.max_steps=2", "trainer.max_completion_length=8", "trainer.gradient_accumulation_steps=1",
    "trainer.per_device_train_batch_size=8", "task.num_test=4", "eval.greedy=false", "tracker=none",
    "hydra.run.dir=run",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a model of another family of tokenizers, rows, and a judge."""
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokens.train_from_iterator([], trainers.BpeTrainer(special_tokens=["<end>"], initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="<end>")
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path / "my_model")
    tokenizer.save_pretrained(tmp_path / "my_model")
    rows = [{"question": f"What is {number} + 2?", "answer": number + 2} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my_module.py").write_text("def my_judge(text, row):\n    return len(text) / 100\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_trains(folder: Path, command: str) -> None:
    words = shlex.split(command.replace("FOLDER_OR_HUB_NAME", "my_model"))
    done = subprocess.run(
        [sys.executable, "-m", "r1zero", *words, *SMALL],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "run" / "report.html").is_file()
    named = "my_model" if "model=" in command else "nano"
    assert f"-{named}-seed0" in done.stderr + done.stdout


def test_there_are_such_commands() -> None:
    assert len(COMMANDS) == 4
