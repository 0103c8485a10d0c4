"""Whether scores mean what they say: reliability curve, calibration error and Brier score.

Pure functions on labelled scores; part of the figures of a judge check. A score is read as a
probability by its place on the judge's scale: 0 at the lowest score, 1 at the highest. It is
calibrated if of the answers at 0.7 seven in ten are better ones. An AUC does not ask for that, and
neither do pairs, which rest on the order of scores; thresholds, mean scores and weights by gaps do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spa.evaluation.discrimination import TIE_DIGITS, Answer
from spa.statistics import rate_interval, statistic_interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Calibration", "ReliabilityBin", "calibration"]

_BINS = 5
_DRAWS = 2000
_FEWEST = 10  # answers; fewer do not fill bins of two


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers with scores close to each other: a point of the reliability curve.

    Attributes:
        lowest: Their lowest score, on the judge's scale.
        highest: Their highest score.
        answers: How many there are.
        said: Mean place of their scores on the scale, from 0 to 1.
        better: Share of them that is labelled better.
        low: Lower end of its 95 % interval, Wilson's, as if answers were independent.
        high: Upper end.
    """

    lowest: float
    highest: float
    answers: int
    said: float
    better: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far scores are off as probabilities that an answer is a better one.

    Attributes:
        answers: Labelled answers with a score.
        bins: The reliability curve, from low to high scores; about as many answers in each, with
            equal scores in one.
        error: Expected calibration error (Naeini and others, AAAI 2015): the mean over answers of
            ``|better - said|`` of their bin.
        chance: What the error would be on average if scores were calibrated; it is above 0, the
            more so the fewer answers there are.
        chance_high: What it would be at most in 95 of 100 such checks.
        brier: Mean of ``(said - label)^2`` (Brier, Mon. Weather Rev. 78, 1950): 0 at best, 0.25
            for a judge that always says 0.5.
        brier_low: Lower end of its 95 % interval, a bootstrap over prompts.
        brier_high: Upper end.
    """

    answers: int
    bins: tuple[ReliabilityBin, ...]
    error: float
    chance: float
    chance_high: float
    brier: float
    brier_low: float | None
    brier_high: float | None


def calibration(
    answers: Sequence[Answer], scale: tuple[float, float] | None, *, seed: int = 0
) -> Calibration | None:
    """Calibration of labelled scores.

    Args:
        answers: Those without a score are left out.
        scale: Lowest and highest score that the judge can give; None: it has no scale.
        seed: Of what chance would give, and of the bootstrap.

    Returns:
        None without a scale, for fewer than 10 scored answers, and for answers of one label alone.
    """
    import numpy as np

    known = [each for each in answers if each.score is not None]
    labels = np.array([each.label for each in known], dtype=np.float64)
    if scale is None or len(known) < _FEWEST or labels.min() == labels.max():
        return None
    lowest, highest = scale
    scores = np.round([float(each.score or 0.0) for each in known], TIE_DIGITS)
    said = np.clip((scores - lowest) / (highest - lowest), 0.0, 1.0)
    places = _bins(scores)
    rng = np.random.default_rng(seed)
    # Labels drawn as often 1 as the scores say.
    drawn = (rng.random((_DRAWS, len(said))) < said).astype(np.float64)
    by_chance = _errors(drawn, said, places)
    squares = np.square(said - labels)
    low, high = _interval([each.prompt_id for each in known], squares, seed) or (None, None)
    return Calibration(
        answers=len(known),
        bins=tuple(
            _bin(scores[places == place], said[places == place], labels[places == place])
            for place in range(int(places.max()) + 1)
        ),
        error=float(_errors(labels[None], said, places)[0]),
        chance=float(by_chance.mean()),
        chance_high=float(np.quantile(by_chance, 0.95)),
        brier=float(squares.mean()),
        brier_low=low,
        brier_high=high,
    )


def _bins(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each score, counted from 0 without a gap."""
    import numpy as np

    ends = np.quantile(scores, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    found = np.searchsorted(ends, scores)  # the last score of a bin is its end
    return np.unique(found, return_inverse=True)[1]


def _errors(
    labels_DA: npt.NDArray[np.float64],
    said_A: npt.NDArray[np.float64],
    places_A: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """(D,) calibration errors of D draws of the labels of A answers."""
    import numpy as np

    of_bin_AB = np.eye(int(places_A.max()) + 1)[places_A]
    errors: npt.NDArray[np.float64] = np.abs((labels_DA - said_A) @ of_bin_AB).sum(axis=1)
    return errors / len(said_A)


def _interval(
    prompt_ids: Sequence[str], squares: npt.NDArray[np.float64], seed: int
) -> tuple[float, float] | None:
    """Of the mean over answers, drawing prompts with all their answers."""
    import numpy as np

    prompts, places = np.unique(prompt_ids, return_inverse=True)
    sums, sizes = np.bincount(places, squares), np.bincount(places)
    return statistic_interval(
        lambda counts: (counts @ sums) / (counts @ sizes), len(prompts), seed=seed
    )


def _bin(
    scores: npt.NDArray[np.float64],
    said: npt.NDArray[np.float64],
    labels: npt.NDArray[np.float64],
) -> ReliabilityBin:
    share = rate_interval(int(labels.sum()), len(labels))
    assert share.mean is not None
    assert share.low is not None
    assert share.high is not None
    return ReliabilityBin(
        lowest=float(scores.min()),
        highest=float(scores.max()),
        answers=len(labels),
        said=float(said.mean()),
        better=share.mean,
        low=share.low,
        high=share.high,
    )
