"""Makes the components of a recipe, and turns whatever goes wrong in making one into one error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spa.errors import PluginError, SpaError

if TYPE_CHECKING:
    from spa.recipe import ComponentSpec, Recipe

__all__ = ["check_components", "create"]


def create(spec: ComponentSpec) -> Any:  # noqa: ANN401  # the caller says which protocol it is
    """The component of a section.

    Raises:
        PluginError: If it cannot be imported or made.
    """
    implementation = spec.registered.load_class()
    try:
        return implementation(spec.config)
    except SpaError:
        raise
    except Exception as error:
        raise PluginError(
            f"{spec.kind} '{spec.registered.qualified}' cannot be made from its settings: "
            f"{type(error).__name__}: {error}"
        ) from error


def check_components(recipe: Recipe) -> None:
    """Imports every component of a recipe before the first stage runs.

    A loss that cannot be imported must not be found out after hours of sampling.

    Raises:
        PluginError: If one cannot be imported.
    """
    for spec in recipe.components:
        spec.registered.load_class()
