"""Judges as TRL reward functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1zero.tasks.judging import judge_all
from r1zero.tasks.task import Judge, Task
from rewards import Outcome, Verdict


class RewardFunction:
    """One judge in the form TRL calls: a batch of completions in, a score or None for each out.

    Outcome and detail of every verdict go to TRL's completion log, and the share of each outcome to its metrics.
    """

    def __init__(self, name: str, judge: Judge) -> None:
        self.__name__ = name  # TRL's metric name
        self.judge = judge

    def __call__(
        self,
        prompts: list[str],
        completions: list[str],
        log_extra: Callable[[str, list[Any]], None],
        log_metric: Callable[[str, float], None],
        verdicts: Sequence[Mapping[str, Verdict]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Scores in [0, 1]; None where the judge cannot judge, which TRL keeps out of the group's baseline.

        ``verdicts`` comes with our rollouts; under TRL's own trainer the judge is called here.
        """
        if verdicts is None:
            truths = [
                {key: values[i] for key, values in columns.items() if isinstance(values, list)}
                for i in range(len(prompts))
            ]
            texts = [truth["prefill"] + completion for completion, truth in zip(completions, truths, strict=True)]
            mine: Sequence[Verdict] = judge_all(self.judge, texts, truths)
        else:
            mine = [by_judge[self.__name__] for by_judge in verdicts]
        log_extra(f"{self.__name__}/outcome", [verdict.outcome.name for verdict in mine])
        log_extra(f"{self.__name__}/detail", [verdict.detail for verdict in mine])
        for outcome in Outcome:
            share = sum(verdict.outcome is outcome for verdict in mine) / len(mine)
            log_metric(f"outcome/{self.__name__}/{outcome.name}", share)
        return [verdict.score for verdict in mine]


def reward_functions(
    task: Task, weights: dict[str, float]
) -> tuple[list[Callable[..., list[float | None]]], list[float]]:
    """A reward function for each judge of ``task``, and its weight.

    A judge that ``weights`` does not name has weight 0: it is logged and pays nothing.
    """
    names = list(task.judges)
    return [RewardFunction(name, task.judges[name]) for name in names], [weights.get(name, 0.0) for name in names]
