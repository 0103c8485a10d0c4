"""Packages that training needs beyond spa's own, looked for before anything is sampled.

Training is the last stage of a round: without this, a missing package would be noticed after hours
of sampling and judging. Nothing is imported here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from spa.recipe.sections import TrainConfig

__all__ = ["missing_packages"]

OLDEST_BITSANDBYTES = "0.46.1"  # what transformers asks for


def missing_packages(train: TrainConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yields the key of every setting whose package is not there, with what to do about it."""
    for place, tracker in enumerate(train.report_to):
        if not _is_installed(tracker):
            yield ("report_to", place), f"{tracker} is not installed. Try: pip install {tracker}"
    if train.quantization is not None and (message := _without_bitsandbytes()):
        yield ("quantization",), message


def _without_bitsandbytes() -> str | None:
    if not _is_installed("bitsandbytes"):
        return (
            "quantised weights need bitsandbytes, which is not installed. "
            "Try: pip install bitsandbytes"
        )
    try:
        found = version("bitsandbytes")
    except PackageNotFoundError:
        return None
    if Version(found) < Version(OLDEST_BITSANDBYTES):
        return (
            f"bitsandbytes {found} is installed, {OLDEST_BITSANDBYTES} or later is needed. "
            "Try: pip install --upgrade bitsandbytes"
        )
    return None


def _is_installed(package: str) -> bool:
    """Whether there is such a package; a bare folder of that name, such as a log's, is none."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec, put among the loaded ones by hand
        return False
    return spec is not None and spec.origin is not None
