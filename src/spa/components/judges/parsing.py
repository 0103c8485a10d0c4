"""Reads the score out of what a judge wrote, or says that there is none.

Used by the judge `constitution` in mode `generate`. A wrong number is worse than none: where the
text can be read in two ways, it is not read at all, and a number off the scale is never moved
onto it.
"""

from __future__ import annotations

import re

__all__ = ["parse_score"]

_NUMBER = r"(?<![\w.,/])[-+\N{MINUS SIGN}]?\d+(?:[.,]\d+)?(?!\w)(?![.,]\d)(?!\s*/\s*\d)"
_RANGE = r"(\s*(?:[-\N{EN DASH}]|to|or)\s*\d)?"
_MARKUP = r"[\s*_`~#>\"'(\[{:=]*"
_LEADING = re.compile(rf"{_MARKUP}({_NUMBER}){_RANGE}")
_ALONE = re.compile(rf"{_MARKUP}({_NUMBER})[\s*_`~\"')\]}}.!]*")
_NAMED = re.compile(
    rf"\b(?:score|rating|rate|rated|grade)\b(?:\s+(?:is|of|would\s+be))?{_MARKUP}({_NUMBER}){_RANGE}",
    re.I,
)
_ANY = re.compile(_NUMBER)


def parse_score(text: str, *, prefill: str, lowest: float, highest: float) -> float | None:
    """The score that ``text`` states.

    Read in this order: the number that continues a prefill, a text that is nothing but a number,
    the number named as the score, the only number. Mentions of the scale ("from 1 to 10", "/10",
    "out of 10") do not count as numbers; "4/5" on a scale up to 10 is no score.

    Args:
        text: What the judge wrote after the prefill.
        prefill: What its answer began with.
        lowest: Lowest valid score.
        highest: Highest valid score.

    Returns:
        A score in [lowest, highest], or ``None`` when there is none, more than one, a range, or
        one that is off the scale.
    """
    plain = _without_scale(text, lowest, highest)
    if prefill.strip() and (match := _LEADING.match(plain)):
        stated = [match.groups()]
    elif match := _ALONE.fullmatch(plain):
        stated = [(match[1], "")]
    else:
        stated = _NAMED.findall(plain) or [(number, "") for number in _ANY.findall(plain)]
    found = {_value(number) for number, _ in stated}
    if len(found) != 1 or any(rest_of_range for _, rest_of_range in stated):
        return None
    score = found.pop()
    return score if lowest <= score <= highest else None


def _without_scale(text: str, lowest: float, highest: float) -> str:
    low, high = (rf"{re.escape(f'{bound:g}')}(?:\.0+)?(?!\.?\w)" for bound in (lowest, highest))
    span = rf"(?<![\w.]){low}\s*(?:-|\N{{EN DASH}}|to|and)\s*{high}"
    return re.sub(rf"{span}|(?:/|\bout\s+of\b)\s*{high}", " ", text, flags=re.I)


def _value(number: str) -> float:
    return float(number.replace(",", ".").replace("\N{MINUS SIGN}", "-"))
