"""How ``make docs`` builds the pages: Sphinx with Markdown; keys and charts are written from the code itself."""

import dataclasses
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from r1zero.config.kinds import KINDS  # noqa: E402
from r1zero.config.schema import PARTS, Config  # noqa: E402
from r1zero.config.trainer_keys import REFUSED, SET_ELSEWHERE, TrainerKeys  # noqa: E402
from r1zero.reporting.panels import SECTIONS  # noqa: E402

project = "r1zero"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "r1zero"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
# Links into the source tree, which the pages do not hold; tests/test_references.py checks that they exist.
suppress_warnings = ["myst.xref_missing"]
autodoc_member_order = "bysource"


def meanings(cls: type) -> dict[str, str]:
    """What the ``Attributes`` of a dataclass's docstring say of each key."""
    _, _, attributes = (cls.__doc__ or "").partition("Attributes:")
    found: dict[str, str] = {}
    for names, said in re.findall(r"^ {8}(\w[\w, ]*): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE):
        found |= {name.strip(): " ".join(said.split()) for name in names.split(",")}
    return found


def default_of(field: dataclasses.Field) -> str:
    """The default of a key as it is written; empty where it must be given."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return ""
    written = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    return "" if value == "???" else f"`{written}`"


def table(prefix: str, cls: type) -> list[str]:
    """The keys of a part as rows of a table."""
    said = {key: text for base in reversed(cls.__mro__) for key, text in meanings(base).items()}
    fields = [field for field in dataclasses.fields(cls) if not dataclasses.is_dataclass(field.default)]
    lines = [f"| `{prefix}{field.name}` | {default_of(field)} | {said.get(field.name, '')} |" for field in fields]
    return ["", "| key | default | meaning |", "| --- | --- | --- |", *(line.replace("``", "`") for line in lines), ""]


def keys_page() -> str:
    """Every key of a run."""
    lines = ["# All keys", "", "Written from the dataclasses in `r1zero/config/`. `python -m r1zero.train --cfg job`"]
    lines += ["prints the values of a run. Files in `conf/` set some of them otherwise.", "", "## Of the run"]
    top = {field.name for field in dataclasses.fields(Config)} - PARTS.keys() - {"task", "trainer"}
    lines += [line for line in table("", Config) if not line.startswith("| `") or line.split("`")[1] in top]
    for part, cls in PARTS.items():
        lines += [f"## `{part}`", "", (cls.__doc__ or "").partition("\n")[0], *table(f"{part}.", cls)]
    for kind, cls in KINDS.items():
        lines += [f"## `task` of the kind {kind}", "", (cls.__doc__ or "").partition("\n")[0], *table("task.", cls)]
    lines += ["## `trainer`", "", "Keys of TRL's `GRPOConfig`; TRL's documentation says what they mean."]
    lines += table("trainer.", TrainerKeys)
    lines += ["### Set elsewhere", "", "| key | set instead |", "| --- | --- |"]
    lines += [f"| `trainer.{key}` | {text.replace('nothing: ', 'nothing; ')} |" for key, text in SET_ELSEWHERE.items()]
    lines += ["", "### Refused", "", "| key | why |", "| --- | --- |"]
    lines += [f"| `trainer.{key}` | {text} |" for key, text in REFUSED.items()]
    return "\n".join(lines) + "\n"


def charts_page() -> str:
    """Every chart of the report."""
    lines = ["# Every chart of the report", "", "Written from `r1zero/reporting/panels.py`, which the report, the"]
    lines += ["comparison and the W&B workspace share. Braces stand for a task, a judge or an outcome."]
    for section in SECTIONS:
        lines += ["", f"## {section.title}", "", section.note, "", "| chart | line | metric |", "| --- | --- | --- |"]
        for panel in section.panels:
            said = " ".join(filter(None, (panel.meaning, panel.note)))
            title = f"**{panel.title}** {said}".strip()
            for name, metric in panel.curves.items():
                lines.append(f"| {title} | {name} | `{metric}` |")
                title = ""
    return "\n".join(lines) + "\n"


def write(app: object) -> None:
    """Write the two pages, if they changed."""
    for name, text in (("keys.md", keys_page()), ("charts.md", charts_page())):
        path = ROOT / "docs" / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: object) -> None:
    """Sphinx calls this first."""
    app.connect("builder-inited", write)  # type: ignore[attr-defined]
