"""Names in a run directory: the one place that says what is where. Nothing is read or written here."""

import re
from pathlib import Path

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"
STATUS = "status.json"
PAGE = "report.html"
CURVE = "curve.png"

COMPLETIONS = "completions"
CHECKPOINTS = "checkpoints"
FINAL, ADAPTER = "final", "adapter"  # in CHECKPOINTS: the trained weights, and with LoRA the adapter alone
EVALUATIONS = "evaluations"
TENSORBOARD = "tensorboard"

COMPLETION_KINDS = ("train", "eval", "greedy")  # of completions: training, held-out as sampled, held-out and greedy


def completions_file(run_dir: Path, kind: str, step: int, part: int | None = None) -> Path:
    """Where the completions of a step are, or one part of them.

    Args:
        run_dir: The run directory.
        kind: One of ``COMPLETION_KINDS``.
        step: The optimizer step.
        part: Which generation of the step, when a step has several.
    """
    return run_dir / COMPLETIONS / f"{kind}_{step:05d}{'' if part is None else f'-{part}'}.parquet"


def completions_by_step(run_dir: Path, kind: str) -> dict[int, list[Path]]:
    """The files of ``completions_file`` that are there, by step, ascending."""
    found: dict[int, list[Path]] = {}
    for path in sorted((run_dir / COMPLETIONS).glob(f"{kind}_*.parquet")):
        match = re.fullmatch(rf"{kind}_(\d+)(?:-\d+)?\.parquet", path.name)
        if match:
            found.setdefault(int(match[1]), []).append(path)
    return dict(sorted(found.items()))
