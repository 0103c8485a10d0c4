"""How often a judge agrees with known labels.

A comparison that a judge gets right counts 1, a tie one half. The interval is a percentile
bootstrap over prompts: all responses to a prompt are drawn, or left out, together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from judging.labelled import Labelled
from spa.types import Score

__all__ = ["Agreement", "agreement"]

RESAMPLES = 2000
TIE = 1e-6  # what is nearer than rounding moves it is the same score


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a judge made of one group of comparisons.

    Attributes:
        comparisons: How many there are.
        agreement: Share that the judge gets right among those scored on both sides, ties counted
            half: the area under the ROC curve, or pairwise accuracy. None if there are none.
        low: Lower end of its interval (95 %).
        high: Upper end.
        ties: Share of ties among them.
        unscored: Share of responses without a score.
    """

    comparisons: int
    agreement: float | None
    low: float | None
    high: float | None
    ties: float | None
    unscored: float

    def to_json(self) -> dict[str, Any]:
        """The figures, rounded."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def agreement(
    data: Labelled,
    objective: str,
    pairs: Sequence[tuple[int, int]],
    scores: Sequence[Mapping[str, Score]],
) -> Agreement:
    """Compares scores with labels.

    Args:
        data: What was judged.
        objective: Which score to look at.
        pairs: (place of the better row, place of the worse row) of every comparison.
        scores: By objective, for each row.
    """
    values = [found[objective].value if objective in found else None for found in scores]
    looked_at = {place for pair in pairs for place in pair}
    unscored = sum(values[place] is None for place in looked_at) / max(1, len(looked_at))
    texts = {text: n for n, text in enumerate(sorted({row.prompt.text for row in data.rows}))}
    prompts: list[tuple[int, int]] = []
    results: list[float] = []
    for better, worse in pairs:
        good, bad = values[better], values[worse]
        if good is not None and bad is not None:
            difference = good - bad
            results.append(0.5 if abs(difference) <= TIE else float(difference > 0))
            prompts.append(tuple(texts[data.rows[p].prompt.text] for p in (better, worse)))  # type: ignore[arg-type]  # two of them
    if not results:
        return Agreement(len(pairs), None, None, None, None, unscored)
    right = np.array(results)
    low, high = _interval(right, np.array(prompts), len(texts))
    ties = float((right == 0.5).mean())
    return Agreement(len(pairs), float(right.mean()), low, high, ties, unscored)


def _interval(
    right: np.ndarray[Any, Any], prompts: np.ndarray[Any, Any], count: int
) -> tuple[float | None, float | None]:
    """A comparison counts as often as its prompt is drawn; between two, the product."""
    drawn_from = np.unique(prompts)
    if len(drawn_from) < 2:
        return None, None
    same = prompts[:, 0] == prompts[:, 1]

    def share(drawn: np.ndarray[Any, Any]) -> float:
        times = np.bincount(drawn, minlength=count)
        first, second = times[prompts[:, 0]], times[prompts[:, 1]]
        weights = np.where(same, first, first * second)
        total = weights.sum()
        # Prompts among which nothing is compared say nothing.
        return float((weights * right).sum() / total) if total else 0.5

    found = stats.bootstrap(
        (drawn_from,),
        share,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
