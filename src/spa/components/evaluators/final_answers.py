r"""Reads the final answer out of a worked solution, and says whether it is the right one.

Looked for in this order, as solutions of GSM8K and of models have it: what follows the last
``####``, what is boxed (``\boxed{...}``), what follows the last "answer is", and of numbers the
last one in the text.
"""

from __future__ import annotations

import re
import string
from decimal import Decimal, InvalidOperation
from typing import Literal

__all__ = ["Kind", "final_answer", "is_same", "reference_answer"]

Kind = Literal["number", "text"]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|[-+]?\.\d+")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_SAID = re.compile(r"\banswer(?: is|:)[\s*:]*([^\n]*)", re.IGNORECASE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def final_answer(text: str, kind: Kind) -> str | None:
    """The answer at which a text arrives; None if there is none.

    Args:
        text: What a model wrote.
        kind: For ``"number"``, the first number after a mark, or the last one of all. For
            ``"text"``, the line after a mark, or the last line.
    """
    for found in _marked(text):
        if kind == "text" and _plain(found):
            return found.strip()
        number = _NUMBER.search(found)
        if kind == "number" and number is not None:
            return number[0]
    if kind == "number":
        numbers = _NUMBER.findall(text)
        return numbers[-1] if numbers else None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def reference_answer(text: str) -> str:
    """The answer that a data set gives: what follows its last ``####``, or all of it."""
    return text.rpartition("####")[2].strip()


def is_same(answer: str, reference: str, kind: Kind) -> bool:
    """Whether two answers are equal, as numbers or as texts; what holds neither equals nothing."""
    if kind == "text":
        return bool(_plain(answer)) and _plain(answer) == _plain(reference)
    left, right = _value(answer), _value(reference)
    return left is not None and left == right


def _marked(text: str) -> list[str]:
    """What follows marks of a final answer, the surest first."""
    found = []
    if "####" in text:
        found.append(text.rpartition("####")[2].strip().partition("\n")[0])
    return [*found, *_BOXED.findall(text)[-1:], *_SAID.findall(text)[-1:]]


def _plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _value(text: str) -> Decimal | None:
    number = _NUMBER.search(text)
    if number is None:
        return None
    try:
        return Decimal(number[0].replace(",", ""))
    except InvalidOperation:
        return None
