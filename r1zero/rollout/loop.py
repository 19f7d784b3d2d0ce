"""What every loop that draws completions agrees on, so that the engine need not know which one it runs.

A new loop is a function that satisfies ``SampleRows``, a line in ``r1zero.rollout.engine.LOOPS``, and its name in
``conf/`` (CONTRIBUTING.md, Adding a rollout loop).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedModel

from r1zero.rollout.sampling import Completion, OnFinish, Sampling
from r1zero.rollout.stop_strings import StopStrings


class RolloutError(RuntimeError):
    """A loop cannot draw completions from this model, or not as it is asked to; says what to set."""


class SampleRows(Protocol):
    """Draws one completion for each row of a batch."""

    def __call__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        eos_ids: Sequence[int],
        pad_id: int,
        max_rows: int = ...,
        stop: StopStrings | None = ...,
        on_finish: OnFinish | None = ...,
    ) -> list[Completion]:
        """The completions, in the order of ``prompts``.

        Args:
            model: In evaluation mode, on its device, under the autocast it shall run in. Training changes its weights
                from call to call, so nothing that is made of them may be kept.
            prompts: Token ids of each row, at least one a row. There may be no rows. Equal prompts lie next to each
                other, so that a loop can compute them once.
            keys: One a row. All randomness follows from them: equal keys, prompts and weights give equal completions,
                whatever the state of the global generators, which stay as they were. In ``decode`` each row depends on
                its own key alone; in the library's loops it also depends on the rows beside it.
            sampling: How tokens are drawn; at most ``sampling.max_tokens`` a row.
            eos_ids: Tokens that end a completion, which keeps them as its last.
            pad_id: Fills rows to one length and is never attended to.
            max_rows: Most rows computed at once; the others wait. Bounds the memory of keys and values.
            stop: Strings that end a completion behind the first token that completes one. Always None for a loop whose
                ``Loop.stops`` is false.
            on_finish: Gets each row's number and completion exactly once, before the loop returns: as soon as the loop
                knows it, in any order. Called in the loop's own thread, so it must return at once.

        Raises:
            RolloutError: It cannot be done.

        A loop that cannot score (``Loop.scores`` is false) gives completions whose ``logprobs`` is None and whose
        ``entropy`` is NaN.
        """


class FollowRow(Protocol):
    """Draws one completion and shows it while it grows."""

    def __call__(
        self,
        model: PreTrainedModel,
        prompt: Sequence[int],
        key: str,
        sampling: Sampling,
        eos_ids: Sequence[int],
        pad_id: int,
        stop: StopStrings | None,
    ) -> Iterator[list[int]]:
        """The tokens so far, again and again until they are those that ``SampleRows`` draws for the same arguments.

        A generator: it computes nothing before its first value is asked for, and nothing between two values.
        """


@dataclass(frozen=True)
class Loop:
    """A way to draw completions, and what it can do.

    Attributes:
        sample: Draws them.
        scores: Whether completions come with log-probabilities and entropies.
        stops: Whether it knows stop strings. Those that do not are never given any: the engine refuses.
        follow: Shows a completion while it grows; None where only whole completions are known.
    """

    sample: SampleRows
    scores: bool = False
    stops: bool = False
    follow: FollowRow | None = None
