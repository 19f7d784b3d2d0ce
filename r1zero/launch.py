"""Processes of a run. One for now: DeepSpeed's process group of one, which it asks for in any case."""

import os
import socket


def join_process_group_of_one() -> None:
    """Name this process rank 0 of 1 in the environment, unless a launcher has already placed it."""
    if "RANK" in os.environ:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
