"""Announces the components. This module is all that spa imports to list them."""

from __future__ import annotations

from spa.api import Component, hookimpl

__all__ = ["spa_judges", "spa_losses"]


@hookimpl
def spa_judges() -> list[Component]:
    """Announces the judge ``rubric``."""
    return [
        Component(
            name="rubric",
            impl="spa_rubric.judge:RubricJudge",
            config="spa_rubric.config:RubricConfig",
            summary="Scores with regular expressions: points for what a response holds",
        )
    ]


@hookimpl
def spa_losses() -> list[Component]:
    """Announces the loss ``slic``."""
    return [
        Component(
            name="slic",
            impl="spa_rubric.loss:SlicLoss",
            config="spa_rubric.loss_config:SlicConfig",
            summary="SLiC: hinge on the margin of length-normalised log-probabilities",
        )
    ]
