"""What training changed on held-out prompts: before, after, and the difference with its interval.

Figures are those that the run's evaluators reported. Only HH_lambda is worked out where the recipe
did not ask for it, by the same evaluator from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spa.comparison.series import Figure, read_series
from spa.engine.stages.evaluate import numbered
from spa.engine.stored_run import StoredRun
from spa.errors import SpaError
from spa.statistics import mean_interval

__all__ = [
    "JUDGE_SCORES",
    "Change",
    "Estimate",
    "estimate_of",
    "headline",
    "last_model",
    "shown",
]

JUDGE_SCORES = "judge-scores"
"""The evaluator whose figures are the headline."""

_LAMBDAS = (5.0, 10.0, 20.0)
_WEIGHED = 2
_ROUND = re.compile(r"round-(\d+)")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: None where there is none.
        low: Lower end; None where there is no interval.
        high: Upper end.
        n: Prompts that it rests on.
        missing: Prompts that it should rest on and does not.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after training.

    Attributes:
        name: Of an objective, or ``"HH_5"``.
        before: Of the untrained model.
        after: Of the trained model.
        difference: Paired by prompt, after less before.
    """

    name: str
    before: Estimate
    after: Estimate
    difference: Estimate

    @property
    def sign(self) -> int | None:
        """1 or -1 where the interval excludes 0, 0 where it does not, None where there is none."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return None
        return (low > 0) - (high < 0)

    @property
    def finding(self) -> str:
        """What may be said of it."""
        words = {
            1: "rose",
            -1: "fell",
            0: "not significant: the interval holds 0",
            None: "no interval, so nothing can be said",
        }
        return words[self.sign]


def last_model(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    """The model of the last round that was evaluated; None if no trained one was."""
    rounds = [int(n[1]) for m in metrics if (n := _ROUND.fullmatch(str(m["model"])))]
    return f"round-{max(rounds)}" if rounds else None


def headline(run: StoredRun) -> list[Change]:
    """Objectives in their order, then HH_lambda; nothing if no trained model was evaluated."""
    metrics: Sequence[Mapping[str, Any]] = run.manifest.get("metrics") or ()
    own = [metric for metric in metrics if metric["evaluator"] == JUDGE_SCORES]
    last = last_model(own)
    if last is None:
        return []
    by_place = {(metric["name"], metric["model"]): estimate_of(metric) for metric in own}
    names = dict.fromkeys(name for name, model in by_place if model == f"{last} - base")
    changes = [
        Change(
            name,
            by_place[name, "base"],
            by_place[name, last],
            by_place[name, f"{last} - base"],
        )
        for name in names
        if {(name, "base"), (name, last)} <= by_place.keys()
    ]
    return [*changes, *_weighted(run, changes)]


def shown(estimate: Estimate, *, signed: bool = False) -> str:
    """A figure with its interval, for people."""
    if estimate.value is None:
        return "no value"
    sign = "+" if signed else ""
    text = f"{estimate.value:{sign}.2f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"
    return text + (f" ({estimate.missing} missing)" if estimate.missing else "")


def estimate_of(metric: Mapping[str, Any]) -> Estimate:
    """A metric of a manifest."""
    return Estimate(
        metric["value"],
        metric.get("low"),
        metric.get("high"),
        metric["n"],
        metric.get("missing") or 0,
    )


def _weighted(run: StoredRun, changes: Sequence[Change]) -> Iterator[Change]:
    """HH_lambda of arXiv 2511.06222 for the paper's lambdas, where the run has two objectives."""
    there = {change.name for change in changes}
    prompts = max((change.before.n + change.before.missing for change in changes), default=0)
    lambdas = [each for each in _LAMBDAS if f"HH_{each:g}" not in there]
    if len(run.objectives) != _WEIGHED or not lambdas:
        return
    try:
        series = read_series(run, lambdas=lambdas)
    except SpaError:  # its evaluator or its rows are not there any more
        return
    settings = _settings(run)
    for name in (f"HH_{each:g}" for each in lambdas):
        found = [
            series.get(Figure(JUDGE_SCORES, name, model))
            for model in ("base", "trained", "trained - base")
        ]
        values = [each.by_prompt for each in found if each is not None and each.by_prompt]
        if len(values) == len(found):
            yield Change(
                name, *(_interval(list(each.values()), settings, prompts) for each in values)
            )


def _settings(run: StoredRun) -> dict[str, Any]:
    """How the recipe's evaluator makes intervals."""
    sections = run.recipe.get("evaluate") or ()
    names = numbered(str(section["use"]).rpartition("/")[2] for section in sections)
    for section, name in zip(sections, names, strict=True):
        if name == JUDGE_SCORES:
            keys = ("confidence", "resamples", "seed")
            return {key: section[key] for key in keys if key in section}
    return {}


def _interval(values: Sequence[float], settings: Mapping[str, Any], prompts: int) -> Estimate:
    mean, low, high = mean_interval(values, **settings)
    return Estimate(mean, low, high, len(values), max(prompts - len(values), 0))
