"""Parts what a thinking model wrote before its answer from the answer itself.

Judges and people read the answer alone; the reasoning is kept beside it, and training uses the
token ids of both, since that is what the model produced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Parted", "ReasoningTags", "ends_reasoning", "find_tags", "part", "part_text"]


class ReasoningTags(NamedTuple):
    """What stands around the reasoning."""

    start: str
    end: str

    @property
    def ending(self) -> str:
        """What ends reasoning that a prompt began, before an answer that comes at once."""
        return f"\n\n{self.end}\n\n"


class Parted(NamedTuple):
    """What was generated, decoded, in two parts."""

    reasoning: str
    answer: str


_KNOWN = (
    ReasoningTags("<think>", "</think>"),
    ReasoningTags("[THINK]", "[/THINK]"),
    ReasoningTags("<|START_THINKING|>", "<|END_THINKING|>"),
)


def find_tags(tokenizer: PreTrainedTokenizerBase) -> ReasoningTags | None:
    """The tags that a tokenizer's chat template knows; None for a model that does not think."""
    template = tokenizer.chat_template
    texts = template.values() if isinstance(template, dict) else [template or ""]
    return next((tags for tags in _KNOWN if any(tags.end in text for text in texts)), None)


def part(
    tokenizer: PreTrainedTokenizerBase,
    token_ids: Sequence[int],
    tags: ReasoningTags | None,
    *,
    begun: bool = False,
) -> Parted:
    """Decodes what was generated without special tokens, reasoning and answer apart.

    Args:
        tokenizer: That of the model.
        token_ids: What was generated.
        tags: Those of the model; None if it does not think.
        begun: Whether the prompt ended within the reasoning, as some templates have it.

    Returns:
        Both without white space around. Reasoning that was cut off before its end has no answer.
    """
    if tags is None:
        return Parted("", _decode(tokenizer, token_ids))
    end = _last(_single(tokenizer, tags.end), token_ids)
    if end is not None:
        head, answer = token_ids[:end], _decode(tokenizer, token_ids[end + 1 :])
        return Parted(_without(tags.start, _decode(tokenizer, head)), answer)
    text = _decode(tokenizer, token_ids)
    if tags.end in text:
        before, _, answer = text.rpartition(tags.end)
        return Parted(_without(tags.start, before), answer.strip())
    if begun or text.startswith(tags.start) or token_ids[:1] == [_single(tokenizer, tags.start)]:
        return Parted(_without(tags.start, text), "")
    return Parted("", text)


def ends_reasoning(
    tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], tags: ReasoningTags
) -> bool:
    """Whether the end of the reasoning is in what was generated."""
    if _last(_single(tokenizer, tags.end), token_ids) is not None:
        return True
    return tags.end in _decode(tokenizer, token_ids)


def part_text(text: str, tags: ReasoningTags | None = None, *, begun: bool = False) -> Parted:
    """Parts text of which no token ids are known, as servers give it.

    Args:
        text: What was generated.
        tags: Those of the model; None to look for any that are known.
        begun: Whether the prompt ended within the reasoning.

    Returns:
        As `part`. A text that ends the reasoning without beginning it counts as begun.
    """
    whole = text.strip()
    for known in _KNOWN if tags is None else (tags,):
        starts = whole.startswith(known.start)
        before, end, answer = whole.rpartition(known.end)
        if end and (starts or begun or known.start not in before):
            return Parted(_without(known.start, before), answer.strip())
        if starts or (begun and tags is not None):
            return Parted(_without(known.start, whole), "")
    return Parted(whole, "") if begun else Parted("", whole)


def _decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()


def _single(tokenizer: PreTrainedTokenizerBase, tag: str) -> int | None:
    """The one token that a tag is, if it is one: decoding would leave it out if it is special."""
    ids = tokenizer(tag, add_special_tokens=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 else None


def _last(token: int | None, token_ids: Sequence[int]) -> int | None:
    places = [place for place, each in enumerate(token_ids) if each == token]
    return places[-1] if places else None


def _without(start: str, text: str) -> str:
    return text.strip().removeprefix(start).strip()
