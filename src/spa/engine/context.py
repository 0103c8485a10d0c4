"""What every stage of a run shares: the recipe, the store, the models, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spa.engine.editions import Retry
from spa.engine.failing import FailureLimit
from spa.engine.interrupt import Interrupt
from spa.engine.keys import key_config
from spa.engine.models import ModelPool
from spa.engine.places import store_of
from spa.plugins.provenance import component_record
from spa.plugins.source import source_hash
from spa.recipe import ComponentSpec, Recipe
from spa.types import JsonValue, RunEvent

if TYPE_CHECKING:
    from spa.engine.planning.planner import Planner

__all__ = ["RunContext", "StageRecord"]


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What the manifest says of one stage."""

    name: str
    round: int
    key: str
    folder: str
    cached: bool
    rows: int
    failed: int
    failure_reasons: Mapping[str, int]
    seconds: float
    components: tuple[Mapping[str, Any], ...]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RunContext:
    """A run under way.

    Attributes:
        name: Of the run; its folder is ``runs/name``.
        recipe: What is run.
        runs: Folder of all runs and of the store that they share.
        models: Loads models, one at a time.
        interrupt: Whether the user asked to stop.
        listen: Told of everything that happens.
        first: Use only so many training prompts and as many held-out ones, the first of each
            after they were divided; None: all.
        round: The round under way, from 1.
        stages: The stages that are done, in order.
        digests: Checksums of the rows of those stages, by their keys.
        planner: Says of every stage what it would come to, in place of carrying it out; None in a
            run.
        editions: Key of a stage to the edition of it that this run reads, where that is not 0.
        origins: Key of a stage to the one that it would have if nothing had been tried again.
        retry: What is tried again; None in a run that goes on as ever.
        limit: How many rows of a stage may fail; None: all but the last.
        use: Told of every folder of the store, by name, before it is looked into.
    """

    name: str
    recipe: Recipe
    runs: Path
    models: ModelPool
    interrupt: Interrupt
    listen: Callable[[RunEvent], None]
    first: int | None = None
    round: int = 1
    stages: list[StageRecord] = field(default_factory=list)
    planner: Planner | None = None
    editions: dict[str, int] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    retry: Retry | None = None
    limit: FailureLimit | None = None
    use: Callable[[str], None] = lambda _: None
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The folder of stages, shared by all runs but those that have one of their own."""
        return store_of(self.runs / self.name)

    def made_from(self, reads: Iterable[str]) -> dict[str, str]:
        """The checksums of the rows of some stages, by their keys."""
        return {key: self.digests[key] for key in reads if key in self.digests}

    def title(self, stage: str) -> str:
        """How a stage is shown: with its round where there are several."""
        return stage if self.recipe.iterations == 1 else f"{self.round}/{stage}"

    def tell(
        self,
        kind: Literal["stage_started", "stage_progress", "stage_finished"],
        stage: str,
        *,
        done: int = 0,
        total: int | None = None,
        failed: int = 0,
        details: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Tells the listeners of an event in a stage."""
        event = RunEvent(kind, self.name, self.title(stage), done, total, failed, details or {})
        self.listen(event)

    @staticmethod
    def identity(spec: ComponentSpec) -> dict[str, Any]:
        """What of a component goes into keys: all that its results depend on."""
        return {
            "component": spec.registered.qualified,
            "revision": spec.registered.component.revision,
            "config": key_config(spec.config),
        }

    def model_identity(self, spec: ComponentSpec) -> dict[str, Any]:
        """What of a model goes into keys: the backend that runs it, and the weights."""
        return {**self.identity(spec), "fingerprint": self.models.fingerprint(spec)}

    @staticmethod
    def record(spec: ComponentSpec) -> dict[str, Any]:
        """What the manifest says of a component: enough to find the very same one again."""
        return {
            **component_record(spec.registered),
            "source": source_hash(spec.registered),
            "config": key_config(spec.config),
        }
