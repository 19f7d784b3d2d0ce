"""Pages from the templates of this folder. Every value is escaped, and a value that is missing is an error."""

import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from r1zero.reporting.charts import svg
from r1zero.reporting.text import percent

TEMPLATES = Path(__file__).parent / "templates"


def breakable(text: str) -> Markup:
    """``text``, escaped, that may break behind the signs within keys and paths, so that long ones fit a column.

    >>> breakable("reward.weights.format=0.5")
    Markup('reward.<wbr>weights.<wbr>format=<wbr>0.5')
    """
    return Markup(re.sub(r"((?<=\w)[./=,_](?=[A-Za-z])|=(?=\S))", r"\1<wbr>", str(escape(text))))


def environment() -> jinja2.Environment:
    """Jinja over the templates, with ``svg`` (of a chart), ``percent`` and ``breakable`` as filters."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    found = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    found.filters.update(svg=svg, percent=percent, breakable=breakable)
    return found
