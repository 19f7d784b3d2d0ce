"""One rank of a run: ``python -m r1zero.rank RUN_DIR``. Started by ``r1zero.launching.launch``; never composes a config."""

import logging
import sys
from pathlib import Path

from r1zero.command_line import quiet
from r1zero.launching.launch import die_with_launcher
from r1zero.launching.placement import rank
from r1zero.runs.directory import load_config
from r1zero.train import train


def main() -> None:
    """Train as this rank; rank 0 alone logs below errors."""
    run_dir = Path(sys.argv[1])
    die_with_launcher()
    quiet()
    logging.basicConfig(
        level=logging.INFO if rank() == 0 else logging.ERROR,
        stream=sys.stdout,
        format=f"[%(asctime)s][%(name)s][%(levelname)s]{f'[rank {rank()}]' if rank() else ''} - %(message)s",
    )
    sys.exit(train(load_config(run_dir), run_dir))


if __name__ == "__main__":
    main()
