"""The agreement of judges as JSON values, CSV, and words."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from spa.comparison.judges import JudgesAgreement
from spa.evaluation.agreement import Agreement, Bend, Step
from spa.types import JsonValue

__all__ = ["as_csv", "as_json", "left_out_line", "reading", "suggested_tau"]

_OF_STEP = ("determinant", "share", "groups", "answers")
_OF_AGREEMENT = ("rv", "low", "high", "chance")
_COLUMNS = (
    "first", "second", *_OF_STEP, *_OF_AGREEMENT, *(f"within_{name}" for name in _OF_AGREEMENT),
)  # fmt: skip


def suggested_tau(found: JudgesAgreement) -> float | None:
    """The determinant after which agreement falls; None where the prompts do not support it."""
    if found.bend is None or not found.bend.is_supported:
        return None
    return found.bend.step.determinant


def as_json(found: Sequence[JudgesAgreement]) -> list[JsonValue]:
    """One object a pair of judges."""
    return [_record(each) for each in found]


def as_csv(found: Sequence[JudgesAgreement]) -> str:
    """The curves: one line a pair of judges and step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in found:
        for step in each.steps:
            numbers = _numbers(step)
            writer.writerow([each.first, each.second, *(numbers[name] for name in _COLUMNS[2:])])
    return text.getvalue()


def left_out_line(found: JudgesAgreement) -> str:
    """How many prompts are in the curve, and why the others are not."""
    used = found.prompts - sum(found.left_out.values())
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
    return f"{used} of {found.prompts} prompts" + (f"; left out: {why}" if why else "")


def reading(found: JudgesAgreement) -> list[str]:
    """What the curve says of tau, as sentences: a reading of the data and not a verdict."""
    if not found.steps:
        return ["No group has a determinant above 0, so there is no curve."]
    lines = []
    bend, last = found.bend, found.steps[-1].overall
    if last.low is not None and last.chance is not None and last.low <= last.chance:
        lines.append(
            f"Over all groups the judges agree no more than chance explains: RV {last.rv:.2f}, "
            f"{last.chance:.2f} by chance."
        )
    if bend is None:
        lines.append("RV does not bend down as groups are admitted: no upper bound is to be read.")
    else:
        step = bend.step
        difference = bend.admitted - bend.left_out
        lines.append(
            f"RV bends down after {step.share:.0%} of the groups, at det(S) = "
            f"{step.determinant:.3g}: it is {bend.admitted:.2f} among those, and "
            f"{bend.left_out:.2f} among the {found.steps[-1].groups - step.groups} beyond "
            f"({difference:+.2f} [{bend.low:+.2f}, {bend.high:+.2f}])."
        )
        if bend.is_supported:
            lines.append(
                f"So these judges and prompts suggest a tau (max_determinant) of "
                f"{step.determinant:.3g}. It is a reading, not a verdict: the bend was looked for "
                "in the same groups, which makes the difference look larger than it is."
            )
        else:
            lines.append("Drawing other prompts could undo that: no upper bound is to be read.")
    if found.tau is not None:
        lines.append(
            f"The tau of the recipe, {found.tau:.3g}, admits {found.within_tau} of the "
            f"{found.steps[-1].groups} groups."
        )
    return lines


def _record(found: JudgesAgreement) -> JsonValue:
    bend = found.bend
    steps: list[JsonValue] = [_numbers(step) for step in found.steps]
    return {
        "first": found.first,
        "second": found.second,
        "prompts": found.prompts,
        "left_out": dict(found.left_out),
        "steps": steps,
        "bend": None if bend is None else _bend(bend),
        "suggested_tau": suggested_tau(found),
        "recipe_tau": found.tau,
        "within_recipe_tau": found.within_tau,
    }


def _bend(bend: Bend) -> JsonValue:
    return {
        "determinant": bend.step.determinant,
        "share": bend.step.share,
        "groups": bend.step.groups,
        "admitted": bend.admitted,
        "left_out": bend.left_out,
        "difference": bend.admitted - bend.left_out,
        "low": bend.low,
        "high": bend.high,
        "supported": bend.is_supported,
    }


def _numbers(step: Step) -> dict[str, JsonValue]:
    numbers: dict[str, JsonValue] = {name: getattr(step, name) for name in _OF_STEP}
    return {**numbers, **_of(step.overall, ""), **_of(step.within, "within_")}


def _of(agreement: Agreement, prefix: str) -> dict[str, JsonValue]:
    return {f"{prefix}{name}": getattr(agreement, name) for name in _OF_AGREEMENT}
