"""Announces the evaluator. This module is all that spa imports to list it."""

from __future__ import annotations

from spa.api import Component, hookimpl

__all__ = ["spa_evaluators"]


@hookimpl
def spa_evaluators() -> list[Component]:
    """Announces the evaluator ``lm-eval``."""
    return [
        Component(
            name="lm-eval",
            impl="spa_lm_eval.evaluator:LmEvalEvaluator",
            config="spa_lm_eval.config:LmEvalConfig",
            summary="Any task of EleutherAI's lm-evaluation-harness, before and after training",
            install_hint="pip install lm-eval",
        )
    ]
