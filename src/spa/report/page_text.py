"""Puts the page together: template, style, scripts and data, all in one text."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from spa import __version__
from spa.harmless import harmless
from spa.report.blocks import Chart, Line, Section
from spa.report.bundle import vega_bundle
from spa.report.embedding import embedded_json, script_hash

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["page_text"]

_INTERVAL = re.compile(r"\[([-+.\d%]+), ([-+.\d%]+)\]")
_SCRIPTS = ("theme.js", "charts.js", "choosing.js", "list.js", "detail.js", "browser.js")


def page_text(
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    examples: Sequence[dict[str, Any]],
    example_lines: Sequence[Line],
) -> str:
    """The HTML of a report.

    Args:
        title: Names the runs.
        subtitle: Says in a line what they are.
        sections: In order.
        examples: What the browser has of each run.
        example_lines: What is said above the browser.
    """
    from jinja2 import Environment, select_autoescape
    from markupsafe import Markup

    def text(value: Any) -> Any:  # noqa: ANN401 - of the template
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return harmless(value) if plain else value

    environment = Environment(
        autoescape=select_autoescape(default_for_string=True, default=True), finalize=text
    )
    environment.filters["together"] = _together
    charts = {
        block.name: block.spec
        for section in sections
        for block in section.blocks
        if isinstance(block, Chart)
    }
    own = [_file(name) for name in _SCRIPTS]
    scripts = [vega_bundle(), *own]
    return environment.from_string(_file("report.html")).render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        example_lines=example_lines,
        version=__version__,
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        hashes=" ".join(map(script_hash, scripts)),
        css=Markup(_file("report.css")),
        charts=Markup(embedded_json(charts)),
        examples=Markup(embedded_json(list(examples))),
        scripts=[Markup(script) for script in scripts],
    )


def _together(text: str) -> str:
    """The text with intervals that no line break parts."""
    return _INTERVAL.sub("[\\1,\N{NO-BREAK SPACE}\\2]", text)


def _file(name: str) -> str:
    page: Traversable = files("spa.report") / "page" / name
    return page.read_text(encoding="utf-8")
