"""Which devices a job of a sweep gets, when several run at a time on one machine."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from r1zero.runs.files import locked

WAIT_S = 1.0


def visible_devices() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None and torch.cuda.is_available():
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]


def ranks_of_a_job(num_processes: int | None, parallel: int) -> int:
    """What is asked for, else this job's share of the GPUs; 1 without any."""
    return num_processes or max(1, len(visible_devices()) // parallel)


@contextmanager
def devices(count: int, parallel: int) -> Iterator[dict[str, str]]:
    """Environment variables that place a job: GPUs that no other job of any sweep of this user has, or CPU threads.

    Waits until ``count`` GPUs are free. The claim is a lock that the system takes back when this process ends, however
    it ends. More ranks than GPUs (a run on the CPU) get no GPU assigned.
    """
    names = visible_devices()
    if not names or count > len(names):
        yield {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // (parallel * count)))} if parallel > 1 else {}
        return
    folder = Path(tempfile.gettempdir()) / f"r1zero-devices-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with ExitStack() as held:
        taken = claim(names, count, folder, held)
        while not taken:
            time.sleep(WAIT_S)
            taken = claim(names, count, folder, held)
        yield {"CUDA_VISIBLE_DEVICES": ",".join(taken)}


def claim(names: Sequence[str], count: int, folder: Path, held: ExitStack) -> list[str]:
    """Lock ``count`` of the devices ``names``, until ``held`` ends; empty, and none locked, if too few are free."""
    found: list[str] = []
    with ExitStack() as locks:
        for name in names:
            if locks.enter_context(locked(folder / name)):
                found.append(name)
            if len(found) == count:
                held.enter_context(locks.pop_all())
                return found
    return []
