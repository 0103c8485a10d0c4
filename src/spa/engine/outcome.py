"""What a finished run hands back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa.engine.funnel import FunnelStep
from spa.errors import RunError

__all__ = ["NothingToTrainOn", "RunResult"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that is done.

    Attributes:
        folder: Of the run; holds ``run.json``.
        manifest: What ``run.json`` says.
    """

    folder: Path
    manifest: Mapping[str, Any]


class NothingToTrainOn(RunError):  # noqa: N818  # named for what it says, as KeyboardInterrupt is
    """No preference pair is left after denoising; nothing was trained.

    Attributes:
        steps: The funnel that shows where the prompts were lost.
        settings: What to try next, as texts for ``--set``, the most promising first.
    """

    def __init__(
        self, message: str, steps: Sequence[FunnelStep], settings: Sequence[str] = ()
    ) -> None:
        """Keeps the funnel and the settings."""
        self.steps = tuple(steps)
        self.settings = tuple(settings)
        super().__init__(message)
