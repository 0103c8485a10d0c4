"""How often, and in which wordings, the judge `constitution` asks for one score.

A *reading* is one question: a rubric (a template), an order of the labels and the number of the
repeat. Every score is made of all readings of its objective, asked side by side, and
`spa.components.judges.averaging` puts them together again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from spa.components.judges.configs import ConstitutionConfig, Order

__all__ = ["Reading", "readings_of"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One question about one response and one objective.

    Attributes:
        template: What is asked.
        values: The score of each label; empty where the model writes a number.
        worst: The mark that stands for the lowest score.
        best: The mark that stands for the highest score.
        mirrored: Whether a number that the model writes counts from the other end of the scale.
    """

    template: str
    values: tuple[float, ...]
    worst: str
    best: str
    mirrored: bool


def readings_of(config: ConstitutionConfig) -> tuple[Reading, ...]:
    """All readings of a score: by template, then by order, then by repeat."""
    return tuple(
        _reading(config, template, order)
        for template, order, _ in product(config.templates, config.orders, range(config.repeats))
    )


def _reading(config: ConstitutionConfig, template: str, order: Order) -> Reading:
    mirrored = order == "reversed"
    if config.mode == "generate":
        ends = (f"{config.lowest:g}", f"{config.highest:g}")
        worst, best = reversed(ends) if mirrored else ends
        return Reading(template, (), worst, best, mirrored)
    given = config.label_values
    values = given[::-1] if mirrored else given
    places = range(len(values))
    worst = config.labels[min(places, key=values.__getitem__)]
    best = config.labels[max(places, key=values.__getitem__)]
    return Reading(template, values, worst, best, mirrored)
