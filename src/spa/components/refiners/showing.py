"""How refiners write out what a model is shown: objectives in order, samples with their scores."""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Group, Objective, Scored
from spa.components.text import transcript

__all__ = ["cut", "shown"]


def shown(group: Group, objectives: Sequence[Objective], max_chars: int) -> dict[str, str]:
    """The values of a template's ``{objectives}``, ``{prompt}`` and ``{samples}``.

    Args:
        group: The prompt and its samples, scored.
        objectives: Most important first.
        max_chars: Characters shown of each sample.
    """
    return {
        "objectives": "\n".join(
            f"{place}. {o.name}: {o.definition.strip()}" for place, o in enumerate(objectives, 1)
        ),
        "prompt": transcript(group.prompt.messages),
        "samples": "\n\n".join(
            f"Answer {place} got {_scores(scored, objectives)}:\n"
            f"{cut(scored.response.text, max_chars)}"
            for place, scored in enumerate(group.samples, 1)
        ),
    }


def cut(text: str, max_chars: int) -> str:
    """A text of at most so many characters; what is missing is marked by an ellipsis."""
    return text if len(text) <= max_chars else text[:max_chars] + " \N{HORIZONTAL ELLIPSIS}"


def _scores(scored: Scored, objectives: Sequence[Objective]) -> str:
    return ", ".join(_score(scored, objective) for objective in objectives)


def _score(scored: Scored, objective: Objective) -> str:
    score = scored.scores.get(objective.name)
    if score is None or score.value is None:
        return f"no score for {objective.name}"
    best = "" if objective.maximum is None else f" of {objective.maximum:g}"
    return f"{objective.name} {round(score.value, 2):g}{best}"
