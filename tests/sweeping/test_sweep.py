"""Sweeps: what a job does is read from its directory, so nothing that ends a sweep loses any of it.

These tests put a stand-in for the training behind the real command.
"""

import fcntl
import json
import logging
import math
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from r1zero import report, train
from r1zero.config.compose import register_schema
from r1zero.measuring.statistics import sampling_spread, t_interval
from r1zero.runs.directory import write_status
from r1zero.sweeping import jobs as sweep
from r1zero.sweeping import report as sweep_report
from r1zero.sweeping.callback import swept_choices, with_sweep_dir
from r1zero.sweeping.conclusions import headline, sentences
from r1zero.sweeping.jobs import reason
from r1zero.sweeping.results import Setting, load_sweep, settings_of

ROOT = Path(__file__).parents[2]
SWEPT = ["reward.weights.format=0,0.5", "seed=0,1,2"]


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Hydra sets up logging on the standard output of the moment, which pytest closes after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Stand:
    """Stands in for ``launch``: a job ends at once, as ``ends`` says, with an accuracy by its weight and seed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.configs: dict[str, Any] = {}
        self.ends: dict[str, Callable[[Path, Path], int]] = {}
        self.num_problems: int | None = 10_000
        self.by_seed = 0.01

    def __call__(self, config: Any, run_dir: Path, log_file: Path, variables: dict[str, str]) -> int:
        self.calls.append((run_dir.name, variables))
        self.configs[run_dir.name] = config
        if run_dir.name in self.ends:
            return self.ends[run_dir.name](run_dir, log_file)
        return self.finish(run_dir, config)

    def finish(self, run_dir: Path, config: Any) -> int:
        weight, seed = config.reward.weights.get("format", 0.0), config.seed
        rows = [
            {"step": 0, "eval/countdown/accuracy": 0.1},
            {
                "step": 2,
                "eval/countdown/accuracy": 0.4 + weight / 5 + seed * self.by_seed,
                "eval/countdown/mean_length": 30.0,
            }
            | {"eval/countdown/behaviour/tries": 2 + weight, "eval/countdown/truncated": 0.0}
            | {"eval/countdown/num_problems": self.num_problems},
        ]
        (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        write_status(run_dir, "finished", 2)
        return 0


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, logging_restored: None) -> Stand:
    stand = Stand()
    monkeypatch.setattr(sweep, "launch", stand)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return stand


def run_sweep(monkeypatch: pytest.MonkeyPatch, path: Path, *arguments: str) -> None:
    command = ["train.py", "-m", *arguments, "tracker=none", f"hydra.sweep.dir={path}"]
    monkeypatch.setattr(sys, "argv", command)
    train.main()


def fails(message: str, code: int = 1) -> Callable[[Path, Path], int]:
    def end(run_dir: Path, log_file: Path) -> int:
        with log_file.open("a") as file:
            file.write(f"loading\n{message}\n")
        return code

    return end


def test_a_sweep_ends_in_a_table_and_a_sentence(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sweep(monkeypatch, tmp_path / "nine", *SWEPT)
    table = pd.read_csv(tmp_path / "nine" / "sweep.csv")
    assert list(table["job"]) == list(range(6))
    assert set(table["status"]) == {"finished"}
    assert table[["reward.weights.format", "seed"]].to_numpy().tolist() == [[w, s] for w in (0, 0.5) for s in (0, 1, 2)]
    assert table["accuracy"].tolist() == pytest.approx([0.40, 0.41, 0.42, 0.50, 0.51, 0.52])
    printed = capsys.readouterr().out
    assert "[5 finished, 1 waiting of 6]" in printed
    # The mean of 0.50 0.51 0.52 has sd 0.01, so the interval is 4.303 * 0.01 / sqrt(3) = 0.0248 to either side.
    # Differences are 0.1 at each seed, so their sd is what sampling alone gives on 10,000 problems each:
    # sqrt(0.41 * 0.59 / 10004 + 0.51 * 0.49 / 10004) = 0.0070, and t = 0.1 / (0.0070 / sqrt 3) = 24.7.
    assert "reward.weights.format=0.5 is ahead by more than seed noise: 51.0% against 41.0%, 3 seeds each." in printed
    assert "Highest mean: reward.weights.format=0.5, accuracy 51.0% over 3 seeds." in printed
    assert "48.5 to 53.5%" in printed
    assert (
        "+10.0 points over 3 seeds, more than seed noise (95% interval +8.3 to +11.7, paired t-test, p = 0.002)"
        in printed
    )
    assert "python -m r1zero.train tracker=none reward.weights.format=0.5 seed=3" in printed
    page = (tmp_path / "nine" / "sweep.html").read_text()
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    before = (tmp_path / "nine" / "sweep.csv").read_bytes(), page
    report.main([str(tmp_path / "nine")])
    assert ((tmp_path / "nine" / "sweep.csv").read_bytes(), (tmp_path / "nine" / "sweep.html").read_text()) == before


def test_the_page_has_its_figures(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "reward.weights.format=0,0.5", "seed=0,1")
    page = (tmp_path / "s" / "sweep.html").read_text()
    # Length is 30 for all, so of the measures tries alone differ: accuracy, length and tries have two rows each.
    assert re.findall(r"<figcaption><b>(?:<button[^>]*>)?([^<]*)<", page) == [
        "Accuracy",
        "Learning curves",
        "Length, tokens",
        "Tries",
    ]
    assert page.count('<svg class="row"') == 6 and "<img" not in page
    assert page.count('class="single"') == 12
    report.main([str(tmp_path / "s")])
    assert (tmp_path / "s" / "sweep.html").read_text() == page


def test_no_difference_is_called_none(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten points apart at both of two seeds, on 32 problems: chance alone scatters a difference by 12 points."""
    stand.num_problems = 32
    run_sweep(monkeypatch, tmp_path / "s", "reward.weights.format=0,0.5", "seed=0,1")
    page = (tmp_path / "s" / "sweep.html").read_text()
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert headline.startswith("No difference beyond seed noise: 40.5% to 50.5%, 2 seeds each, p = 0.4")
    printed = capsys.readouterr().out
    for said in (page, printed):
        assert not re.search(r"\bbest\b", said.partition("</style>")[2] or said, re.IGNORECASE)
    assert "Two seeds hardly show how far seeds scatter" in printed


def test_two_equal_seeds_have_an_interval(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Seeds that agree are no certainty; where not even the number of problems is known, there is no interval."""
    for number, num_problems in enumerate((100, None)):
        stand.num_problems, stand.by_seed = num_problems, 0.0
        run_sweep(monkeypatch, tmp_path / str(number), "reward.weights.format=0.5", "seed=0,1")
        (setting,) = settings_of(load_sweep(tmp_path / str(number)))
        assert (setting.high - setting.low > 0.3) if num_problems else math.isnan(setting.high)


def settings_with(*accuracies: Sequence[float]) -> list[Setting]:
    """Settings on 512 problems, with these accuracies at seeds 0, 1, ..."""
    return [
        Setting(
            {"key": str(number)},
            {str(seed): value for seed, value in enumerate(values)},
            float(np.mean(values)),
            *t_interval(values),
            sampling_spread(float(np.mean(values)), 512),
            {},
            0,
        )
        for number, values in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ([], "Nothing has finished yet"),
        ([[0.5, 0.52]], "Accuracy 51.0% over 2 seeds"),
        ([[0.5], [0.6]], "Seed noise is not known: 50.0% to 60.0% over 2 settings, 1 seed each"),
        ([[0.5, 0.52, 0.54], [0.3, 0.31, 0.32]], "key=0 is ahead by more than seed noise: 52.0% against 31.0%"),
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], "No difference beyond seed noise: 50.0% to 50.0%, 3 seeds each, p = 1.00"),
        # 10 points at 3 seeds are seen on their own (p = 0.026), and not as the largest of 4 differences (p = 0.10).
        ([[0.5] * 3, [0.4] * 3], "key=0 is ahead by more than seed noise"),
        ([[0.5] * 3, *[[0.4] * 3] * 4], "No difference beyond seed noise: 40.0% to 50.0%, 3 seeds each, p = 0.1"),
        (
            [[0.5] * 3, [0.49] * 3, [0.1] * 3],
            "No difference beyond seed noise between the first 2 of 3 settings: 49.0% to 50.0%",
        ),
    ],
)
def test_the_headline_says_what_the_test_says(accuracies: list[list[float]], said: str) -> None:
    assert headline(settings_with(*accuracies)).startswith(said)


def test_jobs_are_named_by_what_is_swept_and_grouped_by_sweep(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(monkeypatch, tmp_path / "mine", *SWEPT)
    assert stand.configs["4"].run_name == "reward.weights.format=0.5,seed=1"
    assert {config.tracker.group for config in stand.configs.values()} == {"mine"}
    assert len({variables["WANDB_RUN_ID"] for _, variables in stand.calls}) == 6
    assert json.loads((tmp_path / "mine" / "sweep.json").read_text())["num_jobs"] == 6


def test_a_broken_job_leaves_the_others_and_a_clear_row(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand.ends["1"] = fails("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    stand.ends["4"] = fails("", 128 + signal.SIGKILL)
    run_sweep(monkeypatch, tmp_path / "s", *SWEPT)
    table = pd.read_csv(tmp_path / "s" / "sweep.csv", keep_default_na=False)
    assert table["status"].tolist() == ["finished", "failed", "finished", "finished", "failed", "finished"]
    assert table["error"][1].startswith("exit code 1: out of memory: torch.OutOfMemoryError")
    assert "SIGKILL" in table["error"][4]
    assert "seed" in capsys.readouterr().out
    first, second = settings_of(load_sweep(tmp_path / "s"))
    assert (list(first.accuracy), first.num_unfinished) == (["0", "2"], 1)
    assert list(second.accuracy) == ["0", "2"]
    # The same command again runs those two alone, as the same W&B runs where there is something to go on with.
    stand.ends.clear()
    done = len(stand.calls)
    run_sweep(monkeypatch, tmp_path / "s", *SWEPT)
    assert [name for name, _ in stand.calls[done:]] == ["1", "4"]
    assert set(pd.read_csv(tmp_path / "s" / "sweep.csv")["status"]) == {"finished"}
    assert dict(stand.calls[:done])["4"]["WANDB_RUN_ID"] == dict(stand.calls[done:])["4"]["WANDB_RUN_ID"]


def test_a_setting_that_cannot_work_fails_alone(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "trainer.num_generations=8,7", "+experiment=arithmetic_nano")
    table = pd.read_csv(tmp_path / "s" / "sweep.csv", keep_default_na=False)
    assert table["status"].tolist() == ["finished", "failed"]
    assert "trainer.num_generations = 7 does not divide" in table["error"][1]


def test_a_wish_to_stop_ends_the_sweep_and_is_no_failure(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand.ends["1"] = lambda run_dir, log_file: 130
    with pytest.raises(SystemExit) as stopped:
        run_sweep(monkeypatch, tmp_path / "s", *SWEPT)
    assert stopped.value.code == 130
    assert len(stand.calls) == 2
    assert load_sweep(tmp_path / "s").counts() == {"finished": 1, "interrupted": 1, "waiting": 4}
    stand.ends.clear()
    run_sweep(monkeypatch, tmp_path / "s", *SWEPT)
    assert load_sweep(tmp_path / "s").counts() == {"finished": 6}


def test_a_directory_belongs_to_one_sweep(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "seed=0,1")
    with pytest.raises(SystemExit, match="holds another sweep"):
        run_sweep(monkeypatch, tmp_path / "s", "seed=0,1,2")
    assert len(stand.calls) == 2


def test_the_experiment_file_brings_its_own_sweep(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "+experiment=sweep_reward_weights")
    found = load_sweep(tmp_path / "s")
    assert (found.swept, found.num_jobs, found.counts()) == (["reward.weights.format", "seed"], 9, {"finished": 9})
    assert [setting.name for setting in settings_of(found)] == [
        f"reward.weights.format={w}" for w in ("0", "0.1", "0.5")
    ]


def test_under_torchrun_no_rank_starts_the_sweep(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="starts the processes of its jobs itself"):
        run_sweep(monkeypatch, tmp_path / "s", "seed=0,1")
    assert not stand.calls


def test_a_job_that_another_process_runs_is_left_to_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "s" / "1").mkdir(parents=True)
    with (tmp_path / "s" / "1" / "job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_sweep(monkeypatch, tmp_path / "s", "seed=0,1,2")
    assert [name for name, _ in stand.calls] == ["0", "2"]


def test_whole_experiments_can_be_swept(stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "+experiment=sweep_reward_weights,arithmetic_nano", "seed=3")
    assert [setting.name for setting in settings_of(load_sweep(tmp_path / "s"))] == [
        "experiment=sweep_reward_weights",
        "experiment=arithmetic_nano",
    ]
    assert "r1zero.train seed=3 tracker=none +experiment=" in sweep_report.write_sweep_report(tmp_path / "s")[0]


def test_a_result_of_other_settings_is_not_taken_for_this_job(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "seed=0,1")
    job = tmp_path / "s" / "1" / "job.json"
    job.write_text(job.read_text().replace('"seed": "1"', '"seed": "7"'))
    found: list[float] = []
    run_job = sweep.run_job
    monkeypatch.setattr(sweep, "run_job", lambda composed: found.append(run_job(composed)) or found[-1])
    run_sweep(monkeypatch, tmp_path / "s", "seed=0,1")
    assert found == [0.4, float("-inf")]
    assert len(stand.calls) == 2


def test_the_same_command_finds_its_sweep_again() -> None:
    first = with_sweep_dir(["train", "-m", "seed=0,1", "trainer.max_steps=3"])[-1]
    assert first.startswith("hydra.sweep.dir=sweeps/seed-")
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert with_sweep_dir(["train", "--multirun", "seed=0,1", "trainer.max_steps=3", *parallel])[-1] == first
    assert with_sweep_dir(["train", "-m", "seed=0,1", "trainer.max_steps=4"])[-1] != first
    assert "sweeps/sweep_reward_weights-" in with_sweep_dir(["train", "-m", "+experiment=sweep_reward_weights"])[-1]
    for kept in (["train", "seed=0"], ["train", "-m", "seed=0,1", "hydra.sweep.dir=x"]):
        assert with_sweep_dir(kept) == kept


def test_what_is_swept() -> None:
    overrides = ["seed=range(3)", "reward.weights.format=0,0.1", "trainer.max_steps=3", "x='a,b'"]
    assert swept_choices(overrides) == {"seed": 3, "reward.weights.format": 2}
    assert swept_choices(["trainer.learning_rate=interval(1e-5,1e-3)"]) == {"trainer.learning_rate": 0}


def test_the_reason_is_the_last_error_of_this_attempt(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("ValueError: of the first attempt\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("KeyError: first\n\nDuring handling ...\nerror: task.source: no such file\n 50%|##   |\n")
    assert reason(log, start, 1) == "exit code 1: task.source: no such file"
    log.write_text("")
    assert reason(log, 0, 3) == "exit code 3: no message"


def test_without_seeds_nothing_is_said_about_noise(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_sweep(monkeypatch, tmp_path / "s", "reward.weights.format=0,0.1,0.5")
    text = " ".join(sentences(settings_of(load_sweep(tmp_path / "s"))))
    assert "cannot be told. Sweep over seeds" in text
    assert "The highest of 3 settings was picked by these same numbers" in text


@pytest.mark.parametrize(
    ("plugin", "overrides"),
    [
        ("hydra_submitit_launcher", ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=60"]),
        ("hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("hydra_optuna_sweeper", ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize"]),
    ],
)
def test_hydras_plugins_compose(plugin: str, overrides: list[str]) -> None:
    pytest.importorskip(f"hydra_plugins.{plugin}")
    from hydra import compose, initialize_config_module

    register_schema()
    with initialize_config_module(version_base="1.3", config_module="conf"):
        config = compose("train", overrides=overrides, return_hydra_config=True)
    assert plugin in str(config.hydra.launcher._target_) + str(config.hydra.sweeper._target_)
