"""Judges of one's own, named by import path: ``reward.judges.mine=my_module:my_judge``.

Two forms are taken. ``judge(text, row)`` is how judges are written here: ``text`` is prefill + completion. A function
with a parameter ``completions`` is a reward function of TRL: it is given lists of one, and the columns of the row as
far as its signature takes them; texts, or chat turns where the annotation of ``completions`` speaks of ``dict``. Either
returns a ``Verdict``, a number, true or false, or None for "cannot judge".
"""

import asyncio
import inspect
import math
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1zero.config.kinds import imported
from r1zero.tasks.task import Judge
from rewards import Outcome, Verdict

RETURNS = "return a rewards.Verdict, a number, true or false, or None for a completion that it cannot judge"


@dataclass(frozen=True)
class OwnVerdict(Verdict):
    """A verdict whose score may be any finite number: reward functions elsewhere pay as they like, below 0 too."""

    def __post_init__(self) -> None:
        if self.score is None or not math.isfinite(self.score):
            raise ValueError(f"score = {self.score}: must be a finite number")


class JudgeFailedError(Exception):
    """A judge of the user's raised, or returned what is no verdict; says which, on which row, and what to return."""


def own_judge(name: str, path: str, columns: Collection[str]) -> Judge:
    """The judge at the import path ``path``, its mistakes told as a ``JudgeFailedError``; rows have these ``columns``.

    Raises:
        ValueError: It cannot be imported or called, or wants a column that rows do not have.
    """
    key = f"reward.judges.{name}"
    function = imported(path, key)
    if not callable(function):
        raise ValueError(f"{key} = {path}: must name a function; it is a {type(function).__name__}.")
    as_reward_function = "completions" in parameters_of(function)
    if not as_reward_function:
        try:
            inspect.signature(function).bind("", {})
        except TypeError as error:
            raise ValueError(
                f"{key} = {path}: cannot be called as judge(text, row) ({error}), and has no parameter `completions` "
                "as TRL's reward functions have. Give it one of these two forms."
            ) from error
    else:
        check_columns(function, columns, f"{key} = {path}")
    call = as_judge(function) if as_reward_function else function

    def judge(text: str, row: Mapping[str, Any]) -> Verdict:
        try:
            returned = call(text, row)
            if inspect.iscoroutine(returned):
                returned = asyncio.run(returned)
        except (Exception, SystemExit) as error:  # whatever it raises is its author's to mend; the run's work is kept
            raised = raised_where(error)
            raise JudgeFailedError(
                f"{key} = {path} raised {raised} on {told(text, row)}. It must {RETURNS}."
            ) from error
        verdict = as_verdict(returned)
        if verdict is None:
            raise JudgeFailedError(
                f"{key} = {path} returned {one_line(repr(returned))} on {told(text, row)}. It must {RETURNS}."
            )
        return verdict

    return judge


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function; none where it does not tell."""
    try:
        return inspect.signature(function).parameters
    except ValueError:  # some functions written in C
        return {}


def as_judge(reward_function: Callable[..., Any]) -> Callable[[str, Mapping[str, Any]], Any]:
    """TRL's form in ours: one row at a time, so that it may begin while others are still being sampled."""
    parameters = parameters_of(reward_function)
    as_turns = "dict" in str(parameters["completions"].annotation)
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())

    def judge(text: str, row: Mapping[str, Any]) -> Any:
        given: dict[str, Any] = {key: [value] for key, value in row.items() if key not in ("prompt", "prefill")}
        prompt, completion = row["prompt"], text.removeprefix(row["prefill"])
        given |= {"prompts": [turn("user", prompt) if as_turns else prompt]}
        given |= {"completions": [turn("assistant", completion) if as_turns else completion]}
        return reward_function(**{key: value for key, value in given.items() if takes_all or key in parameters})

    return judge


def turn(role: str, text: str) -> list[dict[str, str]]:
    """A text as a conversation of one turn."""
    return [{"role": role, "content": text}]


def check_columns(reward_function: Callable[..., Any], columns: Collection[str], label: str) -> None:
    """A reward function's parameters are columns, or have defaults.

    Raises:
        ValueError: One is neither.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = ["prompts", "completions", "completion_ids", *sorted(set(columns) - {"prompt", "prefill"})]
    for name, parameter in parameters_of(reward_function).items():
        if parameter.kind in named and parameter.default is inspect.Parameter.empty and name not in known:
            raise ValueError(
                f"{label}: asks for {name}, and a row has {', '.join(known)}. Name one of them, or give it a default."
            )


def as_verdict(returned: Any) -> Verdict | None:
    """A number, alone or in a list, is the score, and CORRECT from 1 on; None where it is no verdict at all."""
    if isinstance(returned, list | tuple) and len(returned) == 1:
        returned = returned[0]
    if isinstance(returned, Verdict):
        return returned
    if returned is None:
        return Verdict(None, Outcome.UNGRADEABLE)
    try:
        score = float(returned)  # numbers of NumPy and torch too
    except (TypeError, ValueError):
        return None
    if isinstance(returned, str) or not math.isfinite(score):
        return None
    return OwnVerdict(score, Outcome.CORRECT if score >= 1.0 else Outcome.WRONG)


def raised_where(error: BaseException) -> str:
    """An exception in a few words, with the last line of code that it passed."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {one_line(error)} ({Path(frame.filename).name}, line {frame.lineno})"


def told(text: str, row: Mapping[str, Any]) -> str:
    """A row and a completion in a few words."""
    completion = text.removeprefix(row["prefill"])
    return f"the prompt {one_line(repr(row['prompt']))} with the completion {one_line(repr(completion))}"


def one_line(value: object, length: int = 120) -> str:
    """The text of a value, short and without line breaks."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
