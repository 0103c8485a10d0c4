"""Finds the token of every label of a label request, the same way for every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spa.errors import SpaError
from spa.models.chat import render
from spa.types import JsonValue, LabelRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["label_token_ids"]


def label_token_ids(
    tokenizer: PreTrainedTokenizerBase,
    request: LabelRequest,
    ids: Sequence[int],
    options: Mapping[str, JsonValue] | None = None,
    *,
    model: str | None = None,
) -> tuple[int, ...]:
    """The token of every label as it stands right after the prompt.

    Args:
        tokenizer: That of the model.
        request: What is asked.
        ids: Its rendered conversation, prefill included, without reasoning before the answer.
        options: More variables of the chat template, those that ``ids`` were rendered with.
        model: What to call the model in the error; None: as its tokenizer is called.

    Raises:
        SpaError: If a label is not one token of its own there.
    """
    found: list[int] = []
    for label in request.labels:
        longer = render(
            tokenizer, request.messages, request.prefill + label, direct=True, options=options
        )
        if len(longer) != len(ids) + 1 or longer[:-1] != list(ids) or longer[-1] in found:
            name = model or tokenizer.name_or_path
            raise SpaError(
                f"label {label!r} is not one token after {request.prefill!r} for the tokenizer "
                f"of {name!r}. Use labels of one token each, for example the digits 1 to 9 or the "
                "letters A to E, or a prefill that does not end in a space."
            )
        found.append(longer[-1])
    return tuple(found)
