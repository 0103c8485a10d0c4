"""The core schema of YAML 1.2: which unquoted texts are null, true, false or a number.

YAML 1.1 readers take ``yes`` for true and ``1e-5`` for text; recipes follow 1.2, where ``yes`` is
text and ``1e-5`` a number (https://yaml.org/spec/1.2.2/#1032-tag-resolution).
"""

from __future__ import annotations

import re

from spa.recipe.tree import ScalarValue

__all__ = ["NUMBER", "TAG_REFUSED", "core_value", "tagged_value"]

_CONSTANTS: dict[str, ScalarValue] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
TAG_REFUSED = "the tag '{tag}' is not allowed: recipes hold plain values only. Leave it out"
_LONGEST_INTEGER = 4000
_TAG = "tag:yaml.org,2002:"


def core_value(text: str) -> ScalarValue:
    """The value of an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text) and len(text) <= _LONGEST_INTEGER:
        return int(text)
    if _OTHER_BASE.match(text) and len(text) <= _LONGEST_INTEGER:
        return int(text, 0)
    if NUMBER.match(text):
        return float(text)
    return text


def tagged_value(text: str, tag: str) -> ScalarValue:
    """The value of a scalar with one of YAML's own tags.

    Raises:
        ValueError: If the tag is not one of the core schema, or the text does not fit it.
    """
    if tag in ("!", f"{_TAG}str"):
        return text
    value = core_value(text)
    kind = tag.removeprefix(_TAG) if tag.startswith(_TAG) else ""
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, float),
        "bool": isinstance(value, bool),
        "null": value is None,
    }
    if kind not in fits:
        raise ValueError(TAG_REFUSED.format(tag=tag))
    if not fits[kind]:
        raise ValueError(f"{text!r} does not fit its tag '!!{kind}'")
    return value
