"""Pages from the templates of this folder. Every value is escaped, and a value that is missing is an error."""

from pathlib import Path

import jinja2

from r1zero.reporting.charts import svg
from r1zero.reporting.text import percent

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> jinja2.Environment:
    """Jinja over the templates, with ``svg`` (of a chart) and ``percent`` as filters."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    found = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    found.filters.update(svg=svg, percent=percent)
    return found
