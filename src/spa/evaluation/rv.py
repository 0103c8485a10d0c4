"""The RV coefficient of two judges' scores: a correlation of matrices.

Pure functions on sums over groups of answers, so that a draw of prompts is a product of matrices.
K and L are the numbers of objectives of the two judges, which need not be the same; G groups, D
draws, n answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Sums", "rv", "rv_by_chance", "sums_overall", "sums_within"]

Array: TypeAlias = npt.NDArray[np.float64]

_ROUNDING = 1e-12


class Sums(NamedTuple):
    """Sums over the answers of each group, of scores of which a centre was taken off.

    Attributes:
        n: (G,) answers.
        x: (G, K) sums of the first judge's scores.
        y: (G, L) of the second judge's.
        xx: (G, K, K) sums of products.
        yy: (G, L, L) likewise.
        xy: (G, K, L) likewise.
        within: Whether every group has a centre of its own; its answers then have n - 1 degrees of
            freedom.
    """

    n: Array
    x: Array
    y: Array
    xx: Array
    yy: Array
    xy: Array
    within: bool

    def of(self, start: int, end: int) -> Sums:
        """Those of some groups."""
        n, x, y, xx, yy, xy = (each[start:end] for each in self[:-1])
        return Sums(n, x, y, xx, yy, xy, self.within)

    def coefficient(self, counts: Array | None = None) -> Array:
        """RV of all answers together.

        Args:
            counts: (D, G) how often each group was drawn; None: each once.

        Returns:
            (D,), NaN where a judge gives all answers the same scores.
        """
        xx, yy, xy = self._scatter(counts)
        return _ratio(np.square(xy).sum((-2, -1)), xx, yy)

    def by_chance(self) -> float:
        """Mean of RV if the second judge's scores are permuted over all answers.

        ``tr(Sxx) tr(Syy) / ((n - 1) sqrt(tr(Sxx^2) tr(Syy^2)))``, with S the sums of squares and
        products: Josse, Pages and Husson, Comput. Stat. Data Anal. 53 (2008). With a centre for
        every group they are permuted within groups, and the numerator is the sum over groups of
        ``tr(Sxx) tr(Syy) / (n - 1)``. It is large for few answers, and so is RV.
        """
        xx, yy, _ = self._scatter(None)
        if self.within:
            traces = np.trace(self.xx, axis1=1, axis2=2) * np.trace(self.yy, axis1=1, axis2=2)
            several = self.n > 1
            mean = (traces[several] / (self.n[several] - 1)).sum()
        else:
            mean = np.trace(xx[0]) * np.trace(yy[0]) / max(self.n.sum() - 1, 1)
        return float(_ratio(np.array([mean]), xx, yy)[0])

    def _scatter(self, counts: Array | None) -> tuple[Array, Array, Array]:
        """(D, K, K), (D, L, L) and (D, K, L): sums of products around the mean of a draw."""
        drawn = np.ones((1, len(self.n))) if counts is None else counts
        xx, yy, xy = (np.tensordot(drawn, each, 1) for each in (self.xx, self.yy, self.xy))
        if self.within:
            return xx, yy, xy
        n = (drawn @ self.n)[:, None, None]
        x, y = drawn @ self.x, drawn @ self.y
        return (
            _clean(xx - x[:, :, None] * x[:, None, :] / n, xx),
            _clean(yy - y[:, :, None] * y[:, None, :] / n, yy),
            xy - x[:, :, None] * y[:, None, :] / n,
        )


def rv(first: Array, second: Array) -> float | None:
    """RV coefficient of two matrices over the same rows.

    ``RV = tr(Sxy Syx) / sqrt(tr(Sxx^2) tr(Syy^2))``, with S the covariances of the columns: Robert
    and Escoufier, Appl. Statist. 25 (1976). It lies in [0, 1], and neither shift, scale nor
    rotation of a matrix changes it. For one column each it is the squared correlation.

    Args:
        first: (n, K).
        second: (n, L).

    Returns:
        None where all rows of a matrix are equal.

    Raises:
        ValueError: If they do not have the same number of rows.
    """
    return _finite(float(sums_overall([(first, second)]).coefficient()[0]))


def rv_by_chance(first: Array, second: Array) -> float | None:
    """Mean of RV over all permutations of the rows of a matrix; see `Sums.by_chance`."""
    return _finite(sums_overall([(first, second)]).by_chance())


def sums_overall(groups: Sequence[tuple[Array, Array]]) -> Sums:
    """Sums of groups, for an RV whose columns are centred over all answers that are drawn.

    Args:
        groups: (n, K) and (n, L) scores of the same answers.

    Raises:
        ValueError: If the two do not have the same number of rows.
    """
    centers = [np.concatenate([group[place] for group in groups]).mean(axis=0) for place in (0, 1)]
    return _sums([(_less(x, centers[0]), _less(y, centers[1])) for x, y in groups], within=False)


def sums_within(groups: Sequence[tuple[Array, Array]]) -> Sums:
    """The same with a centre for every group: what sets its answers apart is left.

    Args:
        groups: (n, K) and (n, L) scores of the same answers.

    Raises:
        ValueError: If the two do not have the same number of rows.
    """
    return _sums(
        [(_less(x, x.mean(axis=0)), _less(y, y.mean(axis=0))) for x, y in groups], within=True
    )


def _sums(groups: Sequence[tuple[Array, Array]], *, within: bool) -> Sums:
    for x, y in groups:
        if len(x) != len(y):
            raise ValueError(f"scores of {len(x)} and of {len(y)} answers: they must be the same")
    return Sums(
        n=np.array([float(len(x)) for x, _ in groups]),
        x=np.array([x.sum(axis=0) for x, _ in groups]),
        y=np.array([y.sum(axis=0) for _, y in groups]),
        xx=np.array([x.T @ x for x, _ in groups]),
        yy=np.array([y.T @ y for _, y in groups]),
        xy=np.array([x.T @ y for x, y in groups]),
        within=within,
    )


def _less(scores: Array, center: Array) -> Array:
    """Scores without their centre; 0 where what is left is rounding."""
    left = scores - center
    left[np.abs(left) <= _ROUNDING * np.abs(scores)] = 0
    return left


def _clean(scatter: Array, uncentred: Array) -> Array:
    """(D, K, K) with 0 where all that is left of the products is rounding."""
    left, before = (np.trace(each, axis1=1, axis2=2) for each in (scatter, uncentred))
    return np.where((left <= _ROUNDING * before)[:, None, None], 0, scatter)


def _ratio(numerator: Array, xx: Array, yy: Array) -> Array:
    norms = np.sqrt(np.square(xx).sum((-2, -1)) * np.square(yy).sum((-2, -1)))
    found: Array = np.divide(numerator, norms, out=np.full_like(norms, np.nan), where=norms > 0)
    return found


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
