"""Loads models for stages, one at a time, and says which model is which.

One backend is held; asking for another closes it first. So a machine needs room for one model
only, and training finds the memory free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from spa.contracts import Backend
from spa.engine.components import create
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe import ComponentSpec

__all__ = ["ModelPool", "Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy at one point of a run.

    Attributes:
        name: ``"base"`` for the untrained model, then ``"round-1"``, ``"round-2"``, ...
        backend: What runs it.
    """

    name: str
    backend: ComponentSpec

    def trained(self, name: str, path: Path, kind: str) -> Policy:
        """The policy after a round.

        Args:
            name: Its name.
            path: Folder of the adapter (``kind`` ``"adapter"``) or of the whole model (``"full"``).
            kind: What training made.
        """
        update = (
            {"adapter": str(path)} if kind == "adapter" else {"path": str(path), "adapter": None}
        )
        return Policy(
            name, replace(self.backend, config=self.backend.config.model_copy(update=update))
        )

    def spec(self) -> ModelSpec:
        """What training needs to load the weights.

        Raises:
            RunError: If the backend does not say where the weights lie.
        """
        config: Any = self.backend.config
        path = getattr(config, "path", None)
        if not isinstance(path, str) or not hasattr(config, "adapter"):
            raise RunError(
                f"backend '{self.backend.name}' serves a model without its weights, so it cannot "
                "be trained. For the section model use a backend with the keys path and adapter, "
                "such as hf."
            )
        return ModelSpec(
            path=path,
            dtype=getattr(config, "dtype", "auto"),
            adapter=config.adapter,
            trust_remote_code=getattr(config, "trust_remote_code", False),
            device=getattr(config, "device", "auto"),
            chat_template_kwargs=getattr(config, "chat_template_kwargs", {}),
        )


class ModelPool:
    """Holds the one backend that is loaded."""

    def __init__(self) -> None:
        """Loads nothing yet."""
        self._spec: ComponentSpec | None = None
        self._backend: Backend | None = None
        self._fingerprints: dict[str, str] = {}

    def get(self, spec: ComponentSpec) -> Backend:
        """The backend of a section, started if it is not the one that runs."""
        if self._backend is None or self._spec != spec:
            self.close()
            self._backend = cast("Backend", create(spec))
            self._spec = spec
        return self._backend

    def fingerprint(self, spec: ComponentSpec) -> str:
        """The identity of a section's model; loads no weights."""
        name = f"{spec.registered.qualified} {spec.config.model_dump_json()}"
        if name not in self._fingerprints:
            backend = self.get(spec)
            self._fingerprints[name] = backend.fingerprint()
        return self._fingerprints[name]

    def close(self) -> None:
        """Ends the backend that runs, if there is one."""
        if self._backend is not None:
            self._backend.close()
        self._backend = None
        self._spec = None
