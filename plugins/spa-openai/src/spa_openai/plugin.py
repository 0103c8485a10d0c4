"""Announces the backend. This module is all that spa imports to list it."""

from __future__ import annotations

from spa.api import Component, hookimpl

__all__ = ["spa_backends"]


@hookimpl
def spa_backends() -> list[Component]:
    """Announces the backend ``openai``."""
    return [
        Component(
            name="openai",
            impl="spa_openai.backend:OpenAIBackend",
            config="spa_openai.config:OpenAIConfig",
            summary="Asks a server with the OpenAI protocol: vLLM, llama.cpp, Ollama, hosted ones",
            install_hint="pip install openai",
        )
    ]
