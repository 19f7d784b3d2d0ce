"""Starting, watching and ending the ranks of a run."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from r1zero.launching import launch as launching
from r1zero.launching import placement
from r1zero.launching.launch import kill_group, signals_passed_on, wait_for
from r1zero.launching.placement import adopt_slurm, first_host, forget_accelerate, free_port, rank_environment

ROOT = Path(__file__).parents[2]
FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"


def process(code: str) -> subprocess.Popen[bytes]:
    """A stand-in for a rank; where it prints, it has come that far."""
    one = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    if "up" in code:
        assert one.stdout is not None
        one.stdout.readline()
    return one


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_AFTER_DEATH_S", 0.2)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["pass", "pass"], 0),
        (["raise SystemExit(3)", FOREVER], 3),
        ([DEAF, "import os; os.kill(os.getpid(), 9)"], 137),
        (["raise SystemExit(143)", "raise SystemExit(143)"], 143),
        (["raise SystemExit(130)", "pass"], 130),
    ],
)
def test_the_exit_code_of_a_run(codes: list[str], expected: int) -> None:
    ranks = [process(code) for code in codes]
    assert wait_for(ranks) == expected
    for one in ranks:
        kill_group(one)
        assert one.returncode is not None


def test_a_rank_that_stops_early_does_not_cut_the_saving_of_another() -> None:
    """After a SIGTERM, rank 1 has nothing to save and ends first."""
    ranks = [process("input(); raise SystemExit(143)"), process("raise SystemExit(143)")]
    ranks[1].wait()
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(wait_for(ranks)))
    thread.start()
    thread.join(timeout=4 * launching.GRACE_AFTER_DEATH_S)
    assert not done
    ranks[0].communicate(b"\n")
    thread.join()
    assert done == [143]


def test_signals_reach_every_rank() -> None:
    code = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *a: sys.exit(143)); {FOREVER}"
    ranks = [process(code), process(code)]
    before = signal.getsignal(signal.SIGTERM)
    with signals_passed_on(ranks):
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_for(ranks) == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_ranks_learn_the_run_directory_where_no_launcher_serves_the_store(tmp_path: Path) -> None:
    """Under SLURM and `deepspeed`, rank 0 serves it; it may have gone on when a slow rank asks."""
    said = tmp_path / "said"
    head = "import sys, time; from pathlib import Path; from r1zero.launching.placement import *; "
    codes = [
        f"{head}announce_run_dir(Path('/run')); Path({str(said)!r}).touch(); sys.stdin.read()",
        f"{head}store = shared_store()\nwhile not Path({str(said)!r}).exists(): time.sleep(0.1)\n"
        "time.sleep(0.5); print(announced_run_dir())",
    ]
    port = free_port()
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | rank_environment(index, 2, port),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, code in enumerate(codes)
    )
    try:
        output, errors = second.communicate(timeout=120)
        assert output == "/run\n", errors
    finally:
        for one in (first, second):
            one.kill()
            one.communicate()


def test_the_config_alone_decides_under_accelerate_launch() -> None:
    """Its --cpu turned DeepSpeed off without a word."""
    environment = {"ACCELERATE_USE_CPU": "True", "RANK": "0"}
    forget_accelerate(environment)
    assert environment == {"RANK": "0"}


def test_gpus_are_counted_by_torch_alone_where_a_driver_has_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement.num_gpus() == torch.cuda.device_count()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(placement, "GPU_FILES", ("no such file",))
    assert placement.num_gpus() == 0
    monkeypatch.setattr(placement, "GPU_FILES", ("no such file", "null"))
    assert placement.num_gpus() == 3


def wait_until_dead(pid: int) -> None:
    """Returns when process ``pid`` is gone, or is dead and waits for init to reap it."""
    stat = Path(f"/proc/{pid}/stat")
    with suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
            pass


def test_what_a_rank_started_goes_with_it() -> None:
    child = "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])"
    rank = subprocess.Popen(
        [sys.executable, "-c", f"{child}; print(c.pid, flush=True); import signal; signal.pause()"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert rank.stdout is not None
    pid = int(rank.stdout.readline())
    kill_group(rank)
    wait_until_dead(pid)


def test_ranks_die_with_a_launcher_that_was_killed() -> None:
    """A launcher killed with SIGKILL cannot clean up: its ranks notice that the pipe is closed."""
    rank = f"from r1zero.launching.launch import die_with_launcher as d; d(); {FOREVER}"
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True); p.stdout.readline();"
        " print(p.pid, flush=True); p.wait()"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code, rank], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    wait_until_dead(pid)


def test_slurm_tasks_become_ranks() -> None:
    environment = {
        "SLURM_PROCID": "3",
        "SLURM_NTASKS": "8",
        "SLURM_LOCALID": "1",
        "SLURM_NODELIST": "gpu[07-10]",
        "SLURM_JOB_ID": "123456",
    }
    adopt_slurm(environment)
    assert {key: environment[key] for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")} == {
        "RANK": "3",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "gpu07",
        "MASTER_PORT": str(20000 + 3456),
    }


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"},  # one task: the launcher starts the ranks
        {"SLURM_NTASKS": "8"},  # salloc's shell, not a task
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"},  # srun -n1 inside a bigger job
    ],
)
def test_a_lone_slurm_task_is_no_rank(environment: dict[str, str]) -> None:
    adopt_slurm(environment)
    assert "RANK" not in environment


def test_torchrun_under_srun_keeps_its_own_ranks() -> None:
    environment = {"RANK": "5", "WORLD_SIZE": "16", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    adopt_slurm(environment)
    assert (environment["RANK"], environment["WORLD_SIZE"]) == ("5", "16")


def test_the_first_host_of_a_node_list() -> None:
    assert [first_host(nodes) for nodes in ("n1", "n1,n2", "n[03,05-09],x", "a-[1-2]-b")] == [
        "n1",
        "n1",
        "n03",
        "a-1-b",
    ]


def test_torchrun_starts_nothing_twice(tmp_path: Path) -> None:
    """Two ranks under torchrun, without a run directory said: they share one, and one of them writes."""
    arguments = [
        *("task.num_test=4", "task.num_train=16", "trainer.per_device_train_batch_size=8", "trainer.max_steps=1"),
        *("trainer.gradient_accumulation_steps=1", "trainer.max_completion_length=8", "trainer.eval_strategy=no"),
        *("trainer.eval_on_start=false", "eval.greedy=false", "tracker=none", "model.dtype=float32"),
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run(
        [*torchrun, "-m", "r1zero.train", *arguments, f"hydra.run.dir={tmp_path}/${{now:%H-%M-%S-%f}}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    (run_dir,) = tmp_path.iterdir()
    assert len((run_dir / "metrics.jsonl").read_text().splitlines()) == 1
