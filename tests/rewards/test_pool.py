"""Killable workers: deadlines, crashes, memory, forks, threads, and nothing left behind."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewards.pool import Pool, Result, Status

START_S = 30.0  # starting the helper imports Python; the tests below measure deadlines, not that


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool("pool_targets:run", size=2, memory_mb=512)
    made.call(["echo", 0], START_S)
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def _targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The functions that workers run, in a module that they can import."""
    folder = tmp_path_factory.mktemp("targets")
    (folder / "pool_targets.py").write_text(
        "import os, time\n"
        "def run(job):\n"
        "    kind, value = job\n"
        "    if kind == 'echo': return value\n"
        "    if kind == 'sleep': time.sleep(value); return 'woke'\n"
        "    if kind == 'spin':\n"
        "        while True: 7 ** 200_000\n"
        "    if kind == 'power': return len(bin(7 ** value))\n"
        "    if kind == 'exit': os._exit(value)\n"
        "    if kind == 'memory': return len(bytearray(value << 20))\n"
        "    if kind == 'pid': return os.getpid()\n"
        "    if kind == 'long': return 'x' * value\n"
        "    raise ValueError(f'{kind}: no such job')\n"
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_value_comes_back(pool: Pool) -> None:
    assert pool.call(["echo", {"a": [1, "é", None]}], START_S) == Result(Status.OK, {"a": [1, "é", None]})
    assert pool.call(["long", 3_000_000], START_S).value == "x" * 3_000_000


@pytest.mark.parametrize("job", [["sleep", 60], ["spin", 0], ["power", 10**11]], ids=lambda job: job[0])
def test_deadline_kills_the_worker_even_inside_c_code(pool: Pool, job: list) -> None:
    begin = time.monotonic()
    assert pool.call(job, 0.5).status in (Status.TIMEOUT, Status.CRASH)
    assert time.monotonic() - begin < 10  # not 60; how close to 0.5 is the benchmark's business
    assert pool.call(["echo", 1], START_S) == Result(Status.OK, 1)


def test_a_worker_that_dies_costs_only_its_own_call(pool: Pool) -> None:
    assert pool.call(["exit", 3], START_S).status is Status.CRASH
    assert pool.call(["echo", 2], START_S) == Result(Status.OK, 2)


def test_memory_is_limited(pool: Pool) -> None:
    assert pool.call(["memory", 4096], START_S).status is Status.CRASH
    assert pool.call(["memory", 16], START_S) == Result(Status.OK, 16 << 20)


def test_an_exception_is_reported_not_raised(pool: Pool) -> None:
    result = pool.call(["nonsense", 0], START_S)
    assert result == Result(Status.ERROR, "ValueError: nonsense: no such job")


def test_a_worker_is_used_again(pool: Pool) -> None:
    assert len({pool.call(["pid", 0], START_S).value for _ in range(5)}) == 1


def test_threads_share_the_workers_and_get_their_own_answers(pool: Pool) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda i: pool.call(["echo", i], START_S), range(200)))
    assert results == [Result(Status.OK, i) for i in range(200)]


def test_busy_is_not_timeout() -> None:
    """A call that never had a worker says so: its input is not to blame."""
    pool = Pool("pool_targets:run", size=1)
    assert pool.call(["echo", 0], START_S).status is Status.OK
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(pool.call, ["sleep", 2], START_S)
        statuses = set()
        while not first.done():  # it may take a moment until the first has the worker
            statuses.add(pool.call(["echo", 1], 0.2).status)
        assert Status.BUSY in statuses
        assert first.result() == Result(Status.OK, "woke")
    pool.close()


def test_a_forked_child_has_workers_of_its_own(pool: Pool) -> None:
    ours = pool.call(["pid", 0], START_S).value
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(pool.call(["pid", 0], START_S).value).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = int(os.read(reading, 100))
    os.close(reading)
    os.close(writing)
    assert theirs != ours
    assert pool.call(["pid", 0], START_S).value == ours


def test_closing_leaves_no_process() -> None:
    pool = Pool("pool_targets:run", size=1)
    pid = pool.call(["pid", 0], START_S).value
    pool.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    pytest.fail(f"worker {pid} outlived its pool")


def test_size_is_checked() -> None:
    with pytest.raises(ValueError, match="size = 0"):
        Pool("time:sleep", size=0)
