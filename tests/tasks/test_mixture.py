"""Several tasks in one run: what is drawn, who judges, what is measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.config.shorthand import expand
from r1zero.tasks.build import build_task
from rewards import Outcome

ROOT = Path(__file__).parents[2]
MIXED = expand(["task=[countdown_nano,arithmetic]"])
SIZES = ["task.parts.countdown_nano.num_train=40", "task.parts.arithmetic.num_train=90"]
SIZES += ["task.parts.countdown_nano.num_test=6", "task.parts.arithmetic.num_test=4"]


def test_rows_come_by_weight_and_are_judged_by_their_own_task(tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config(*MIXED, *SIZES, "task.weights.arithmetic=2")
    task = build_task(config, tokenizer)
    of_task = pd.Series([row["task"] for row in task.train])
    assert of_task.value_counts().to_dict() == {"arithmetic": 81, "countdown_nano": 40}
    assert len(set(map(tuple, task.train))) == 1  # the same columns in all rows
    assert config.reward.weights == {"solved": 1.0} and task.accuracy_judge == "solved"

    sums = next(row for row in task.train if row["task"] == "arithmetic")
    numbers = next(row for row in task.train if row["task"] == "countdown_nano")
    assert task.judges["solved"](sums["gold"], sums).outcome is Outcome.CORRECT
    assert task.judges["solved"](numbers["prefill"] + "12", numbers).outcome is not Outcome.CORRECT
    assert (sums["prefill"], numbers["prefill"]) == ("", "<think>\n")
    assert sums["nums"] is None and numbers["gold"] is None


def test_fewer_held_out_problems_are_of_all_tasks(tokenizer: PreTrainedTokenizerFast) -> None:
    task = build_task(compose_config(*MIXED, *SIZES, "task.num_test=5", "task.num_train=8"), tokenizer)
    assert [row["task"] for row in task.test] == ["countdown_nano", "arithmetic"] * 2 + ["countdown_nano"]
    assert len(task.train) == 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=mixture"], "name at least two tasks, task=.gsm8k,countdown."),
        ([*MIXED, "task.weights.gsm8k=2"], "task.weights.gsm8k: no such part; there are countdown_nano, arithmetic"),
        ([*MIXED, "task.weights.arithmetic=0"], "must be above 0; leave the task out instead"),
        ([*MIXED, "task.parts.arithmetic.num_trian=3"], "task.parts.arithmetic.num_trian"),
        ([*MIXED, "task.parts.arithmetic.template=no"], "task.parts.arithmetic.template = no: must be one of"),
        (expand(["task=[countdown,countdwn]"]), "countdwn"),
    ],
)
def test_what_cannot_be_mixed(overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        compose_config(*overrides)


def test_the_command_measures_each_task_and_goes_on(tmp_path: Path) -> None:
    """Two steps, the second resumed, and an evaluation of the run."""
    small = ["trainer.max_steps=2", "trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=1"]
    small += ["trainer.max_completion_length=8", "trainer.save_steps=1", "trainer.eval_steps=2", "eval.greedy=false"]

    def command(name: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"r1zero.{name}", *arguments],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    command("train", "task=[countdown_nano,arithmetic]", *SIZES, *small, "tracker=none", "hydra.run.dir=run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    names = ("mixture", "countdown_nano", "arithmetic")
    assert all(0 <= rows[step][f"eval/{name}/accuracy"] <= 1 for step in (0, 2) for name in names)
    judged = pd.read_parquet(tmp_path / "run" / "completions" / "train_00002.parquet")
    assert set(judged["solved/outcome"]) <= {outcome.name for outcome in Outcome}
    printed = command("evaluate", "run=run", "eval.greedy=false", "output=evaluated")
    assert [line.split()[0] for line in printed.splitlines() if "pass@1" in line] == [*names]
