"""What training says while it runs, and what it hands on when it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["REFERENCE_NOTE", "TrainProgress", "TrainResult", "TrainingStopped"]

Kind = Literal["adapter", "full"]

REFERENCE_NOTE = "reference.json"
"""File in the folder of a training: where its reference log-probabilities are, ``{"folder": ...}``
in the store. Trainings share them."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far training is; sent after every micro-batch.

    Attributes:
        phase: ``"reference"`` while reference log-probabilities are computed, then ``"train"``.
        done: Pairs finished in this phase, those of earlier epochs included. The phase
            ``"reference"`` counts prompt groups.
        total: Pairs, or groups, that this phase will have.
        step: Optimizer steps finished.
        steps: Optimizer steps that the training will have.
        metrics: Figures of the last finished optimizer step; empty before the first.
    """

    phase: Literal["reference", "train"]
    done: int
    total: int
    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training.

    Attributes:
        path: Folder of the adapter or of the fine-tuned model.
        kind: ``"adapter"`` for LoRA weights, ``"full"`` for a whole model.
        steps: Optimizer steps taken.
        history: For each step its number, loss, gradient norm, learning rate and metrics.
        dropped: Reason to number of pairs that could not be trained on.
        retokenised: Responses that came as text alone, so that their token ids are a guess.
        warnings: What makes the result doubtful, for people.
        seconds: Wall-clock time, that of earlier, interrupted attempts not included.
        layout: How prompts and responses were laid out: a kernel of packed rows, or a row each.
    """

    path: Path
    kind: Kind
    steps: int
    history: tuple[Mapping[str, float], ...]
    dropped: Mapping[str, int]
    retokenised: int
    warnings: tuple[str, ...]
    seconds: float
    layout: str = ""

    def to_json(self, base: Path) -> str:
        """The result as JSON, its path relative to ``base``."""
        record = asdict(self) | {"path": str(self.path.relative_to(base))}
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str, base: Path) -> TrainResult:
        """Reads what `to_json` wrote."""
        record: dict[str, Any] = json.loads(text)
        record |= {
            "path": base / record["path"],
            "history": tuple(record["history"]),
            "warnings": tuple(record["warnings"]),
        }
        return cls(**record)


class TrainingStopped(Exception):  # noqa: N818  # not an error: the user asked for it
    """Training was asked to stop; calling `train` again with the same arguments goes on."""

    def __init__(self, step: int, steps: int) -> None:
        """Keeps how far training came.

        Args:
            step: Optimizer steps finished, all of them kept in a checkpoint.
            steps: Optimizer steps that the training will have.
        """
        self.step = step
        self.steps = steps
        super().__init__(f"training stopped after {step} of {steps} steps")
