"""Says what went wrong: for one row, or so that no row can be answered.

The client has tried again by then where that could help: see `OpenAIConfig.max_retries`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError

from spa.api import ChatRequest, LabelRequest, Request, RequestFailure, SpaError
from spa_openai.config import OpenAIConfig
from spa_openai.secrets import without_key
from spa_openai.wire import Answer

__all__ = [
    "MalformedAnswer",
    "no_logprobs",
    "refuses_limit_key",
    "row_failure",
    "row_of_answer",
    "server_message",
    "unreachable",
]

_LONGEST = 300  # characters of a server's message that are worth reading
_TOO_LONG = re.compile(
    r"context.{0,3}(length|size|window)|exceeds?.{0,40}context|maximum.{0,30}tokens|too long", re.I
)
_FILTERED = re.compile(
    r"content.{0,3}(filter|policy|management)|safety system|moderation|flagged", re.I
)
_UNPAID = re.compile(r"insufficient_quota|billing", re.I)


class MalformedAnswer(httpx2.DecodingError):
    """An answer that cannot be read. The client tries again, as after a broken connection."""


def unreachable(config: OpenAIConfig, why: str) -> str:
    """What to do about a server that does not answer."""
    return (
        f"cannot reach the server at {config.base_url}: {why}. Look whether it runs and whether "
        "base_url is right (as a rule it ends in /v1). To start one of your own: "
        f"vllm serve {config.model}"
    )


def no_logprobs(config: OpenAIConfig, why: str) -> SpaError:
    """Labels cannot be measured on this server."""
    return SpaError(
        f"the server at {config.base_url} gives no log-probabilities for {config.model!r}, which a "
        f"judge in mode expected and the evaluator pairwise need: {why}. Set judge.mode: generate, "
        "so that the judge writes its score, and leave pairwise out or give it a backend of its "
        "own; or use a server that gives log-probabilities, such as vLLM or llama.cpp."
    )


def server_message(error: APIStatusError, key: str) -> str:
    """What a server said of an error, cut to a readable length and without the key."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message", inner) if isinstance(inner, dict) else inner
    text = " ".join(without_key(str(said or ""), key).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return text.rstrip(".") or "it did not say why"


def refuses_limit_key(error: APIStatusError) -> bool:
    """Whether a server wants ``max_completion_tokens`` in place of ``max_tokens``."""
    if error.status_code not in (400, 422) or "max_completion_tokens" not in str(error.body):
        return False
    return error.param == "max_tokens" or error.code == "unsupported_parameter"


def row_failure(
    error: APIStatusError | APIConnectionError,
    request: Request,
    config: OpenAIConfig,
    key: str,
    served: Sequence[str],
) -> RequestFailure:
    """Why one row is set aside.

    Args:
        error: What the client raised in the end.
        request: What was asked.
        config: The backend's.
        key: To be crossed out.
        served: Names of the models that the server knows, as far as that is known.

    Raises:
        SpaError: If no row could be answered: no key, no right, no such model.
    """
    if isinstance(error, APIConnectionError):
        return _connection(error, config, key)
    status, said = error.status_code, server_message(error, key)
    if status in (400, 403) and _FILTERED.search(f"{error.code} {said}"):
        return RequestFailure("refused", f"a content filter of the service says: {said}")
    _stop_if_hopeless(error, config, said, served)
    if isinstance(request, LabelRequest) and status in (400, 422) and "logprob" in said:
        raise no_logprobs(config, f"it says: {said}. If it allows fewer, lower top_logprobs")
    if status in (408, 409, 429) or status >= 500:
        return _in_spite_of_retries(status, said)
    return _of_the_row(error, said)


def _in_spite_of_retries(status: int, said: str) -> RequestFailure:
    if status == 429:
        return RequestFailure("rate_limited", f"the server was busy at every try: {said}")
    if status in (408, 504):
        return RequestFailure("timeout", f"the server gave up at every try ({status}): {said}")
    return RequestFailure("server_error", f"the server failed at every try ({status}): {said}")


def _of_the_row(error: APIStatusError, said: str) -> RequestFailure:
    status = error.status_code
    if status == 413 or error.code == "context_length_exceeded" or _TOO_LONG.search(said):
        return RequestFailure(
            "too_long", f"the server says: {said}. Shorten the prompt or lower max_tokens."
        )
    return RequestFailure("bad_request", f"the server refuses the request ({status}): {said}")


def row_of_answer(
    request: Request, answer: Answer, max_context: int | None
) -> RequestFailure | None:
    """Why a row is set aside although there is an answer; None if it is not."""
    if answer.choice.refused:
        return RequestFailure(
            "refused",
            "a content filter of the service withheld the answer. A model on a server of your own "
            "may answer such rows.",
        )
    room = request.max_tokens if isinstance(request, ChatRequest) else 1
    prompt_tokens = answer.usage.prompt_tokens if answer.usage is not None else 0
    if max_context is not None and prompt_tokens + room > max_context:
        return RequestFailure(
            "too_long",
            f"the prompt has {prompt_tokens:,} tokens and {room:,} are to be generated, but "
            f"max_context is {max_context:,}. Shorten the prompt or lower max_tokens.",
        )
    return None


def _connection(error: APIConnectionError, config: OpenAIConfig, key: str) -> RequestFailure:
    cause = error.__cause__
    if isinstance(cause, MalformedAnswer):
        said = without_key(str(cause), key)
        return RequestFailure(
            "malformed", f"the answer of {config.base_url}/chat/completions cannot be read: {said}"
        )
    if isinstance(error, APITimeoutError):
        return RequestFailure(
            "timeout",
            f"no answer within {config.timeout:g} seconds at any try. Raise timeout, or lower "
            "max_concurrency.",
        )
    kind = type(cause).__name__ if cause is not None else "no connection"
    return RequestFailure("server_error", f"the connection broke at every try ({kind})")


def _stop_if_hopeless(
    error: APIStatusError, config: OpenAIConfig, said: str, served: Sequence[str]
) -> None:
    """Raises what no other row could escape. The words of a server about a key are not repeated."""
    status, where = error.status_code, f"the server at {config.base_url}"
    if status in (401, 403):
        name = config.api_key_env
        given = (
            "no key was sent, as api_key_env is null. Set it to the variable that holds the key"
            if name is None
            else f"the key in {name} is wrong, or may not use {config.model!r}. Set {name} to one "
            "that may"
        )
        raise SpaError(f"{where} refuses access ({status}): {given}.")
    if status == 404:
        known = f" It serves: {', '.join(served)}." if served else ""
        raise SpaError(
            f"{where} does not know the model {config.model!r} or the path (404): {said}.{known} "
            "Set model to a name that it serves, and base_url to what comes before "
            "/chat/completions, as a rule with /v1 at its end."
        )
    if 300 <= status < 400:
        to = _without_query(error.response.headers.get("location", "elsewhere"))
        raise SpaError(f"{where} sends requests on to {to} ({status}). Set base_url to that place.")
    if status == 402 or (status == 429 and _UNPAID.search(f"{error.code} {said}")):
        raise SpaError(f"{where} wants to be paid first ({status}): {said}.")


def _without_query(url: str) -> str:
    """A URL without what may hold secrets."""
    return url.partition("?")[0].partition("#")[0]
