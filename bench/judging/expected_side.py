"""spa's expected scores: the judge's label requests to a backend, as a run makes them."""

from __future__ import annotations

from collections.abc import Sequence

from judging.scoring import Asked
from judging.settings import Measured
from judging.timing import timed
from spa.components.judges.configs import ConstitutionConfig
from spa.contracts import Backend

__all__ = ["measure_expected"]


def measure_expected(rows: Sequence[Asked], backend: Backend) -> Measured:
    """Judges all rows by expected label."""
    return timed("expected", rows, backend, ConstitutionConfig(mode="expected"))
