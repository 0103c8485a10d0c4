"""From training groups to token ids: what the model really produced, never tokenised again.

A pair that cannot be trained on is dropped whole and counted under its reason; no response is ever
cut silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spa.models.chat import render_text
from spa.models.reasoning import ends_reasoning, find_tags
from spa.training.groups import TrainingGroup
from spa.types import JsonValue, Objective, PreferencePair, Response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["EMPTY_PROMPT", "EMPTY_RESPONSE", "TOO_LONG", "EncodedGroup", "Encoding", "encode"]

EMPTY_RESPONSE = "empty_response"
"""A pair with a response of no tokens, whose mean log-probability would be 0/0."""
EMPTY_PROMPT = "empty_prompt"
"""A pair whose prompt has no tokens, so that nothing predicts the first one of a response."""
TOO_LONG = "longer_than_max_length"
"""A pair with a response that, with its prompt, has more than ``max_length`` tokens."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A training group as token ids: R responses, P pairs, K objectives.

    Attributes:
        prompt_id: The prompt's id.
        prompt: Token ids of the rendered prompt, the start of the assistant's turn included.
        responses: R tuples of token ids, none empty, each response once.
        response_ids: R ids, for what is stored for each response.
        scores: (R, K) judge scores, in the order of the objectives.
        chosen: P places in ``responses``.
        rejected: P places in ``responses``.
        gap_sum: P values of ``|sum_k s_k(chosen) - sum_k s_k(rejected)|``.
        gap_l1: P values of ``sum_k |s_k(chosen) - s_k(rejected)|``.
    """

    prompt_id: str
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    response_ids: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    gap_sum: tuple[float, ...]
    gap_l1: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The groups to train on, and what did not get into them.

    Attributes:
        groups: Groups with at least one pair, sorted by prompt id, so that the order in which
            rows finished in earlier stages changes nothing.
        dropped: Reason to number of pairs.
        retokenised: Number of responses that came as text alone and were tokenised here.
    """

    groups: tuple[EncodedGroup, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    retokenised: int = 0


def encode(
    groups: Sequence[TrainingGroup],
    objectives: Sequence[Objective],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> Encoding:
    """Renders prompts and takes the stored token ids of responses.

    Args:
        groups: Prompts with responses and pairs.
        objectives: In the recipe's order; gives the order of ``scores``.
        tokenizer: That of the policy.
        max_length: Most tokens of a prompt with one response; None: no limit.
        options: More variables of the chat template, as sampling had them.

    Raises:
        ValueError: If a pair names a response that its group does not hold, or one is unscored.
    """
    dropped: Counter[str] = Counter()
    encoded = []
    retokenised = 0
    for group in sorted(groups, key=lambda group: group.prompt.id):
        rendered = render_text(tokenizer, group.prompt.messages, options=options)
        prompt = _tokenised(tokenizer, rendered.text)
        used = {name for pair in group.pairs for name in (pair.chosen, pair.rejected)}
        scored = {item.id: item for item in group.responses if item.id in used}
        if missing := used - scored.keys():
            raise ValueError(
                f"prompt {group.prompt.id!r}: pairs name unknown responses {sorted(missing)}"
            )
        ids = {
            name: _token_ids(item.response, tokenizer, reasoning=rendered.reasoning)
            for name, item in scored.items()
        }
        retokenised += sum(
            bool(ids[name]) and not item.response.token_ids for name, item in scored.items()
        )
        pairs = []
        for pair in group.pairs:
            room = None if max_length is None else max_length - len(prompt)
            reason = _obstacle(pair, ids, room) if prompt else EMPTY_PROMPT
            if reason is None:
                pairs.append(pair)
            else:
                dropped[reason] += 1
        if pairs:
            kept = {name for pair in pairs for name in (pair.chosen, pair.rejected)}
            names = [item.id for item in group.responses if item.id in kept]
            vectors = {name: scored[name].vector(objectives) for name in names}
            encoded.append(_group(group.prompt.id, prompt, names, ids, vectors, pairs))
    return Encoding(tuple(encoded), dict(sorted(dropped.items())), retokenised)


def _group(
    prompt_id: str,
    prompt: tuple[int, ...],
    names: list[str],
    ids: Mapping[str, tuple[int, ...]],
    vectors: Mapping[str, tuple[float, ...]],
    pairs: list[PreferencePair],
) -> EncodedGroup:
    place = {name: index for index, name in enumerate(names)}
    return EncodedGroup(
        prompt_id=prompt_id,
        prompt=prompt,
        responses=tuple(ids[name] for name in names),
        response_ids=tuple(names),
        scores=tuple(vectors[name] for name in names),
        chosen=tuple(place[pair.chosen] for pair in pairs),
        rejected=tuple(place[pair.rejected] for pair in pairs),
        gap_sum=tuple(pair.gap for pair in pairs),
        gap_l1=tuple(pair.margin for pair in pairs),
    )


def _obstacle(
    pair: PreferencePair, ids: Mapping[str, tuple[int, ...]], room: int | None
) -> str | None:
    lengths = [len(ids[pair.chosen]), len(ids[pair.rejected])]
    if min(lengths) == 0:
        return EMPTY_RESPONSE
    if room is not None and max(lengths) > room:
        return TOO_LONG
    return None


def _token_ids(
    response: Response, tokenizer: PreTrainedTokenizerBase, *, reasoning: bool
) -> tuple[int, ...]:
    """The stored ids; for a response that has text alone, its ids and the end token if it ended.

    With ``reasoning``, the prompt ends within the model's reasoning: an answer that was written
    without any, for example after a prefill, ends it first.
    """
    ids = response.token_ids
    if not response.text:
        return ids
    if not ids:
        ids = _tokenised(tokenizer, response.text)
        end = tokenizer.eos_token_id
        if response.finish_reason == "stop" and isinstance(end, int):
            ids = (*ids, end)
    tags = find_tags(tokenizer) if reasoning else None
    if tags is None or ends_reasoning(tokenizer, ids, tags):
        return ids
    return (*_tokenised(tokenizer, tags.ending), *ids)


def _tokenised(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    # The template writes special tokens itself: adding them again doubles the first one.
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
