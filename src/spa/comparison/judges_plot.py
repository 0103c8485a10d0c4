"""The agreement of judges as a picture: RV as prompts are admitted by rising det(S).

Left the agreement over all answers, right within prompts; the interval is a band, what chance gives
a dashed line. Upright lines stand at the tau of the recipe, and at the one that the curve suggests;
a bend that drawing other prompts could undo suggests none, and is not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.errors import UsageError

if TYPE_CHECKING:
    from spa.comparison.judges import JudgesAgreement
    from spa.evaluation.agreement import Step

__all__ = ["FORMATS", "check_plot", "plot_spec", "write_plot"]

FORMATS = (".html", ".png", ".svg")
"""Endings of files that can be drawn."""

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name; nothing is fetched
_PANELS = (("overall", "over all answers"), ("within", "within prompts"))
_AGREEMENT, _CHANCE, _TAU, _READ = (
    "RV, 95 % interval", "by chance", "tau of the recipe", "suggested tau",
)  # fmt: skip
# Colours of Okabe and Ito (2008), which people with any colour vision tell apart.
_COLOURS = {_AGREEMENT: "#0072B2", _CHANCE: "#8A8A8A", _TAU: "#D55E00", _READ: "#009E73"}
_SIZE = {"width": 320, "height": 220}
_PIXELS_AN_INCH = 144


def check_plot(file: Path) -> None:
    """Whether a picture can be written there, before anything is computed.

    Raises:
        UsageError: If its ending is not one of `FORMATS`, or its folder does not exist.
    """
    if file.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--plot {file}: what to draw is told by the ending. Valid: {', '.join(FORMATS)}."
        )
    if not file.resolve().parent.is_dir():
        raise UsageError(
            f"--plot {file}: the folder {file.parent} does not exist. Make it, or give another."
        )


def write_plot(found: Sequence[JudgesAgreement], file: Path) -> None:
    """Draws the curves into a file, as its ending says; nothing is fetched, HTML is whole.

    Raises:
        UsageError: If the file cannot be written, or no pair of judges has a curve.
    """
    import vl_convert

    check_plot(file)
    if not any(each.steps for each in found):
        raise UsageError("no group has a determinant above 0, so there is no curve to draw.")
    spec, ending = plot_spec(found), file.suffix.lower()
    if ending == ".png":
        content: bytes = vl_convert.vegalite_to_png(spec, ppi=_PIXELS_AN_INCH)
    elif ending == ".svg":
        content = vl_convert.vegalite_to_svg(spec).encode()
    else:
        content = vl_convert.vegalite_to_html(spec, bundle=True).encode()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--plot {file} cannot be written: {error.strerror}.") from None


def plot_spec(found: Sequence[JudgesAgreement]) -> dict[str, Any]:
    """The picture in Vega-Lite: a row a pair of judges."""
    return {
        "$schema": _SCHEMA,
        "background": "white",
        "vconcat": [_row(each) for each in found if each.steps],
        "config": {"font": "sans-serif", "view": {"stroke": None}},
    }


def _row(found: JudgesAgreement) -> dict[str, Any]:
    names = f"{_plain(found.first)}, whose det(S) admits prompts, and {_plain(found.second)}"
    return {
        "title": {"text": names, "anchor": "start"},
        "hconcat": [_panel(found, kind, title) for kind, title in _PANELS],
    }


def _panel(found: JudgesAgreement, kind: str, title: str) -> dict[str, Any]:
    bend = found.bend if found.bend is not None and found.bend.is_supported else None
    upright = [(_TAU, _tau_share(found)), (_READ, None if bend is None else bend.step.share)]
    marks = [(name, share) for name, share in upright if share is not None]
    used = [_AGREEMENT, _CHANCE, *(name for name, _ in marks)]
    colour = {
        "type": "nominal",
        "scale": {"domain": used, "range": [_COLOURS[name] for name in used]},
        "legend": {"title": None, "orient": "bottom"},
    }
    x = {
        "field": "share",
        "type": "quantitative",
        "title": "share of prompts admitted, by rising det(S)",
        "axis": {"format": "%"},
        "scale": {"domain": [0, 1]},
    }
    scale = {"domain": [0, 1], "clamp": True}
    y = {"field": "rv", "type": "quantitative", "title": "RV coefficient", "scale": scale}
    return {
        **_SIZE,
        "title": {"text": title, "fontWeight": "normal", "anchor": "start"},
        "data": {"values": [_values(step, kind) for step in found.steps]},
        "encoding": {"x": x, "tooltip": _tooltip()},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.2, "color": _COLOURS[_AGREEMENT]},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "strokeDash": [4, 3]},
                "encoding": {
                    "y": {**y, "field": "chance"},
                    "color": {**colour, "datum": _CHANCE},
                },
            },
            {
                "mark": {"type": "line", "point": True},
                "encoding": {"y": y, "color": {**colour, "datum": _AGREEMENT}},
            },
            *(
                {
                    "data": {"values": [{"share": share}]},
                    "mark": {"type": "rule", "strokeWidth": 2},
                    "encoding": {"color": {**colour, "datum": name}, "tooltip": {"value": name}},
                }
                for name, share in marks
            ),
        ],
    }


def _tau_share(found: JudgesAgreement) -> float | None:
    return None if found.within_tau is None else found.within_tau / found.steps[-1].groups


def _values(step: Step, kind: str) -> dict[str, float | int | None]:
    agreement = getattr(step, kind)
    return {
        "share": step.share,
        "determinant": step.determinant,
        "groups": step.groups,
        **{name: getattr(agreement, name) for name in ("rv", "low", "high", "chance")},
    }


def _tooltip() -> list[dict[str, str]]:
    titles = {
        "groups": "prompts",
        "determinant": "det(S) up to",
        "rv": "RV",
        "low": "from",
        "high": "to",
        "chance": "by chance",
    }
    return [
        {"field": name, "title": title, "type": "quantitative", "format": ".3~g"}
        for name, title in titles.items()
    ]


def _plain(name: str) -> str:
    """A name that ends no script in HTML."""
    return name.replace("<", "(").replace(">", ")")
