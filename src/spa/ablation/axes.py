"""What varies in an ablation: ``--swap loss=spa,dpo`` and ``--set loss.alpha=0.5,1`` as axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from spa.errors import UsageError

__all__ = ["SEED_KEYS", "Axis", "read_axes", "split_values"]

SEED_KEYS = ("seed", "train.seed")
"""Keys whose values are repetitions of one setting, not settings of their own."""

_OPENING = {"[": "]", "{": "}"}
_EXAMPLES = {"swap": "--swap loss=spa,simpo", "set": "--set loss.alpha=0.5,1"}


@dataclass(frozen=True, slots=True)
class Axis:
    """A key and the values that it takes in turn.

    Attributes:
        option: The option that sets it.
        key: A section for ``swap``, a dotted key for ``set``.
        values: Each as its option would be given it alone; at least one.
    """

    option: Literal["swap", "set"]
    key: str
    values: tuple[str, ...]

    @property
    def varies(self) -> bool:
        """Whether it has more than one value; otherwise it holds for all cells."""
        return len(self.values) > 1

    @property
    def is_seed(self) -> bool:
        """Whether its values are repetitions of one setting."""
        return self.option == "set" and self.key in SEED_KEYS


def read_axes(swaps: Sequence[str], sets: Sequence[str]) -> tuple[Axis, ...]:
    """The axes that options give, swaps first, each in the order given.

    Raises:
        UsageError: If an option is not ``KEY=VALUE,VALUE``, a value is missing or there twice, or
            one key has two options.
    """
    axes = [_axis("swap", text) for text in swaps] + [_axis("set", text) for text in sets]
    seen: dict[tuple[str, str], Axis] = {}
    for axis in axes:
        before = seen.setdefault((axis.option, axis.key), axis)
        if before is not axis:
            both = ",".join((*before.values, *axis.values))
            raise UsageError(
                f"--{axis.option} {axis.key}=... is given twice. Give all its values at once: "
                f"--{axis.option} {axis.key}={both}"
            )
    return tuple(axes)


def split_values(text: str) -> list[str]:
    """The values of a text, separated by commas outside of quotes, brackets and braces.

    A quote opens only where a YAML value can begin, so that an apostrophe inside of a word is one.

    Raises:
        ValueError: If a bracket, brace or quote is not closed.
    """
    values = [""]
    closing: list[str] = []
    quote = ""
    fresh = True  # whether a value can begin here
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and fresh:
            quote = character
        elif character in _OPENING and (fresh or closing):
            closing.append(_OPENING[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == "," and not closing:
            values.append("")
            fresh = True
            continue
        values[-1] += character
        fresh = (character.isspace() and fresh) or (bool(closing) and character in "[{,: ")
    if quote or closing:
        raise ValueError(f"{quote or closing[-1]} is missing at the end")
    return [value.strip() for value in values]


def _axis(option: Literal["swap", "set"], text: str) -> Axis:
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(
            f"--{option} {text}: write it as KEY=VALUE,VALUE, for example: {_EXAMPLES[option]}"
        )
    try:
        values = split_values(rest)
    except ValueError as error:
        raise UsageError(f"--{option} {text}: {error}.") from error
    if len(values) > 1 and "" in values:
        raise UsageError(
            f"--{option} {text}: a value between two commas is missing. "
            "A text with a comma in it needs quotes."
        )
    for value in _repeated(values):
        raise UsageError(f"--{option} {text}: {value} is there twice. Leave one out.")
    return Axis(option, key, tuple(values))


def _repeated(values: Sequence[str]) -> Iterator[str]:
    yield from (value for place, value in enumerate(values) if value in values[:place])
