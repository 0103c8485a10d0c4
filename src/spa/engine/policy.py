"""The policy: the model that is aligned, as it is at one point of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spa.errors import Problem, RunError
from spa.models.spec import ModelSpec
from spa.recipe import ComponentSpec, Recipe

__all__ = ["Policy", "untrainable"]


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


def untrainable(recipe: Recipe) -> Problem | None:
    """Why a recipe's model cannot be the policy; None if it can."""
    try:
        Policy("base", recipe.model).spec()
    except RunError as error:
        return recipe.problem("model.use", str(error))
    return None
