"""Renders a conversation to token ids: the one place where it is done.

Generation, judging and training all go through here, so that the same conversation always gives
the same ids, with the beginning-of-sequence token exactly as often as the chat template says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from spa.errors import SpaError
from spa.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["render"]


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prefill: str = ""
) -> list[int]:
    """The ids of a conversation up to and including the start of the assistant's turn.

    Args:
        tokenizer: Must have a chat template.
        messages: The turns, oldest first.
        prefill: Beginning of the assistant's turn; tokenised together with the template, so that
            the ids at the seam are what the model would have seen in training.

    Raises:
        SpaError: If there is no chat template, or it refuses the turns.
    """
    if not tokenizer.chat_template:
        raise SpaError(
            f"the tokenizer of {tokenizer.name_or_path!r} has no chat template. "
            "Use an instruction-tuned model, or add chat_template.jinja to its folder."
        )
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise SpaError(f"the chat template refuses the turns ({roles}): {error}") from error
    # The template writes special tokens itself: adding them again doubles the first one.
    ids: list[int] = tokenizer(str(text) + prefill, add_special_tokens=False)["input_ids"]
    return ids
