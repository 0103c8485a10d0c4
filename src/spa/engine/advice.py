"""What to do when no preference pair is left: in words, and as settings to try next."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from spa.engine.funnel import FunnelStep
from spa.engine.rows import VerdictRow
from spa.fields import RecipeFacts
from spa.order import score_margin
from spa.recipe import Recipe
from spa.types import Group

__all__ = ["ADVICE", "advice", "settings_to_try"]

ADVICE = {
    "refined_not_better": "The refined response rarely beats every sample: sample fewer responses "
    "(generate.n), refine with a lower temperature, or use a stronger model.",
    "unstable": "The scores spread too far: raise denoise informativeness max_determinant.",
    "degenerate": "The scores do not differ: sample at a higher temperature or with other "
    "system prompts.",
    "no_pair": "The score differences are below the margin: lower pairs.margin.",
    "unscored": "The judge gave no usable score: see the reasons in the judge stage's rows, lower "
    "judge.min_label_mass, or use another judge.",
    "no_refined": "The refiner wrote nothing: raise refine.max_tokens or use another template.",
    "too_few_samples": "Too few samples of a prompt have scores: raise generate.n.",
    "component_error": "A component broke on rows: the reasons are in failures.jsonl of the stage.",
    "refined_unscored": "The judge gave the refined responses no usable score.",
    "ceiling": "The samples already have the highest score: use harder prompts or a finer scale.",
    "too_long": "Prompts do not fit the model's context: shorten them or lower max_tokens.",
}

HIGHEST_TEMPERATURE = 1.5  # above it, text falls apart sooner than answers differ in what they say


def advice(steps: Sequence[FunnelStep]) -> str:
    """What to do about the two reasons that lost most prompts."""
    hints = [ADVICE[reason] for reason in _reasons(steps)[:2] if reason in ADVICE]
    more = "More prompts give more groups that can be kept."
    return "\n".join(["no preference pair is left, so nothing was trained.", *hints, more])


def settings_to_try(
    recipe: Recipe,
    steps: Sequence[FunnelStep],
    verdicts: Iterable[VerdictRow],
    groups: Iterable[Group],
) -> tuple[str, ...]:
    """Settings against the reason that lost most prompts, the most promising first.

    Args:
        recipe: What was run.
        steps: Its funnel.
        verdicts: What denoisers said of every training prompt.
        groups: What they kept.

    Returns:
        Texts for ``--set``, such as ``"prompts.limit=null"``; none where no one value would help.
        Whether the components take them is for the caller to see.
    """
    lost = _Lost(recipe, verdicts, groups)
    reason = next(iter(_reasons(steps)), "")
    return tuple(_SETTINGS[reason](lost)) if reason in _SETTINGS else ()


def _reasons(steps: Sequence[FunnelStep]) -> list[str]:
    lost: Counter[str] = Counter()
    for step in steps:
        lost.update(step.lost)
    return [reason for reason, _ in lost.most_common()]


@dataclass(frozen=True, slots=True)
class _Lost:
    """A round that made no pair; verdicts and groups are gone through once."""

    recipe: Recipe
    verdicts: Iterable[VerdictRow]
    groups: Iterable[Group]


def _all_prompts(lost: _Lost) -> Iterator[str]:
    if lost.recipe.prompts.limit is not None:
        yield "prompts.limit=null"


def _refined_not_better(lost: _Lost) -> Iterator[str]:
    """The more samples, the better is the best of them, which the refined response must beat.

    As many of them as the other components need are left.
    """
    yield from _all_prompts(lost)
    refine = lost.recipe.refine
    if refine is not None and (_number(refine.config, "temperature") or 0) > 0:
        yield "refine.temperature=0"
    count = _number(lost.recipe.generate.config, "n")
    if count is not None and count > 1 and _suffices(lost.recipe, int(count) - 1):
        yield f"generate.n={count - 1:g}"


def _suffices(recipe: Recipe, samples: int) -> bool:
    """Whether no component says that it needs more samples of a prompt."""
    facts = RecipeFacts(
        objectives=tuple(each.name for each in recipe.objectives),
        samples=samples,
        refines=recipe.refine is not None,
        rounds=recipe.iterations,
        rewrites=getattr(getattr(recipe.refine, "config", None), "rewrites", True) is True,
    )
    checks = (getattr(each.config, "check_recipe", None) for each in recipe.components)
    return not any(list(check(facts)) for check in checks if check is not None)


def _unstable(lost: _Lost) -> Iterator[str]:
    """The limit that half of the groups dropped by it would have passed."""
    found = [
        value
        for row in lost.verdicts
        for verdict in row.verdicts
        if verdict.reason == "unstable"
        and (value := _number(verdict.details, "determinant")) is not None
    ]
    for place, section in enumerate(lost.recipe.denoise):
        if found and hasattr(section.config, "max_determinant"):
            yield f"denoise.{place}.max_determinant={_round(statistics.median(found), math.ceil)}"


def _degenerate(lost: _Lost) -> Iterator[str]:
    temperature = _number(lost.recipe.generate.config, "temperature")
    if temperature is not None and temperature < HIGHEST_TEMPERATURE:
        higher = 1.0 if temperature < 1 else min(temperature + 0.25, HIGHEST_TEMPERATURE)
        yield f"generate.temperature={higher:g}"
    yield from _all_prompts(lost)


def _no_pair(lost: _Lost) -> Iterator[str]:
    """Half of the largest difference of scores that there is between two responses."""
    margin = _number(lost.recipe.pairs.config, "margin")
    largest = max(map(_largest_margin, lost.groups), default=0.0)
    if margin is not None and 0 < largest < margin:
        yield f"pairs.margin={_round(largest / 2, math.floor)}"
    yield from _all_prompts(lost)


def _largest_margin(group: Group) -> float:
    scores = [
        [score.value for score in response.scores.values() if score.value is not None]
        for response in group
    ]
    return max((score_margin(a, b) for a, b in combinations(scores, 2)), default=0.0)


def _too_few_samples(lost: _Lost) -> Iterator[str]:
    count = _number(lost.recipe.generate.config, "n")
    if count is not None:
        yield f"generate.n={count + 2:g}"


def _no_refined(lost: _Lost) -> Iterator[str]:
    refine = lost.recipe.refine
    tokens = None if refine is None else _number(refine.config, "max_tokens")
    if tokens is not None:
        yield f"refine.max_tokens={2 * tokens:g}"


_SETTINGS: Mapping[str, Callable[[_Lost], Iterator[str]]] = {
    "refined_not_better": _refined_not_better,
    "unstable": _unstable,
    "degenerate": _degenerate,
    "no_pair": _no_pair,
    "too_few_samples": _too_few_samples,
    "no_refined": _no_refined,
    "ceiling": _all_prompts,
}


def _number(holder: Any, name: str) -> float | None:  # noqa: ANN401  # a config, or details
    value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _round(value: float, towards: Callable[[float], int]) -> str:
    """A positive number with two digits that count."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{towards(value / step) * step:.6g}"
