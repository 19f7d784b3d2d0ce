"""Calls the judges of a task: on many completions at once, or early while others are still being sampled"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from r1zero.tasks.task import Judge
from rewards import Verdict
from rewards.tags import judge_format

log = logging.getLogger(__name__)

PATIENCE_S = 60.0  # after which a judge that has not answered is named, again and again


def judge_all(judge: Judge, texts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """A verdict for each text; a judge with a ``judge_all`` of its own is given them together."""
    together = getattr(judge, "judge_all", None)
    if together is not None:
        return together(texts, rows)
    return [judge(text, row) for text, row in zip(texts, rows, strict=True)]


def judge_tags(text: str, truth: Mapping[str, Any], partial_credit: float) -> Verdict:
    """Whether ``text`` has the think and answer sections; the ground truth plays no part."""
    return judge_format(text, partial_credit)


class EarlyVerdicts:
    """Verdicts of completions that are judged in threads of their own, while others still decode.

    Args:
        judges: By name.
    """

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        self.judges = judges
        self.pool = ThreadPoolExecutor(thread_name_prefix="judge")
        self.started: dict[int, dict[str, Future[Verdict]]] = {}

    def start(self, row: int, completion: str, truth: Mapping[str, Any]) -> None:
        """Let every judge begin on the completion of ``row``."""
        text = truth["prefill"] + completion
        self.started[row] = {name: self.pool.submit(judge, text, truth) for name, judge in self.judges.items()}

    def collect(self, num_rows: int) -> list[dict[str, Verdict]]:
        """The verdicts of rows 0 to ``num_rows``, by judge; waits for those that are not there yet."""
        started, self.started = self.started, {}
        return [{name: awaited(wait, name, row) for name, wait in started[row].items()} for row in range(num_rows)]


def awaited(waiting: Future[Verdict], name: str, row: int) -> Verdict:
    """The verdict when it is there; until then the log says which judge everything waits for."""
    waited_s = 0.0
    while True:
        try:
            return waiting.result(PATIENCE_S)
        except FutureTimeoutError:
            if waiting.done():  # the judge's own
                raise
            waited_s += PATIENCE_S
            log.warning("The judge %s has been at completion %d for %.0f s.", name, row, waited_s)
