"""Keeps a group only if its samples' scores differ, but not wildly.

Second of the two denoising criteria of SPA (arXiv 2511.06222), between judging and pairing:
``0 < det(S) <= tau`` with S the covariance of the samples' score vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spa.api import Group, Objective, Verdict
from spa.components.denoisers.configs import InformativenessConfig, samples_needed

__all__ = ["InformativenessDenoiser"]

Matrix: TypeAlias = npt.NDArray[np.float64]
_DDOF = 1


class InformativenessDenoiser:
    """Bounds the determinant of the covariance of the samples' scores, on both sides.

    S is taken over the samples only, not the refined response, with ddof = 1; for one objective it
    is the variance. Reasons: ``informative``; ``degenerate`` (the determinant is 0: the scores say
    nothing, or one objective says what another says); ``unstable`` (above ``max_determinant``);
    ``too_few_samples`` (fewer than 3, or not more than there are objectives: the determinant is
    then always 0).

    Whether a determinant is 0 cannot be asked of floats: identical judgements come out 1e-7 apart,
    and their determinant is a tiny positive number. Nor does a limit on the determinant help, as
    it grows with the scale to the power 2K. So the question is put to the scores: let C be the
    centred (n, K) score matrix with each column divided by the rounding that is allowed for it,
    ``relative_tolerance * max_i |s_ik|``. Rounding then changes every entry by at most 1, the
    matrix by at most sqrt(n K) in the Frobenius norm, and by Eckart and Young the smallest
    singular value of C is its distance from the nearest matrix without full rank. Hence a group
    is degenerate when ``sigma_min(C) <= sqrt(n K)``: rounding alone could explain what it says.
    This holds for any scale, and for each objective on its own.
    """

    def __init__(self, config: InformativenessConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def verdict(self, group: Group, objectives: Sequence[Objective]) -> Verdict:
        """Returns whether the group stays, with the determinant and its limit."""
        needed = samples_needed(len(objectives))
        count = len(group.samples)
        if count < needed:
            details = {"samples": count, "needed": needed}
            return Verdict(keep=False, reason="too_few_samples", details=details)
        scores = np.array([scored.vector(objectives) for scored in group.samples], dtype=np.float64)
        determinant = _determinant(scores)
        reason = self._reason(scores, determinant)
        return Verdict(
            keep=reason == "informative",
            reason=reason,
            details={
                "determinant": determinant,
                "max_determinant": self._config.max_determinant,
                "ddof": _DDOF,
                "samples": count,
            },
        )

    def _reason(self, scores: Matrix, determinant: float) -> str:
        if _is_degenerate(scores, self._config.relative_tolerance) or determinant <= 0:
            return "degenerate"
        return "informative" if determinant <= self._config.max_determinant else "unstable"


def _determinant(scores: Matrix) -> float:
    covariance = np.atleast_2d(np.cov(scores, rowvar=False, ddof=_DDOF))
    return float(np.linalg.det(covariance))


def _is_degenerate(scores: Matrix, tolerance: float) -> bool:
    rounding = tolerance * np.abs(scores).max(axis=0)
    if np.any(rounding == 0):
        return True
    scaled = (scores - scores.mean(axis=0)) / rounding
    smallest = np.linalg.svd(scaled, compute_uv=False).min()
    return bool(smallest <= np.sqrt(scores.size))
