"""An evaluation on disk: made in chunks, each written whole, so that a killed one continues where it was.

Chunks depend on the settings alone and the randomness of a completion on its place, so a continued evaluation gives
what an uninterrupted one gives. Completions stream: no more than one chunk of them is in memory with its text.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.evaluating.accuracy import (
    by_problem,
    evaluation_sampling,
    sample_key,
    summarise,
    summarise_all,
    table,
    wanted_k,
)
from r1zero.evaluating.layout import COMPLETIONS, LOCK, PROBLEMS, RESULT, SETTINGS
from r1zero.models.load import NANO_PATH
from r1zero.reporting.text import percent
from r1zero.rollout.engine import Engine
from r1zero.rollout.sampling import Completion, Sampling, training_sampling
from r1zero.runs.files import locked, write_completions, write_json
from r1zero.tasks.judging import EarlyVerdicts
from r1zero.tasks.task import Task

# Rows of a chunk, in units of rollout.max_rows: two, so that most rows that finish are replaced, and little is lost.
CHUNK_BATCHES = 2
MAX_TRUTH_CHARS = 1000  # of a problem's ground truth in problems.parquet; programs have tests of megabytes


@dataclass(frozen=True)
class Pass:
    """One way in which all problems are sampled: ``sampled`` or ``greedy``."""

    name: str
    sampling: Sampling
    num_samples: int


def passes(config: Config) -> list[Pass]:
    """The sampled completions, and the greedy ones where they are wanted and not the same."""
    sampling = evaluation_sampling(config.eval, training_sampling(config.trainer))
    found = [Pass("sampled", sampling, config.eval.num_samples)]
    if config.eval.greedy and not sampling.greedy:
        found.append(Pass("greedy", replace(sampling, greedy=True), 1))
    return found


def evaluate_in(output: Path, config: Config, task: Task, engine: Engine) -> Path:
    """Evaluate ``task`` into its folder in ``output``, or finish what is there; the folder.

    Raises:
        ValueError: Another process is at it.
        JudgeUnavailableError: The sandbox failed too often; what is done is kept.
    """
    settings = relevant(config) | {"weights": weights(config.model.path), "prompts": digest(task.test)}
    settings["stop_strings"] = engine.stop.strings if engine.stop is not None else []
    folder = output / folder_name(config, digest(settings))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK) as free:
        if not free:
            raise ValueError(f"{folder}: another process is evaluating there. Wait for it, or set another output.")
        write_json(settings, folder / SETTINGS)
        for each in passes(config):
            complete(folder, each, config, task, engine)
        write_results(folder, settings, config, task)
    return folder


def complete(folder: Path, which: Pass, config: Config, task: Task, engine: Engine) -> None:
    """Make the chunks of one pass that are not there yet."""
    per_chunk = max(1, CHUNK_BATCHES * config.rollout.max_rows // which.num_samples)
    num_rows = len(task.test) * which.num_samples
    with tqdm(total=num_rows, desc=f"{task.name} {which.name}", unit="row", dynamic_ncols=True) as bar:
        right = graded = 0
        for number, start in enumerate(range(0, len(task.test), per_chunk)):
            path = folder / COMPLETIONS / f"{which.name}_{number:05d}.parquet"
            problems = range(start, min(start + per_chunk, len(task.test)))
            if not path.is_file():
                write_completions(chunk(problems, which, config, task, engine, bar), path)
            outcomes = pd.read_parquet(path, columns=["outcome"])["outcome"]
            bar.n = problems.stop * which.num_samples
            right, graded = right + int((outcomes == "CORRECT").sum()), graded + int((outcomes != "UNGRADEABLE").sum())
            bar.set_postfix(accuracy=percent(right / graded if graded else None))


def chunk(problems: range, which: Pass, config: Config, task: Task, engine: Engine, bar: "tqdm[Any]") -> pd.DataFrame:
    """The completions of ``problems`` with their verdicts; judges start when a completion is finished."""
    places = [(index, sample) for index in problems for sample in range(which.num_samples)]
    rows = [task.test[index] for index, _ in places]
    verdicts = EarlyVerdicts({task.accuracy_judge: task.judges[task.accuracy_judge]})

    def judge(row: int, completion: Completion, text: str) -> None:
        verdicts.start(row, text, rows[row])
        bar.update()

    keys = [sample_key(config.seed, *place) for place in places]
    sampled = engine.sample_texts([row["prompt"] for row in rows], keys, which.sampling, judge)
    judged = [by_judge[task.accuracy_judge] for by_judge in verdicts.collect(len(rows))]
    return table(task, places, sampled, judged)


def write_results(folder: Path, settings: dict[str, Any], config: Config, task: Task) -> None:
    """Write ``problems.parquet`` and ``result.json`` from the chunks."""
    ks, voting = wanted_k(config.eval), task.ballot is not None
    sampled = read_pass(folder, "sampled")
    metrics = summarise_all(task, sampled, ks)
    prefix = f"eval/{task.name}/"
    if any(each.name == "greedy" for each in passes(config)):
        greedy = summarise(task.name, read_pass(folder, "greedy"))
        metrics |= {
            f"{prefix}greedy_{key}": greedy[prefix + key] for key in ("accuracy", "accuracy_low", "accuracy_high")
        }
    problems = by_problem(sampled, ks, voting)
    problems.insert(1, "prompt", [row["prompt"] for row in task.test])
    problems.insert(2, "truth", [truth(row) for row in task.test])
    write_completions(problems, folder / PROBLEMS)
    result = {
        "task": task.name,
        "model": config.model.name,
        "path": config.model.path,
        "num_samples": config.eval.num_samples,
        "k": ks,
        "problems": digest([json.loads(truth(row, limit=None)) for row in task.test]),
        "metrics": {key: value if math.isfinite(value) else None for key, value in metrics.items()},
        "settings": settings,
    }
    write_json(result, folder / RESULT)


def read_pass(folder: Path, name: str) -> pd.DataFrame:
    """All completions of a pass without their texts."""
    paths = sorted((folder / COMPLETIONS).glob(f"{name}_*.parquet"))
    return pd.concat([pd.read_parquet(path).drop(columns=["prompt", "completion"]) for path in paths])


def truth(row: dict[str, Any], limit: int | None = MAX_TRUTH_CHARS) -> str:
    """The ground truth of a row as JSON; null when it is longer than ``limit``."""
    text = json.dumps({key: value for key, value in row.items() if key not in ("prompt", "prefill")}, default=str)
    return text if limit is None or len(text) <= limit else "null"


def weights(path: str) -> list[list[Any]]:
    """Name, size and time of the weight files of a local model; empty for one on the Hub."""
    folder = NANO_PATH if path == "nano" else Path(path)
    files = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".bin"))
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def digest(value: Any) -> str:
    """A hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def folder_name(config: Config, digest: str) -> str:
    """A folder for the evaluation of ``config``: readable, and another one for other settings."""
    name = re.sub(r"[^\w.-]+", "-", config.task.name)
    return f"{name}-n{config.eval.num_samples}-{digest[:8]}"


def relevant(config: Config) -> dict[str, Any]:
    """The settings that completions and verdicts depend on; k and the greedy pass add to them without changing any."""
    whole = asdict(config)
    for key in ("k", "greedy"):
        del whole["eval"][key]
    parts = ("seed", "task", "model", "rollout", "eval")
    sampling = ("temperature", "top_k", "top_p", "min_p", "max_completion_length", "generation_kwargs", "bf16", "fp16")
    return {part: whole[part] for part in parts} | {
        "trainer": {key: trainer_value(config.trainer, key) for key in sampling}
    }
