"""The models of a run that is planned: none is opened, and one that is not trained yet has no name.

A policy that the run would train has no fingerprint before it is trained. What would ask it has no
key yet, and a made-up one must not be looked up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from spa.engine.models import ModelPool
from spa.recipe import ComponentSpec

__all__ = ["NotTrained", "PlannedModels"]


class NotTrained(Exception):  # noqa: N818  # no error: it is how a plan learns of it
    """A fingerprint was asked for of a policy that is not trained yet.

    Attributes:
        stage: Title of the stage that will train it.
    """

    def __init__(self, stage: str) -> None:
        """Keeps the title."""
        self.stage = stage
        super().__init__(stage)


class PlannedModels(ModelPool):
    """Says which model is which, as the pool of a run does."""

    def __init__(self) -> None:
        """Nothing is untrained yet."""
        super().__init__()
        self._untrained: dict[str, str] = {}
        self._unsure = ""

    def get(self, spec: ComponentSpec) -> NoReturn:
        """Opens nothing: a plan asks no model."""
        raise AssertionError(f"planning asked for the backend {spec.name!r}")

    def will_be_trained(self, path: Path, stage: str) -> None:
        """Notes where a policy will lie once it is trained.

        Args:
            path: Its folder.
            stage: Title of the stage that will train it.
        """
        self._untrained[str(path)] = stage

    def fingerprint(self, spec: ComponentSpec) -> str:
        """The identity of a section's model.

        Raises:
            NotTrained: If it is not trained yet.
        """
        stage = self._waits(spec)
        if stage:
            raise NotTrained(stage)
        return super().fingerprint(spec)

    def tokenizer_fingerprint(self, spec: ComponentSpec) -> str | None:
        """The identity of a tokenizer; an adapter leaves it as it is.

        That of a whole model which is not trained yet is not known: `doubt` says so afterwards.
        """
        stage = self._waits(spec)
        if not stage:
            return super().tokenizer_fingerprint(spec)
        config: Any = spec.config
        if str(getattr(config, "path", "")) in self._untrained:
            self._unsure = stage
            return None
        update = config.model_copy(update={"adapter": None})
        return super().tokenizer_fingerprint(
            ComponentSpec(spec.kind, spec.name, spec.registered, update)
        )

    def doubt(self) -> str:
        """The stage that a tokenizer asked for since the last call waits for, or ``""``."""
        found, self._unsure = self._unsure, ""
        return found

    def _waits(self, spec: ComponentSpec) -> str:
        config = spec.config
        places = (getattr(config, "adapter", None), getattr(config, "path", None))
        return next((self._untrained[str(p)] for p in places if str(p) in self._untrained), "")
