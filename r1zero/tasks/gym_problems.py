"""Makes problems of reasoning-gym in a process of its own, whose hash seed is fixed.

Some data sets walk through sets of strings, so their problems depend on Python's hash seed, which differs from process
to process: resumed runs, other ranks and sweeps would meet other problems. The process also probes the data set, and
nothing that the library prints gets into the caller's output.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r1zero.tasks.gym_probe import CLOSE_PROBED, PROBE_SEED, Probe, probe
from rewards.gym_answer import Rule, packed, problems_of

HASH_SEED = 0
ROOT = Path(__file__).resolve().parents[2]


class Problem(NamedTuple):
    """A problem: the question, the library's own answer ("None" where it has none), and what scoring needs."""

    question: str
    answer: str
    entry: str


def make(
    dataset: str,
    options: dict[str, Any],
    parts: Sequence[tuple[int, int]],
    max_floor: float,
    on_probe: Callable[[Probe], None],
    hash_seed: int = HASH_SEED,
) -> list[list[Problem]]:
    """A list of problems for each (seed, count) in ``parts``.

    Args:
        dataset, options: The name and the arguments of ``reasoning_gym.create_dataset``.
        max_floor: See ``Probe``.
        on_probe: Called with the probe's result before the problems are made, which may take hours; may raise.

    Raises:
        ValueError: The library has no such data set, or refuses an option.
        RuntimeError: The process died.
    """
    request = {"dataset": dataset, "options": options, "parts": list(parts), "max_floor": max_floor}
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from r1zero.tasks.gym_problems import serve; serve()"
    folder = tempfile.mkdtemp(prefix="reasoning_gym_")  # some data sets write a file where they run
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None and process.stdout is not None
    with process, contextlib.ExitStack() as at_end:
        at_end.callback(shutil.rmtree, folder, ignore_errors=True)
        at_end.callback(process.kill)
        with contextlib.suppress(BrokenPipeError), process.stdin:
            json.dump(request, process.stdin)
        replies = (reply_of(line, dataset, options) for line in process.stdout)
        found = next(replies, None)
        if found is not None:
            on_probe(Probe(**found | {"rule": Rule(**found["rule"])}))
        made = [[Problem(*row) for row in part] for part in replies]
        if found is None or len(made) < len(parts):
            raise RuntimeError(
                f"task.name = {dataset}: the process that makes the problems ended early, exit code {process.wait()}."
            )
    return made


def reply_of(line: str, dataset: str, options: dict[str, Any]) -> Any:
    """What a line of the process says.

    Raises:
        ValueError: The library refused.
    """
    reply = json.loads(line)
    if isinstance(reply, dict) and "error" in reply:
        raise ValueError(f"task.name = {dataset}, task.options = {options}: {reply['error']}")
    return reply


def serve() -> None:
    """Answers one request on standard input: a line with the probe, and one for each part."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(BrokenPipeError))  # the caller is gone
        out = stack.enter_context(os.fdopen(os.dup(1), "w", encoding="utf-8"))
        os.dup2(stack.enter_context(Path(os.devnull).open("w")).fileno(), 1)
        request = json.load(sys.stdin)
        try:
            for reply in replies_to(request):
                out.write(json.dumps(reply) + "\n")
                out.flush()
        except (ValueError, TypeError, AssertionError) as error:
            out.write(json.dumps({"error": " ".join(str(error).split()) or type(error).__name__}) + "\n")


def replies_to(request: dict[str, Any]) -> Any:
    """The probe, then the problems of each part."""
    dataset, options = request["dataset"], request["options"]

    def problems(seed: int, count: int) -> Any:
        return problems_of(dataset, options | {"seed": seed, "size": max(count, 1)})

    probed = problems(PROBE_SEED, CLOSE_PROBED)
    yield dataclasses.asdict(probe(probed.__getitem__, probed, dataset, request["max_floor"]))
    for seed, count in request["parts"]:
        made = problems(seed, count)
        entries = (made[index] for index in range(count))
        yield [(entry["question"], str(entry["answer"]), packed(entry)) for entry in entries]
