"""The figures that the paper publishes, to lay beside one's own.

Source: SPA (arXiv 2511.06222). Means on a scale of 1 to 10, with GPT-4o as the judge; the paper
gives neither seeds nor intervals. Names are those of ``recipes/paper``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.errors import UsageError
from spa.types import JsonValue

__all__ = ["PUBLISHED", "SOURCE", "PublishedTable", "find_published"]

SOURCE = (
    "Published in arXiv 2511.06222: means on a scale of 1 to 10 with GPT-4o as the judge, without "
    "seeds or intervals. Scores of different judges do not compare: compare differences, and "
    "values only where your judge and scale are the same"
)
_HARMLESS = ("harmlessness", "helpfulness")
_HONEST = ("honesty", "helpfulness")
_HH = ("HH_5", "HH_10", "HH_20")


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """What is published for one model on one set of prompts.

    Attributes:
        name: Of the recipe in ``recipes/paper``.
        figures: The columns.
        rows: Method to its figures; None where none is published.
    """

    name: str
    figures: tuple[str, ...]
    rows: Mapping[str, tuple[float | None, ...]]

    @property
    def head(self) -> list[str]:
        """Titles of the columns."""
        return [f"published for {self.name}", *self.figures]

    def shown(self) -> list[list[str]]:
        """The rows as texts; nothing where nothing is published."""
        return [
            [method, *("" if value is None else f"{value:.2f}" for value in values)]
            for method, values in self.rows.items()
        ]

    def as_json(self) -> JsonValue:
        """All of it; figures that are not published are null."""
        rows: dict[str, JsonValue] = {
            method: dict(zip(self.figures, values, strict=True))
            for method, values in self.rows.items()
        }
        return {"name": self.name, "source": SOURCE, "rows": rows}


def _plain(
    name: str, figures: tuple[str, ...], rows: Sequence[tuple[str, float, float]]
) -> PublishedTable:
    return PublishedTable(name, figures, {method: tuple(values) for method, *values in rows})


_TABLES = (
    PublishedTable(
        "llama-3.1-8b-saferlhf",
        (*_HARMLESS, *_HH),
        {
            "vanilla": (9.62, 5.23, None, None, None),
            "SFT": (9.68, 5.57, None, None, None),
            "Self-Criticism": (None, None, 9.32, 9.47, 9.56),
            "Reward Soups 9:1": (None, None, 9.28, 9.56, 9.72),
            "SPA-DPO": (9.96, 5.80, None, None, None),
            "SPA-SimPO": (9.87, 6.98, None, None, None),
            "SPA without denoising": (9.77, 6.99, None, None, None),
            "SPA": (9.90, 7.14, 9.44, 9.65, 9.77),
        },
    ),
    _plain(
        "llama-3.1-8b-wildguard",
        _HARMLESS,
        [
            ("vanilla", 8.22, 6.09),
            ("SFT", 9.79, 3.20),
            ("SPA-DPO", 8.35, 5.93),
            ("SPA-SimPO", 8.92, 5.45),
            ("SPA", 8.85, 6.22),
        ],
    ),
    _plain(
        "llama-3.1-8b-honeset",
        _HONEST,
        [
            ("vanilla", 6.30, 7.75),
            ("SFT", 6.11, 7.66),
            ("SPA-DPO", 6.36, 7.81),
            ("SPA-SimPO", 7.74, 7.72),
            ("SPA", 7.75, 7.83),
        ],
    ),
    _plain(
        "mistral-7b-saferlhf",
        _HARMLESS,
        [
            ("vanilla", 8.83, 7.53),
            ("SPA-SimPO", 9.72, 8.36),
            ("SPA without denoising", 9.60, 8.21),
            ("SPA", 9.76, 8.39),
        ],
    ),
    _plain(
        "mistral-7b-wildguard",
        _HARMLESS,
        [("vanilla", 6.83, 7.15), ("SPA-SimPO", 7.19, 7.40), ("SPA", 7.27, 7.44)],
    ),
    _plain(
        "mistral-7b-honeset",
        _HONEST,
        [("vanilla", 5.81, 7.62), ("SPA-SimPO", 7.16, 7.77), ("SPA", 7.18, 7.82)],
    ),
)
PUBLISHED: Mapping[str, PublishedTable] = {table.name: table for table in _TABLES}
"""By the name of the recipe."""


def find_published(name: str) -> PublishedTable:
    """The figures published for a recipe of ``recipes/paper``.

    Raises:
        UsageError: If there are none of that name.
    """
    try:
        return PUBLISHED[name]
    except KeyError:
        raise UsageError(
            f"nothing is published under {name!r}. Valid: {', '.join(PUBLISHED)}."
        ) from None
