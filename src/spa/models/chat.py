"""Renders a conversation to token ids: the one place where it is done.

Generation, judging and training all go through here, so that the same conversation always gives
the same ids, with the beginning-of-sequence token exactly as often as the chat template says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError

from spa.errors import SpaError
from spa.models.reasoning import find_tags
from spa.types import JsonValue, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Rendered", "render", "render_text"]

_PROBE = "spa-system-probe"
_THINKING = "enable_thinking"


class Rendered(NamedTuple):
    """A conversation as text, up to where the model goes on.

    Attributes:
        text: With all special tokens written out: tokenise it without adding any.
        reasoning: Whether it ends within the model's reasoning.
    """

    text: str
    reasoning: bool


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    prefill: str = "",
    *,
    direct: bool = False,
    options: Mapping[str, JsonValue] | None = None,
) -> list[int]:
    """The ids of a conversation up to and including the start of the assistant's turn.

    See `render_text` for arguments and errors.
    """
    text = render_text(tokenizer, messages, prefill, direct=direct, options=options).text
    # The template writes special tokens itself: adding them again doubles the first one.
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def render_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    prefill: str = "",
    *,
    direct: bool = False,
    options: Mapping[str, JsonValue] | None = None,
) -> Rendered:
    """A conversation up to and including the start of the assistant's turn.

    A system message goes before the first user turn, as one text, where the template has no place
    for it: it refuses it or leaves it out. Without turns there is no conversation: ``prefill`` is
    plain text for the model to go on with, and no template is applied.

    Args:
        tokenizer: Must have a chat template, unless there are no turns.
        messages: The turns, oldest first.
        prefill: Beginning of the assistant's turn; tokenised together with the template, so that
            the ids at the seam are what the model would have seen in training.
        direct: Whether the answer must follow at once, without reasoning before it; always so with
            a prefill.
        options: More variables of the template, for example ``{"enable_thinking": False}``.

    Raises:
        SpaError: If there is no chat template, it refuses the turns, or there is nothing at all.
    """
    if not messages and prefill:
        return Rendered(_plain_beginning(tokenizer) + prefill, reasoning=False)
    if not tokenizer.chat_template:
        raise SpaError(
            f"the tokenizer of {tokenizer.name_or_path!r} has no chat template. "
            "Use an instruction-tuned model, or add chat_template.jinja to its folder."
        )
    if not messages:
        raise SpaError("there is nothing to answer: the conversation has no turns")
    direct = direct or bool(prefill)
    variables: dict[str, JsonValue] = dict(options or {})
    if direct and _THINKING in str(tokenizer.chat_template):
        variables[_THINKING] = False
    try:
        text = _written(tokenizer, messages, variables)
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise SpaError(f"the chat template refuses the turns ({roles}): {error}") from error
    tags = find_tags(tokenizer)
    reasoning = tags is not None and text.rstrip().endswith(tags.start)
    if direct and reasoning and tags is not None:
        text, reasoning = f"{text.rstrip()}{tags.ending}", False
    return Rendered(text + prefill, reasoning)


def _plain_beginning(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the tokenizer puts before plain text by itself: its first special token, or nothing."""
    begin = tokenizer.bos_token
    ids = tokenizer("a")["input_ids"]
    return str(begin) if begin is not None and ids[0] == tokenizer.bos_token_id else ""


def _written(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    variables: Mapping[str, JsonValue],
) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if not turns or turns[0]["role"] != "system":
        return _apply(tokenizer, turns, variables)
    try:
        text = _apply(tokenizer, turns, variables)
    except TemplateError:
        return _apply(tokenizer, _folded(turns), variables)
    if turns[0]["content"].strip() in text or _has_system_role(tokenizer):
        return text
    return _apply(tokenizer, _folded(turns), variables)


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Mapping[str, str]],
    variables: Mapping[str, Any],
) -> str:
    return str(
        tokenizer.apply_chat_template(
            [dict(turn) for turn in turns], tokenize=False, add_generation_prompt=True, **variables
        )
    )


def _has_system_role(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a template writes a system message at all; found out by trying."""
    turns = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "-"}]
    try:
        return _PROBE in _apply(tokenizer, turns, {})
    except TemplateError:
        return False


def _folded(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The turns with the system message put before the first user turn's text."""
    system, *rest = (dict(turn) for turn in turns)
    for turn in rest:
        if turn["role"] == "user":
            turn["content"] = f"{system['content']}\n\n{turn['content']}"
            return rest
    return [{"role": "user", "content": system["content"]}, *rest]
