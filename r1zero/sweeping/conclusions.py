"""What a sweep says, in words: which setting is ahead, and whether by more than the noise of seeds.

The setting with the highest mean was picked by the numbers that it is compared by. So each p-value is multiplied by the
number of comparisons (Bonferroni), and nothing is called the best that the test does not call so.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from r1zero.measuring.statistics import paired_t_test
from r1zero.reporting.text import in_points, percent
from r1zero.sweeping.results import Setting

SIGNIFICANT = 0.05
MAX_RIVALS = 5  # that have a sentence each


class Duel(NamedTuple):
    """The setting with the highest mean against another: the difference with its interval, over seeds that both have.

    ``p`` is NaN where it cannot be known: with fewer than two seeds in common, or an unknown number of problems and the
    same difference at each.
    """

    other: Setting
    seeds: int
    difference: float
    low: float
    high: float
    p: float

    @property
    def decided(self) -> bool:
        """The difference is more than seed noise."""
        return self.p < SIGNIFICANT


def ranked(settings: Sequence[Setting]) -> list[Setting]:
    """Those that have finished jobs, by mean accuracy."""
    return sorted((setting for setting in settings if setting.accuracy), key=lambda setting: -setting.mean)


def duels(settings: Sequence[Setting]) -> list[Duel]:
    """The setting with the highest mean against each other one, by a paired t-test over seeds."""
    known = ranked(settings)
    found = []
    for other in known[1:]:
        best = known[0]
        seeds = [seed for seed in best.accuracy if seed in other.accuracy]
        result = (best.mean - other.mean, math.nan, math.nan, math.nan)
        if len(seeds) > 1:
            pairs = [other.accuracy[seed] for seed in seeds], [best.accuracy[seed] for seed in seeds]
            result = paired_t_test(*pairs, least_spread=math.hypot(best.least_spread, other.least_spread))
        mean, low, high, p = result
        found.append(Duel(other, len(seeds), mean, low, high, corrected(p, len(known) - 1)))
    return found


def corrected(p: float, comparisons: int) -> float:
    """``p`` for the largest of so many comparisons; NaN stays."""
    return p if math.isnan(p) else min(1.0, p * comparisons)


def winner(settings: Sequence[Setting]) -> Setting | None:
    """The setting that is ahead of every other by more than seed noise, if there is one."""
    found = duels(settings)
    return ranked(settings)[0] if found and all(duel.decided for duel in found) else None


def seeds_of(settings: Sequence[Setting]) -> str:
    """How many seeds the settings have: ``2 seeds each``, ``1 to 3 seeds``.

    Unfinished jobs do not count.
    """
    counts = sorted({len(setting.accuracy) for setting in settings})
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} seeds"
    return f"{counts[0]} seed{'s' * (counts[0] > 1)}{' each' * (len(settings) > 1)}"


def headline(settings: Sequence[Setting]) -> str:
    """What the test says, with numbers."""
    known, found = ranked(settings), duels(settings)
    if not known:
        return "Nothing has finished yet"
    best = known[0]
    if not found:
        return f"Accuracy {percent(best.mean)} over {seeds_of(known)}"
    if all(duel.decided for duel in found):
        return (
            f"{best.name} is ahead by more than seed noise: {percent(best.mean)} against "
            f"{percent(known[1].mean)}{' and less' * (len(known) > 2)}, {seeds_of(known)}"
        )
    if all(math.isnan(duel.p) for duel in found):
        return (
            f"Seed noise is not known: {percent(known[-1].mean)} to {percent(best.mean)} over {len(known)} settings, "
            f"{seeds_of(known)}"
        )
    level = [best, *(duel.other for duel in found if not duel.decided)]
    which = "" if len(level) == len(known) else f" between the first {len(level)} of {len(known)} settings"
    tested = [duel.p for duel in found if not duel.decided and not math.isnan(duel.p)]
    p = f", p = {min(tested):.2f}" if tested else ""
    return (
        f"No difference beyond seed noise{which}: {percent(level[-1].mean)} to {percent(best.mean)}, "
        f"{seeds_of(level)}{p}"
    )


def sentences(settings: Sequence[Setting]) -> list[str]:
    """The numbers behind the headline, and what to do where they say little."""
    known, found = ranked(settings), duels(settings)
    if not known:
        return ["No job has finished, so there is nothing to compare yet."]
    best = known[0]
    said = [f"Highest mean: {best.name}, accuracy {percent(best.mean)} over {seeds_of([best])}."]
    if not found:
        return [*said, "It is the only setting that has finished jobs."]
    said += [sentence(duel) for duel in found[:MAX_RIVALS] if duel.seeds > 1]
    if len(found) > 1 and any(duel.seeds > 1 for duel in found):
        said.append(f"Each p is multiplied by {len(found)}, the number of comparisons.")
    if any(duel.seeds < 2 for duel in found):
        said.append(
            "Where settings have fewer than two seeds in common, whether a difference is more than seed noise cannot "
            "be told. Sweep over seeds: seed=0,1,2."
        )
    elif any(duel.seeds == 2 for duel in found):
        said.append(
            "Two seeds hardly show how far seeds scatter, so the intervals are wide and small differences cannot be "
            "seen. Sweep over more: seed=0,1,2,3."
        )
    if len(known) > 2:
        said.append(
            f"The highest of {len(known)} settings was picked by these same numbers, which flatters it: run it again "
            "with other seeds before relying on the difference."
        )
    return said


def sentence(duel: Duel) -> str:
    """The difference of one pair, and what it says."""
    size = f"{in_points(duel.difference)} over {duel.seeds} seeds"
    if math.isnan(duel.p):
        return (
            f"Against {duel.other.name} ({percent(duel.other.mean)}): {size}, the same at each; how many problems were "
            "asked is not known, so whether this is more than chance cannot be told."
        )
    answer = "more than seed noise" if duel.decided else "no more than seed noise would give"
    spread = f"95% interval {100 * duel.low:+.1f} to {100 * duel.high:+.1f}"
    return (
        f"Against {duel.other.name} ({percent(duel.other.mean)}): {size}, {answer} ({spread}, paired t-test, "
        f"p = {duel.p:.3f})."
    )
