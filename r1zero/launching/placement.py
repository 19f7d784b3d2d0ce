"""Where this process stands among the ranks of a run, and what rank 0 tells the others before training starts.

Reads the variables that torchrun, ``deepspeed``, ``accelerate launch`` and SLURM leave in the environment. It starts no
process (``r1zero.launching.launch`` does) and makes no process group (accelerate does). torch is imported by the
functions that need it: the rest answers before a user could tell that it loads.
"""

import os
import re
import socket
import sys
from collections.abc import MutableMapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value

if TYPE_CHECKING:
    from torch.distributed import PrefixStore

# How long ranks wait for each other at the start: data and models may have to be downloaded first.
RENDEZVOUS_TIMEOUT = timedelta(minutes=30)
# What the drivers of NVIDIA (also Jetson's, and Windows' for WSL) and AMD put into /dev.
GPU_FILES = ("nvidia*", "nvhost*", "nvgpu*", "dxg", "kfd")


def placed_from_outside() -> bool:
    """Whether a launcher has started this process as one rank of several; then nothing may be started twice."""
    adopt_slurm(os.environ)
    return "RANK" in os.environ


def adopt_slurm(environment: MutableMapping[str, str]) -> None:
    """Give a task of ``srun`` torch's names for its place; those already set, as torchrun under srun does, stay."""
    if "RANK" in environment or "SLURM_PROCID" not in environment:
        return
    if int(environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", "1"))) < 2:
        return
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", "1"))
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_NODELIST", "127.0.0.1"))
    environment.setdefault("MASTER_ADDR", first_host(nodes))
    # Jobs that share a node get different ports, all tasks of one job the same.
    environment.setdefault("MASTER_PORT", str(20000 + int(environment.get("SLURM_JOB_ID", "0")) % 20000))


def first_host(nodes: str) -> str:
    """The first name of a SLURM node list.

    >>> first_host("gpu[07-09,12]-ib,login1"), first_host("gpu07,gpu08")
    ('gpu07-ib', 'gpu07')
    """
    bracketed = re.match(r"([^,\[]*)\[(\w+)[^\]]*\]([^,]*)", nodes)
    return "".join(bracketed.groups()) if bracketed else nodes.split(",")[0]


def forget_accelerate(environment: MutableMapping[str, str]) -> None:
    """Drop the settings of ``accelerate launch``, which would overrule the config without a word; ranks keep theirs."""
    for name in [name for name in environment if name.startswith("ACCELERATE_")]:
        del environment[name]


def rank() -> int:
    """This process's rank; 0 where there is only one."""
    return int(os.environ.get("RANK", "0"))


def num_ranks_outside() -> int:
    """Processes that a launcher outside has started for this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def num_ranks(config: Config) -> int:
    """Processes of the run: what the launcher outside says, else ``launch.num_processes``, else every visible GPU."""
    if placed_from_outside():
        return num_ranks_outside()
    if config.launch.num_processes is not None:
        return config.launch.num_processes
    return 1 if trainer_value(config.trainer, "use_cpu") else max(1, num_gpus())


def num_gpus() -> int:
    """GPUs that torch can use here; does not import it where no driver has left a device file."""
    if not any(path for pattern in GPU_FILES for path in Path("/dev").glob(pattern)):
        return 0
    import torch

    return torch.cuda.device_count()


def free_port() -> int:
    """A TCP port that nobody on this machine listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rank_environment(index: int, count: int, port: int) -> dict[str, str]:
    """The variables that make a process rank ``index`` of ``count`` on this machine."""
    return {
        "RANK": str(index),
        "LOCAL_RANK": str(index),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def join_process_group_of_one() -> None:
    """Name this process rank 0 of 1, unless a launcher has placed it; DeepSpeed asks for a group in any case."""
    if "RANK" not in os.environ:
        os.environ |= rank_environment(0, 1, free_port())


def connect_deepspeed() -> None:
    """Let DeepSpeed use the process group that accelerate has made; loading a model under ZeRO-3 needs it already."""
    import deepspeed
    import torch

    # Else ranks on CPUs compile a faster all-reduce at first use, which asks for ninja and a compiler, and whose lock,
    # left by a killed run, stops every later one without a word.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend=torch.distributed.get_backend(), verbose=False)


@cache  # where no launcher serves the store, rank 0 does, for as long as it holds this
def shared_store() -> "PrefixStore":
    """The store at ``MASTER_ADDR:MASTER_PORT``; the process group made later uses the same one."""
    from torch.distributed import PrefixStore, rendezvous

    store = next(iter(rendezvous("env://", timeout=RENDEZVOUS_TIMEOUT)))[0]
    return PrefixStore("r1zero", store)


def announce_run_dir(run_dir: Path) -> None:
    """On rank 0 of a launcher outside: tell the other ranks which run directory is theirs."""
    if num_ranks_outside() > 1:
        shared_store().set("run_dir", str(run_dir.absolute()))


def announced_run_dir() -> Path:
    """On the other ranks: the run directory, as soon as rank 0 has claimed it."""
    from torch.distributed import DistError

    try:
        return Path(shared_store().get("run_dir").decode())
    except (DistError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"error: rank {rank()}: rank 0 ended before it had a run directory ({reason}).")


def leave_process_group() -> None:
    """Wait for the other ranks and end the group: a process that exits with it open may abort in gloo's threads."""
    from torch import distributed

    if distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.barrier()
        distributed.destroy_process_group()
