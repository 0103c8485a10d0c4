"""Where the stages of a run lie: in the store that runs share, or in one of the run's own."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STORE", "store_of"]

STORE = "store"
"""Name of the folder of stages."""


def store_of(run: Path) -> Path:
    """The folder of stages of a run: its own if it has one, else that beside it.

    Args:
        run: The run's folder; it need not be there yet.
    """
    own = run / STORE
    return own if own.is_dir() else run.parent / STORE
