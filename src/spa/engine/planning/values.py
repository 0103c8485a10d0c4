"""What a plan says: of every stage whether it is there, and what it would cost if it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from spa.engine.changes import Change

__all__ = ["FIGURES", "Basis", "RunPlan", "StagePlan", "Status"]

Status = Literal["hit", "partial", "miss"]
Basis = Literal["known", "measured", "estimated", "at most"]

FIGURES = ("requests", "prompt_tokens", "new_tokens", "seconds", "bytes")
"""What a stage that is not there would cost; attributes of `StagePlan`."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a plan says of one stage.

    A figure is None where it cannot be known; ``basis`` says what every other rests on.

    Attributes:
        title: As events and the manifest name it, for example ``"judge"``.
        round: The round that it belongs to.
        folder: Its folder in the store; ``""`` where its key cannot be known yet.
        key: Its key; ``""`` where it cannot be known yet.
        status: ``"hit"``: taken from the store; ``"partial"``: begun, and gone on with;
            ``"miss"``: to be done.
        done: Jobs whose rows are in the store.
        total: Jobs that it has.
        requests: Requests to come.
        prompt_tokens: Tokens of prompts to come.
        new_tokens: Tokens to be generated.
        seconds: Time to come.
        bytes: Room on disk to come.
        basis: What a figure (and ``"total"``) rests on, by its name: ``"known"``: it is so;
            ``"measured"``: worked out from what a stage like it took; ``"estimated"``: from its
            first jobs with stand-ins for answers; ``"at most"``: it cannot be more.
        changed: What differs from the stage in the store that is most like it; nothing for one that
            is there, or if there is none like it.
        like: Folder of that stage; ``""`` if there is none.
        waits_for: The stage that must be done before its key can be known; ``""`` if none must.
    """

    title: str
    round: int
    folder: str
    key: str
    status: Status
    done: int = 0
    total: int | None = None
    requests: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    basis: Mapping[str, Basis] = field(default_factory=dict)
    changed: tuple[Change, ...] = ()
    like: str = ""
    waits_for: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the run takes it from the store."""
        return self.status == "hit"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do.

    Attributes:
        name: Of the run.
        stages: In their order.
        free_bytes: Room on the disk of the runs; None if that cannot be found out.
    """

    name: str
    stages: tuple[StagePlan, ...]
    free_bytes: int | None = None

    @property
    def hits(self) -> tuple[StagePlan, ...]:
        """The stages that are taken from the store."""
        return tuple(stage for stage in self.stages if stage.is_done)

    @property
    def to_do(self) -> tuple[StagePlan, ...]:
        """The stages that are not, or not wholly, in the store."""
        return tuple(stage for stage in self.stages if not stage.is_done)

    def total(self, figure: str) -> tuple[float | None, int]:
        """The sum of a figure over all stages, and of how many stages it is not known.

        Args:
            figure: One of `FIGURES`.

        Returns:
            None for the sum where it is known of no stage that is to be done.
        """
        values = [getattr(stage, figure) for stage in self.to_do]
        known = [value for value in values if value is not None]
        return (sum(known) if known or not values else None), len(values) - len(known)

    @property
    def fits(self) -> bool | None:
        """Whether the disk has room for it as far as is known; None if nothing is."""
        needed, _ = self.total("bytes")
        return None if needed is None or self.free_bytes is None else needed <= self.free_bytes

    def record(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "name": self.name,
            "stages": [
                {**asdict(stage), "changed": [str(change) for change in stage.changed]}
                for stage in self.stages
            ],
            "totals": {
                figure: dict(zip(("value", "unknown"), self.total(figure), strict=True))
                for figure in FIGURES
            },
            "free_bytes": self.free_bytes,
        }
