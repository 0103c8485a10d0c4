"""The hooks that a plugin can implement: one for each kind of component, and one for observers.

The hooks that announce components take no arguments, so there is nothing to break when spa grows,
and return records of strings, so that listing them imports no implementation. They are called once
for each process, before anything else happens.
"""

from __future__ import annotations

from collections.abc import Iterable

from spa.plugins.component import Component
from spa.plugins.markers import hookspec
from spa.types import RunEvent

__all__ = [
    "spa_backends",
    "spa_denoisers",
    "spa_evaluators",
    "spa_generators",
    "spa_judges",
    "spa_losses",
    "spa_pair_builders",
    "spa_refiners",
    "spa_run_event",
    "spa_sources",
]


@hookspec
def spa_backends() -> Iterable[Component]:
    """Announces backends: they run a model (`spa.api.Backend`, recipe key ``model``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_sources() -> Iterable[Component]:
    """Announces sources: where prompts come from (`spa.api.Source`, recipe key ``prompts``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_generators() -> Iterable[Component]:
    """Announces generators: they sample responses (`spa.api.Generator`, key ``generate``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_judges() -> Iterable[Component]:
    """Announces judges: they score a response on every objective (`spa.api.Judge`, key ``judge``).

    One that combines the scores of other judges is a judge, too (`spa.api.Combiner`).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_refiners() -> Iterable[Component]:
    """Announces refiners: they write one better response (`spa.api.Refiner`, key ``refine``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_denoisers() -> Iterable[Component]:
    """Announces denoisers: they say which groups to trust (`spa.api.Denoiser`, key ``denoise``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_pair_builders() -> Iterable[Component]:
    """Announces pair builders: scores to preferences (`spa.api.PairBuilder`, key ``pairs``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_losses() -> Iterable[Component]:
    """Announces losses: log-probabilities to one loss a pair (`spa.api.Loss`, key ``loss``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_evaluators() -> Iterable[Component]:
    """Announces evaluators: they measure models (`spa.api.Evaluator`, key ``evaluate``).

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError


@hookspec
def spa_run_event(event: RunEvent) -> None:
    """Called when something happens in a run: a stage starts, goes on, finishes.

    Called in the engine's own thread, so it should return fast. An exception is logged once for
    each plugin and never stops the run.

    Args:
        event: What happened; frozen.

    !!! info "versionadded"
        0.1
    """
    raise NotImplementedError
