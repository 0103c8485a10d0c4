"""A small batch of pairs, and every loss on it written out pair by pair with Python floats.

Nothing here uses the losses under test: formulas are those of the papers, in double precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from spa.api import PairBatch

__all__ = [
    "CHOSEN",
    "LENGTHS",
    "REJECTED",
    "SCORES",
    "expected",
    "log_sigmoid",
    "make_batch",
    "wpo_weights",
    "with_logprobs",
    "with_values",
]

LENGTHS = (3, 5, 1, 4)
CHOSEN = (0, 0, 1, 3)
REJECTED = (1, 2, 2, 0)
SCORES = ((9.0, 5.0), (8.0, 6.0), (3.0, 2.0), (9.5, 7.25))


def make_batch(seed: int = 0, dtype: torch.dtype = torch.float64) -> PairBatch:
    rng = np.random.default_rng(seed)
    mask = np.array([[float(t < n) for t in range(max(LENGTHS))] for n in LENGTHS])
    chosen, rejected, scores = np.array(CHOSEN), np.array(REJECTED), np.array(SCORES)
    difference = scores[chosen] - scores[rejected]
    gap_sum, gap_l1 = np.abs(difference.sum(1)), np.abs(difference).sum(1)

    def logs(scale: float) -> torch.Tensor:
        return torch.tensor(-rng.exponential(scale, mask.shape) * mask, dtype=dtype)

    return PairBatch(
        logprobs=logs(2.0),
        mask=torch.tensor(mask, dtype=dtype),
        chosen=torch.tensor(chosen),
        rejected=torch.tensor(rejected),
        scores=torch.tensor(scores, dtype=dtype),
        gap_sum=torch.tensor(gap_sum, dtype=dtype),
        gap_l1=torch.tensor(gap_l1, dtype=dtype),
        mean_gap_sum=float(gap_sum.mean()),
        mean_gap_l1=float(gap_l1.mean()),
        reference_logprobs=logs(2.0),
        collision_logprobs=logs(2.2),
    )


def with_values(base: PairBatch, **values: Any) -> PairBatch:
    return PairBatch(**{**vars(base), **values})


def with_logprobs(base: PairBatch, logprobs: torch.Tensor) -> PairBatch:
    return with_values(base, logprobs=logprobs)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def expected(name: str, batch: PairBatch, at: PairBatch | None = None, **s: Any) -> list[float]:
    """The losses of a batch.

    Args:
        name: Of the loss.
        batch: With LENGTHS, CHOSEN, REJECTED and SCORES.
        at: Where weights without a gradient are computed, for finite differences; ``batch`` if
            not given.
        s: The settings of the loss.
    """
    formula = _FORMULAS[name]
    return [formula(batch, at or batch, i, s) for i in range(len(CHOSEN))]


def _sum(rows: torch.Tensor | None, row: int) -> float:
    assert rows is not None
    return math.fsum(rows.tolist()[row][: LENGTHS[row]])


def _average(batch: PairBatch, row: int) -> float:
    return _sum(batch.logprobs, row) / LENGTHS[row]


def _ratio(batch: PairBatch, row: int) -> float:
    return _sum(batch.logprobs, row) - _sum(batch.reference_logprobs, row)


def _logistic(margin: float, smoothing: float = 0.0) -> float:
    return -(1 - smoothing) * log_sigmoid(margin) - smoothing * log_sigmoid(-margin)


def _sft(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    return -_average(batch, CHOSEN[i])


def _dpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    margin = s["beta"] * (_ratio(batch, CHOSEN[i]) - _ratio(batch, REJECTED[i]))
    return _logistic(margin, s.get("label_smoothing", 0.0))


def _ipo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    c, r = CHOSEN[i], REJECTED[i]
    by = (LENGTHS[c], LENGTHS[r]) if s["length_normalized"] else (1, 1)
    return (_ratio(batch, c) / by[0] - _ratio(batch, r) / by[1] - 0.5 / s["beta"]) ** 2


def _hinge(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    return max(0.0, 1 - s["beta"] * (_ratio(batch, CHOSEN[i]) - _ratio(batch, REJECTED[i])))


def wpo_weights(batch: PairBatch, max_weight: float | None) -> list[float]:
    def weight(row: int) -> float:
        excess = _sum(batch.logprobs, row) - _sum(batch.collision_logprobs, row)
        return math.exp(excess / LENGTHS[row])

    products = [weight(c) * weight(r) for c, r in zip(CHOSEN, REJECTED, strict=True)]
    return [p if max_weight is None else min(p, max_weight) for p in products]


def _wpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    return wpo_weights(at, s["max_weight"])[i] * _dpo(batch, at, i, {"beta": s["beta"]})


def _cpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    c, r = CHOSEN[i], REJECTED[i]
    margin = s["beta"] * (_sum(batch.logprobs, c) - _sum(batch.logprobs, r))
    return _logistic(margin, s["label_smoothing"]) - s["alpha"] * _average(batch, c)


def _orpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    def log_odds(row: int) -> float:
        p = math.exp(_average(batch, row))
        return math.log(p / (1 - p))

    c, r = CHOSEN[i], REJECTED[i]
    return -_average(batch, c) - s["beta"] * log_sigmoid(log_odds(c) - log_odds(r))


def _simpo_of(batch: PairBatch, c: int, r: int, s: dict[str, Any]) -> float:
    return _logistic(s["beta"] * (_average(batch, c) - _average(batch, r)) - s["gamma"])


def _simpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    return _simpo_of(batch, CHOSEN[i], REJECTED[i], s)


def _gap(i: int, kind: str) -> float:
    both = list(zip(SCORES[CHOSEN[i]], SCORES[REJECTED[i]], strict=True))
    return abs(sum(x - y for x, y in both)) if kind == "sum" else sum(abs(x - y) for x, y in both)


def _spa(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    gaps = [_gap(j, s["gap"]) for j in range(len(CHOSEN))]
    return (gaps[i] / (math.fsum(gaps) / len(gaps))) ** s["alpha"] * _simpo(batch, at, i, s)


def _safedpo(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    c, r = CHOSEN[i], REJECTED[i]
    unsafe = [scores[s["objective"]] < s["threshold"] for scores in SCORES]
    if unsafe[c] and unsafe[r]:
        return 0.0
    if unsafe[c]:
        c, r = r, c
    margin = s["beta"] * (_ratio(batch, c) - _ratio(batch, r))
    return _logistic(margin - (int(unsafe[r]) - int(unsafe[c])) * s["delta"])


def _reward_soup(batch: PairBatch, at: PairBatch, i: int, s: dict[str, Any]) -> float:
    composite = [sum(a * x for a, x in zip(s["weights"], xs, strict=True)) for xs in SCORES]
    c, r = CHOSEN[i], REJECTED[i]
    if composite[c] == composite[r]:
        return 0.0
    return _simpo_of(batch, c, r, s) if composite[c] > composite[r] else _simpo_of(batch, r, c, s)


_FORMULAS = {
    "sft": _sft,
    "dpo": _dpo,
    "ipo": _ipo,
    "hinge": _hinge,
    "wpo": _wpo,
    "cpo": _cpo,
    "orpo": _orpo,
    "simpo": _simpo,
    "spa": _spa,
    "safedpo": _safedpo,
    "reward-soup": _reward_soup,
}
