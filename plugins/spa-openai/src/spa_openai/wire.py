"""The part of the protocol's answers that is read; servers add much else, which is passed over."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spa_openai.secrets import NO_KEY, without_key

__all__ = ["Answer", "Choice", "Place", "Token", "Usage", "read_answer"]


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a server says
    """Text, or nothing where a server has another kind of value there."""
    return value if isinstance(value, str) else ""


def _list(value: Any) -> Any:  # noqa: ANN401 - whatever a server says
    return () if value is None else value


def _count(value: Any) -> Any:  # noqa: ANN401 - whatever a server says
    return 0 if value is None else value


Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
Text = Annotated[str, BeforeValidator(_text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Token(_Part):
    """A token and its natural log-probability."""

    token: str
    logprob: float


class Place(Token):
    """The token that was taken at one place, and the likeliest ones there."""

    top_logprobs: Annotated[tuple[Token, ...], BeforeValidator(_list)] = ()


class _Logprobs(_Part):
    content: Annotated[tuple[Place, ...], BeforeValidator(_list)] = ()


class _Message(_Part):
    content: str | None = None
    reasoning: Text = ""
    reasoning_content: Text = ""
    refusal: Text = ""


class Choice(_Part):
    """An answer of the model."""

    message: _Message
    finish_reason: Text = ""
    logprobs: _Logprobs | None = None
    token_ids: Annotated[tuple[int, ...], BeforeValidator(_list)] = ()

    @property
    def reasoning(self) -> str:
        """What servers that part it themselves call by one of two names."""
        return self.message.reasoning_content or self.message.reasoning

    @property
    def places(self) -> tuple[Place, ...]:
        """Log-probabilities, a place for every token of the answer; none if not given."""
        return self.logprobs.content if self.logprobs is not None else ()

    @property
    def refused(self) -> bool:
        """Whether a filter of the service withheld the answer."""
        return self.finish_reason == "content_filter" or bool(self.message.refusal)


class Usage(_Part):
    """Tokens that were counted."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class Answer(_Part):
    """The answer to a request of chat/completions."""

    choices: tuple[Choice, ...] = Field(min_length=1)
    usage: Usage | None = None

    @property
    def choice(self) -> Choice:
        """The first choice; more than one is never asked for."""
        return self.choices[0]


_SHOWN = 60  # characters of what is no answer at all


def _beginning(content: bytes, key: str) -> str:
    # Without the key first: a cut may leave a part of it that is not found any more.
    text = " ".join(without_key(content.decode(errors="replace"), key).split())
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ...")


def read_answer(content: bytes, key: str = NO_KEY) -> Answer:
    """Reads the body of an answer.

    Args:
        content: The body.
        key: To be crossed out of what is said of a body that is no answer.

    Raises:
        ValueError: If it is not JSON, has no choice, or a choice without any content.
    """
    try:
        answer = Answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if place:
            raise ValueError(f"{place}: {first['msg']}") from None
        raise ValueError(f"it is no JSON object, and begins {_beginning(content, key)}") from None
    choice = answer.choice
    nothing = choice.message.content is None and not choice.reasoning and not choice.places
    if nothing and not choice.refused:
        raise ValueError("choices.0.message.content: there is none")
    if choice.finish_reason in ("abort", "error"):
        raise ValueError(f"choices.0.finish_reason: {choice.finish_reason}")
    return answer
