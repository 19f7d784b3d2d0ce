"""A progress bar for the job of a sweep that is running, read from its ``metrics.jsonl``."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.reporting.text import percent
from r1zero.runs.layout import METRICS
from r1zero.runs.metrics import number, read_metrics

EVERY_S = 2.0


@contextmanager
def progress(config: Config, job_dir: Path) -> Iterator[None]:
    """While it lasts, show the job's step and held-out accuracy. What the job itself prints is in its log."""
    ended = threading.Event()
    key = f"eval/{config.task.name}/accuracy"
    max_steps = trainer_value(config.trainer, "max_steps")
    bar = tqdm(total=max_steps if max_steps > 0 else None, desc=f"job {job_dir.name}: {config.run_name}", unit="step")

    def show() -> None:
        metrics = job_dir / METRICS
        rows = read_metrics(metrics)[0] if metrics.is_file() else []
        if rows:
            bar.n = rows[-1]["step"]
            known = [value for row in rows if (value := number(row, key)) is not None]
            bar.set_postfix(acc=percent(known[-1] if known else None))

    def follow() -> None:
        while not ended.wait(EVERY_S):
            show()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        show()
        bar.close()
