"""Finds before a run's first stage why a server could not answer what will be asked."""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import LabelRequest, Request
from spa_openai.asking import refuses_plain_text, refuses_prefill
from spa_openai.config import OpenAIConfig
from spa_openai.failures import unreachable
from spa_openai.server import Server

__all__ = ["problems"]


def problems(config: OpenAIConfig, server: Server, requests: Sequence[Request]) -> Sequence[str]:
    """What is wrong, each once; nothing if all is well."""
    if server.problem:
        return [unreachable(config, server.problem)]
    found: list[str] = []
    if server.status in (401, 403):  # what else it is like, it does not say either
        key = f"the key in {config.api_key_env}" if config.api_key_env else "requests without a key"
        return [
            f"the server at {config.base_url} refuses {key} ({server.status}). Set api_key_env to "
            "the environment variable that holds a key which it takes."
        ]
    # Others serve names that they do not list.
    if server.owner == "vllm" and config.model not in server.models:
        found.append(
            f"the server at {config.base_url} does not serve {config.model!r}, only: "
            f"{', '.join(server.models)}. Set model to one of these."
        )
    style = server.style(config.prefill)
    for request in requests:
        if request.prefill and not request.messages:
            found.append(refuses_plain_text(config))
        elif request.prefill and style == "refuse":
            found.append(refuses_prefill(config, server))
        if isinstance(request, LabelRequest) and len(request.labels) > config.top_logprobs:
            found.append(
                f"{len(request.labels)} labels cannot be among the {config.top_logprobs} likeliest "
                "tokens that are asked for. Use fewer labels, or raise top_logprobs as far as the "
                "server allows it."
            )
    return list(dict.fromkeys(found))
