"""What examples say of policies and judges: changes by training, flips of orders, reasons."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from spa.types import JsonValue, Objective, Scored
from spa.viewing.examples import BASE, Example, Reader

__all__ = ["changes", "count_reasons", "flips", "has_fallen", "mean_score", "reasons"]

_NOTHING = 1e-9  # a change below it is rounding
_ORDERS = ("as_given", "reversed")


def mean_score(responses: Sequence[Scored], objective: str) -> float | None:
    """The mean of the scores that there are; None where there is none."""
    scores = (each.scores.get(objective) for each in responses)
    known = [score.value for score in scores if score is not None and score.value is not None]
    return statistics.fmean(known) if known else None


def changes(example: Example, objectives: Sequence[Objective]) -> dict[str, float | None]:
    """How much training changed the mean score on every objective; nothing if none was trained.

    None for an objective on which either policy has no score.
    """
    trained = example.trained
    if trained is None or BASE not in example.responses:
        return {}
    found: dict[str, float | None] = {}
    for objective in objectives:
        after = mean_score(example.responses[trained], objective.name)
        before = mean_score(example.responses[BASE], objective.name)
        found[objective.name] = None if after is None or before is None else after - before
    return found


def has_fallen(change: Sequence[float | None]) -> bool:
    """Whether the first objective that changed fell; an objective without a score ends the search.

    Args:
        change: Of the objectives, most important first.
    """
    for each in change:
        if each is None:
            return False
        if abs(each) > _NOTHING:
            return each < 0
    return False


def flips(example: Example, objective: str | None = None) -> int:
    """How often the order of what was shown turned a preference around.

    Comparisons of an evaluator count as it noted them (``flips``). Where a judge scored in both
    orders, so does every two responses that one order puts one way and the other order the other.

    Args:
        example: The example.
        objective: The one to look at; None: all.
    """
    noted = 0
    for record in example.evaluations.values():
        for key, value in record.items():
            model, _, rest = key.partition(":")
            of = rest.removesuffix("flips").rstrip(":")
            if rest.endswith("flips") and model == example.trained and of in ("", objective or of):
                noted += int(value) if isinstance(value, int | float) else 0
    return noted + sum(
        _turned(a, b, name)
        for group in example.responses.values()
        for a, b in combinations(group, 2)
        for name in ([objective] if objective else a.scores)
    )


def _turned(a: Scored, b: Scored, objective: str) -> bool:
    first, second = (
        (_reading(a, objective, order), _reading(b, objective, order)) for order in _ORDERS
    )
    if None in (*first, *second):
        return False
    return (first[0] - first[1]) * (second[0] - second[1]) < 0  # type: ignore[operator]


def _reading(scored: Scored, objective: str, order: str) -> float | None:
    score = scored.scores.get(objective)
    record = None if score is None else score.details.get(order)
    value = record.get("value") if isinstance(record, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def reasons(example: Example) -> set[tuple[str, str]]:
    """All reasons in an example, each with the stage that gave it."""
    found = {(each.stage, each.reason) for each in example.failures}
    for name, group in example.responses.items():
        stage = {"sample": "judge", "refined": "judge-refined"}.get(name, f"judge-answers-{name}")
        found |= {
            (stage, score.reason)
            for each in group
            for score in each.scores.values()
            if score.reason is not None
        }
    verdict = example.verdict
    if verdict is not None:
        found.add(("denoise", verdict.reason))
        found |= {("denoise", each.reason) for each in verdict.verdicts}
    if example.unpaired:
        found.add(("pairs", "no_pair"))
    return found


def count_reasons(reader: Reader) -> Counter[str]:
    """Every reason that a round of a run knows, with how often it was given.

    Read from the manifest and from what denoising said, without going through the examples.
    """
    found: Counter[str] = Counter()
    for record in reader.run.manifest.get("stages") or ():
        if record["name"] in reader.stages:
            found.update(record.get("failure_reasons") or {})
            found.update((record.get("details") or {}).get("unscored") or {})
    found.update(_said_by_denoisers(reader))
    funnels = reader.run.manifest.get("funnels") or ()
    if len(funnels) >= reader.round and "pairs" in reader.stages:
        for step in funnels[reader.round - 1]:
            if step["name"] == "paired":
                found.update({"no_pair": step["lost"].get("no_pair", 0)})
    return +found


def _said_by_denoisers(reader: Reader) -> Iterator[str]:
    folder = reader.folder("denoise")
    if "denoise" not in reader.stages or folder is None or not folder.is_committed:
        return
    columns = (folder.column(name) for name in ("reason", "lost_at", "verdicts"))
    for reason, lost_at, verdicts in zip(*columns, strict=True):
        said: list[Mapping[str, JsonValue]] = verdicts or []
        if said:
            yield from {str(each["reason"]) for each in said}
        elif lost_at not in ("sample", "refine"):  # there it is a failure that was counted
            yield str(reason)
