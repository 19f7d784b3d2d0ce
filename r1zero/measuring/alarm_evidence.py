"""Which completions of a step show an alarm, and what the judges said of a completion.

A chooser takes the completions of a step and the name of the accuracy judge, and returns the rows that show its alarm,
the clearest ones first.
"""

from typing import Any

import pandas as pd


def first_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """In the order of the file."""
    return frame


def truncated_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those cut off."""
    return frame[frame["truncated"]] if "truncated" in frame else frame


def paid_but_wrong(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Not correct, best paid first."""
    scores = [column for column in frame if str(column).endswith("/score")]
    order = frame[scores].sum(axis=1).sort_values(ascending=False, kind="stable").index
    ranked = frame.loc[order]
    return ranked[ranked[f"{judge}/outcome"] != "CORRECT"]


def longest_wrong(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Not correct, longest first."""
    wrong = frame[frame[f"{judge}/outcome"] != "CORRECT"]
    return wrong.loc[wrong["completion"].str.len().sort_values(ascending=False, kind="stable").index]


def looping_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those that end in a loop."""
    return frame[frame["loops"] > 0] if "loops" in frame else frame


def ungradeable_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those that a judge could not judge."""
    outcomes = frame[[column for column in frame if str(column).endswith("/outcome")]]
    return frame[(outcomes == "UNGRADEABLE").any(axis=1)]


def judge_lines(row: dict[str, Any]) -> list[str]:
    """What each judge said of a completion: ``format: BAD_FORMAT 0.1, 2 <answer>``."""
    judges = [str(column).removesuffix("/outcome") for column in row if str(column).endswith("/outcome")]
    lines = []
    for judge in sorted(judges):
        score, detail = row.get(f"{judge}/score"), row.get(f"{judge}/detail")
        said = f"{judge}: {row[f'{judge}/outcome']}" + ("" if score is None or pd.isna(score) else f" {score:g}")
        lines.append(said + (f", {detail}" if isinstance(detail, str) and detail else ""))
    return lines
