"""The commands that the documents show compose: what a reader copies is no mistake."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from toy import compose_config

from r1zero.config.shorthand import expand
from r1zero.evaluating.plan import plan

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"(?:python -m r1zero\.|^r1zero )(train|memory|evaluate|data)((?: +[^`|#\n]+)?)", re.MULTILINE)
EXAMPLE = re.compile(r"\.\.\.|\b[A-Z]{3,}\b|runs/|/path|compare=|--config-dir|resume=")  # stands for the reader's own
NOT_COMPOSED = re.compile(r"-m|--multirun|--cfg|job|hydra[./]\S+|pass_rate=\S+|low=\S+|high=\S+|show=\S+|ngram=\S+")
WRITTEN = ("keys.md", "charts.md")  # by `make docs`
OF_THIS_MACHINE = ("++trainer.bf16=false", "++trainer.use_cpu=true")  # recipes are written for a GPU


def documented() -> list[tuple[str, str]]:
    """(command, its arguments) in every document, without those that stand for something of the reader's."""
    found = set()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        text = "" if path.name in WRITTEN else path.read_text(encoding="utf-8").replace("\\\n", " ")
        found |= {(command, rest.strip()) for command, rest in COMMAND.findall(text) if not EXAMPLE.search(rest)}
    return sorted(found)


def first_job(words: list[str]) -> list[str]:
    """The arguments of a sweep's first job; what is drawn from an interval is left out."""
    overrides = OverridesParser.create().parse_overrides(words)
    chosen = []
    for override, word in zip(overrides, words, strict=True):
        if not override.is_sweep_override():
            chosen.append(word)
        elif override.is_choice_sweep():
            chosen.append(f"{override.get_key_element()}={next(override.sweep_string_iterator())}")
    return chosen


def test_the_documents_show_commands() -> None:
    assert {command for command, _ in documented()} >= {"train", "memory", "evaluate", "data"}


@pytest.mark.parametrize(("command", "rest"), documented())
def test_a_documented_command_composes(command: str, rest: str) -> None:
    words = [word for word in shlex.split(rest) if not NOT_COMPOSED.fullmatch(word)]
    if command in ("evaluate", "data"):
        assert plan(words, train_rows=command == "data").configs
        return
    compose_config(*first_job(expand(words)), *OF_THIS_MACHINE, "launch.num_processes=1")
