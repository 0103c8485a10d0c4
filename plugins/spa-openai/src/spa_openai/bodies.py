"""Writes the JSON that asks a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from spa.api import ChatRequest, JsonValue, LabelRequest, Request
from spa_openai.config import OpenAIConfig

__all__ = ["LimitKey", "Style", "write_body"]

Style = Literal["refuse", "continue", "last-turn"]
LimitKey = Literal["max_tokens", "max_completion_tokens"]

_SEED_BITS = 31  # some servers hold a seed in a signed int of 32 bits


def write_body(
    request: Request, config: OpenAIConfig, *, owner: str, style: Style, limit_key: LimitKey
) -> dict[str, JsonValue]:
    """The body of a request of chat/completions.

    Args:
        request: What is asked.
        config: The backend's.
        owner: What the server says of itself, ``"vllm"``, ``"llamacpp"`` or anything else.
        style: How the server goes on with a begun answer; not ``refuse`` if there is one.
        limit_key: What the server calls the most tokens to generate.
    """
    turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
    if request.prefill:
        turns.append({"role": "assistant", "content": request.prefill})
    body: dict[str, JsonValue] = {"model": config.model, "messages": turns}
    body |= config.extra_body
    if request.prefill and style == "continue":
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if owner in ("vllm", "llamacpp") and (request.prefill or isinstance(request, LabelRequest)):
        body["chat_template_kwargs"] = _at_once(body.get("chat_template_kwargs"))
    if isinstance(request, LabelRequest):
        return body | {
            limit_key: 1,
            "temperature": 1.0,  # some servers give log-probabilities at the request's temperature
            "logprobs": True,
            "top_logprobs": config.top_logprobs,
        }
    return body | _sampling(request, config, owner, limit_key)


def _sampling(
    request: ChatRequest, config: OpenAIConfig, owner: str, limit_key: LimitKey
) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        limit_key: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.seed is not None and config.send_seed:
        body["seed"] = request.seed % (1 << _SEED_BITS)
    if owner == "vllm":
        body["return_token_ids"] = True
    return body


def _at_once(given: JsonValue) -> dict[str, JsonValue]:
    """Variables of the chat template with which a model that could think answers at once."""
    return {**(given if isinstance(given, Mapping) else {}), "enable_thinking": False}
