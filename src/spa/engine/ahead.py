"""Finds before the first stage what would stop a later one, while that has cost nothing.

A judge whose labels the model cannot give, or an adapter for layers that the model does not have,
would else be found out after hours of sampling. No weights are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from spa.engine.components import create
from spa.engine.models import ModelPool
from spa.engine.policy import Policy
from spa.engine.stages.combine import combined_scale
from spa.errors import PluginError, RecipeError, RunError, SpaError
from spa.models.devices import too_few_accelerators
from spa.models.lora import no_layer_for_adapter
from spa.recipe import ComponentSpec, Recipe
from spa.types import Request

__all__ = ["check_ahead", "refuse_unanswerable"]

T = TypeVar("T")
_Asker: TypeAlias = tuple[str, ComponentSpec, ComponentSpec]


def check_ahead(recipe: Recipe, models: ModelPool) -> None:
    """Asks the backends whether they could answer, and looks for the layers of the adapter.

    Backends without ``check`` and components without ``will_ask`` are passed over.

    Args:
        recipe: What is to be run.
        models: Makes the backends; the last one stays for the first stage.

    Raises:
        RecipeError: With all that was found.
        SpaError: If a tokenizer cannot be loaded, or a component is broken.
    """
    of_policy = [(f"evaluate.{n}", each, recipe.model) for n, each in enumerate(recipe.evaluate)]
    found = [
        *_refused(of_policy, models, "will_ask_policy"),
        *_refused(_askers(recipe), models),
        *_members(recipe),
        *_adapter(recipe),
        *_processes(recipe),
    ]
    _raise(recipe, found)


def refuse_unanswerable(recipe: Recipe, askers: Iterable[_Asker], models: ModelPool) -> None:
    """Asks backends whether they could answer some components of a recipe.

    Args:
        recipe: Whose they are.
        askers: For each its place in the recipe, the component, and the backend that answers it.
        models: Makes the backends.

    Raises:
        RecipeError: With all that could not be answered.
        SpaError: If a tokenizer cannot be loaded, or a component is broken.
    """
    _raise(recipe, list(_refused(askers, models)))


def _raise(recipe: Recipe, found: Sequence[tuple[str, str]]) -> None:
    if found:
        raise RecipeError([recipe.problem(path, message) for path, message in _once(found)])


def _once(found: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each message once, with all the places that it holds for, in the order of the flow."""
    paths: dict[str, list[str]] = {}
    for path, message in found:
        paths.setdefault(message, []).insert(0, path)  # what asks last is found first
    for message, (first, *others) in paths.items():
        also = f" The same holds for {', '.join(others)}." if others else ""
        yield first, f"{message}{also}"


def _refused(
    askers: Iterable[_Asker], models: ModelPool, method: str = "will_ask"
) -> Iterator[tuple[str, str]]:
    for path, section, model in askers:
        component = create(section)
        will_ask: Callable[[], Sequence[Request]] | None = getattr(component, method, None)
        if will_ask is None:
            continue
        requests = _call(section, method, will_ask)
        check: Callable[[Sequence[Request]], Sequence[str]] | None = getattr(
            models.get(model), "check", None
        )
        if requests and check is not None:
            for problem in dict.fromkeys(_call(model, "check", partial(check, requests))):
                yield path, problem


def _askers(recipe: Recipe) -> Iterator[_Asker]:
    """What asks a model: place in the recipe, component, and the backend that answers it.

    The first to ask comes last, so that the backend which it needs is the one at hand.
    """
    for asker in reversed(recipe.askers):
        yield asker.path, asker.section, asker.backend or recipe.model


def _members(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Scales of a judge's members that do not go together."""
    if recipe.judge.members:
        try:
            combined_scale(recipe.judge)
        except RunError as error:
            yield "judge.members", str(error)


def _call(section: ComponentSpec, method: str, ask: Callable[[], Sequence[T]]) -> Sequence[T]:
    try:
        return list(ask())
    except SpaError:
        raise
    except Exception as error:
        raise PluginError(
            f"{section.kind} '{section.registered.qualified}' cannot be checked: {method} raised "
            f"{type(error).__name__}: {error}. This is a fault of its plugin."
        ) from error


def _adapter(recipe: Recipe) -> Iterator[tuple[str, str]]:
    lora = recipe.train.lora
    if lora is not None:
        problem = no_layer_for_adapter(Policy("base", recipe.model).spec(), lora.target_modules)
        if problem is not None:
            yield "train.lora.target_modules", problem


def _processes(recipe: Recipe) -> Iterator[tuple[str, str]]:
    processes = recipe.train.processes
    if processes is not None and processes > 1:
        problem = too_few_accelerators(Policy("base", recipe.model).spec(), processes)
        if problem is not None:
            yield "train.processes", problem
