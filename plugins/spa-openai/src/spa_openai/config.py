"""What a recipe can say to the backend ``openai``. No key is ever part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from spa.api import ComponentConfig, JsonValue, NotInKey

__all__ = ["HOSTED", "OpenAIConfig", "Prefill", "Price"]

HOSTED = "https://api.openai.com/v1"
"""OpenAI's own service."""

Prefill = Literal["auto", "refuse", "continue", "last-turn"]

_SET_BY_SPA = frozenset(
    {
        "add_generation_prompt",
        "continue_final_message",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "return_token_ids",
        "seed",
        "stream",
        "temperature",
        "top_logprobs",
        "top_p",
    }
)
_SECRET = re.compile(
    r"(.*[-_])?(api[-_]?key|authorization|credentials?|password|secret([-_]?key)?"
    r"|(access|auth|bearer|hf|id|refresh)[-_]?token)|token",
    re.I,
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


def _without_credentials(url: str) -> str:
    """A URL in one spelling. Messages never repeat it, since a key may be in it."""
    try:
        parts = urlsplit(url)
        has_host, credentials = bool(parts.hostname), "@" in parts.netloc
    except ValueError:
        raise ValueError("not a URL. Write it as http://localhost:8000/v1") from None
    if credentials or parts.query or parts.fragment:
        raise ValueError(
            "takes no user name, password, ?query or #fragment: a recipe holds no secrets. Put the "
            "key into an environment variable and name that with api_key_env"
        )
    if parts.scheme not in ("http", "https") or not has_host:
        raise ValueError("must begin with http:// or https:// and a host: http://localhost:8000/v1")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def _variable(name: str) -> str:
    """Refuses what is no name of a variable, most of all a key itself, without repeating it."""
    if not _VARIABLE.match(name):
        raise ValueError(
            "must be the name of an environment variable: capital letters, digits and underscores. "
            "The key itself does not belong in a recipe. Type: export OPENAI_API_KEY=... and set "
            "api_key_env: OPENAI_API_KEY"
        )
    return name


def _extra(body: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if taken := sorted(_SET_BY_SPA & set(body)):
        raise ValueError(
            f"{', '.join(taken)}: spa sets this itself, from the recipe's other sections or from "
            "the keys beside extra_body"
        )
    if secret := next(_secrets(body), None):
        raise ValueError(f"{secret}: a recipe holds no secrets. Name the key's variable with "
                         "api_key_env")  # fmt: skip
    return body


def _secrets(value: JsonValue) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (key for key in value if _SECRET.fullmatch(key))
        for part in value.values():
            yield from _secrets(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _secrets(part)


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""How many in a minute."""


class Price(ComponentConfig):
    """What a million tokens cost, in any currency."""

    input: Amount = Field(description="A million tokens of prompts.")
    output: Amount = Field(description="A million tokens of answers, reasoning included.")


class OpenAIConfig(ComponentConfig):
    """A model behind a server with the OpenAI protocol."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(min_length=1, description="Name under which the server knows the model.")
    base_url: Annotated[str, AfterValidator(_without_credentials)] = Field(
        default=HOSTED,
        description="Where the server is, as a rule with /v1 at its end.",
    )
    api_key_env: Annotated[
        Annotated[str, AfterValidator(_variable)] | None, NotInKey("who pays changes nothing")
    ] = Field(
        default="OPENAI_API_KEY",
        description="Environment variable that holds the key. Null: the server wants none.",
    )
    revision: str = Field(
        default="",
        description="Any text that tells this model from another under the same name: change it "
        "when the server's weights have changed, so that stored answers are not used again.",
    )
    prefill: Prefill = Field(
        default="auto",
        description="How the server goes on with a begun answer. `continue`: as vLLM does. "
        "`last-turn`: it goes on with an assistant's message that comes last, as llama.cpp does. "
        "`refuse`: it does not. `auto`: by what the server says of itself.",
    )
    top_logprobs: int = Field(
        default=20, ge=1, description="How many of the likeliest tokens are asked for labels."
    )
    max_missing_mass: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Labels that are not among the likeliest tokens count as probability 0 if they "
        "cannot have more than this together; else the row is set aside.",
    )
    max_context: int | None = Field(
        default=None,
        ge=2,
        description="Most tokens of prompt and answer together. Rows above are set aside as too "
        "long: for servers that would cut a prompt without a word.",
    )
    send_seed: bool = Field(
        default=True,
        description="Whether each request carries its seed. False for servers that cannot take "
        "one, such as vLLM on a CPU.",
    )
    extra_body: Annotated[dict[str, JsonValue], AfterValidator(_extra)] = Field(
        default_factory=dict, description="More keys for the body of every request."
    )
    timeout: Annotated[float, NotInKey("changes speed only")] = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="Seconds until a try is given up."
    )
    max_retries: Annotated[int, NotInKey("changes speed only")] = Field(
        default=6,
        ge=0,
        description="How often a request is sent again after a fault of server or network.",
    )
    max_concurrency: Annotated[int, NotInKey("changes speed only")] = Field(
        default=64,
        ge=1,
        description="Most requests under way at once. Fewer are while the server says that it is "
        "busy.",
    )
    requests_per_minute: Annotated[Rate | None, NotInKey("changes speed only")] = Field(
        default=None, description="Most requests sent in a minute, repeated ones included."
    )
    tokens_per_minute: Annotated[Rate | None, NotInKey("changes speed only")] = Field(
        default=None,
        description="Most tokens in a minute: an estimate of the prompt, and max_tokens.",
    )
    price: Annotated[Price | None, NotInKey("changes no answer")] = Field(
        default=None, description="What tokens cost, to count the cost and for max_cost."
    )
    max_cost: Annotated[Amount | None, NotInKey("changes no answer")] = Field(
        default=None,
        description="Nothing more is sent once the counted cost has reached this. Answers under "
        "way then are still paid for.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_cost is not None and self.price is None:
            raise ValueError("max_cost needs the price of tokens: price: {input: ..., output: ...}")
        return self
