"""Makes an evaluator of a finished run again, to read the rows that it left in the store.

Who reads a run needs it for what rows mean: `summary`, and which responses were right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from spa.contracts import Evaluator
from spa.engine.components import create
from spa.engine.stored_run import StoredRun
from spa.errors import SpaError
from spa.plugins.catalogue import Catalogue, load_catalogue
from spa.recipe.model import ComponentSpec

__all__ = ["stored_evaluator"]


def stored_evaluator(
    run: StoredRun,
    section: Mapping[str, Any],
    catalogue: Catalogue | None = None,
    *,
    lambdas: Sequence[float] = (),
) -> Evaluator:
    """The evaluator of a section of a run's recipe.

    Args:
        run: The run.
        section: One of its recipe's ``evaluate``.
        catalogue: Where it is found; by default what is installed.
        lambdas: Weights for an evaluator that has a setting `lambdas`, besides its own.

    Raises:
        SpaError: If it is not installed any more, or its settings do not fit it.
    """
    settings = {key: value for key, value in section.items() if key not in ("use", "backend")}
    try:
        registered = (catalogue or load_catalogue()).resolve("evaluator", str(section["use"]))
        config_class = registered.load_config_class()
        if lambdas and "lambdas" in config_class.model_fields:
            own = settings.get("lambdas") or ()
            settings["lambdas"] = tuple(dict.fromkeys((*own, *lambdas)))
        config = config_class.model_validate(settings)
    except (SpaError, ValueError) as error:
        raise SpaError(
            f"{run.folder}: its evaluator {section['use']} cannot be made: {error}"
        ) from error
    spec = ComponentSpec("evaluator", str(section["use"]), registered, config)
    return cast("Evaluator", create(spec))
