"""Token layouts: how prompts and their responses become the rows of one forward pass.

Packed, a prompt stands once and its responses follow it; each sees the prompt and itself::

    tokens      p0 p1 p2 | a0 a1 | b0 b1 b2      one row, several groups after one another
    positions    0  1  2 |  3  4 |  3  4  5      every response continues from its prompt
    predict      .  .  a0,b0 | a1 . | b1 b2 .    the last prompt token predicts all first tokens

Unpacked, every response has a row with a prompt of its own, padded on the right.

Either way a layout says which positions predict which response tokens; only those go through the
language-model head, and `Layout.table` puts what comes back into one row a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from spa.models.packing import Segment, Tree
from spa.training.encoding import EncodedGroup

__all__ = ["Layout", "Part", "Span", "pack", "unpack", "whole"]


@dataclass(frozen=True, slots=True)
class Part:
    """A prompt with some of its responses.

    Attributes:
        group: The group.
        places: Places in ``group.responses``, at least one.
    """

    group: EncodedGroup
    places: tuple[int, ...]

    @property
    def responses(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of the responses."""
        return tuple(self.group.responses[place] for place in self.places)

    @property
    def tokens(self) -> int:
        """Tokens when packed: the prompt once, and every response."""
        return len(self.group.prompt) + sum(map(len, self.responses))


def whole(groups: Sequence[EncodedGroup]) -> list[Part]:
    """Every group with all its responses."""
    return [Part(group, tuple(range(len(group.responses)))) for group in groups]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a part lies in a packed row.

    Attributes:
        start: First token of the prompt.
        prompt_end: One past its last.
        responses: First token of each response, and one past its last.
    """

    start: int
    prompt_end: int
    responses: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """B rows of L tokens that hold R responses with N tokens in all, T in the longest.

    Attributes:
        input_ids: (B, L) token ids.
        position_ids: (B, L) places among the tokens of one prompt with one response, from 0.
        attention_mask: (B, L) 1 for real tokens; None if packed, where `spans` say it.
        predicting: (N,) places among the B L positions, flattened; each predicts a response token.
        labels: (N,) the response tokens, response after response.
        lengths: Tokens of each of the R responses.
        spans: Where each part lies; empty if not packed.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    predicting: torch.Tensor
    labels: torch.Tensor
    lengths: tuple[int, ...]
    spans: tuple[Span, ...] = field(default=())

    def to(self, device: torch.device) -> Layout:
        """The same layout on a device."""
        mask = self.attention_mask
        return Layout(
            self.input_ids.to(device),
            self.position_ids.to(device),
            None if mask is None else mask.to(device),
            self.predicting.to(device),
            self.labels.to(device),
            self.lengths,
            self.spans,
        )

    @property
    def tree(self) -> Tree:
        """What continues what, if packed: every response of a part its prompt."""
        segments: list[Segment] = []
        for span in self.spans:
            until = span.responses[-1][1]
            segments.append(Segment(span.start, span.prompt_end, until))
            segments.extend(Segment(first, last, last) for first, last in span.responses)
        return Tree(tuple(segments), self.input_ids.shape[1])

    @property
    def mask(self) -> torch.Tensor:
        """(R, T) 1 for response tokens, fp32."""
        device = self.labels.device
        columns = torch.arange(max(self.lengths), device=device)
        lengths = torch.tensor(self.lengths, device=device)
        return (columns < lengths[:, None]).float()

    def table(self, values: torch.Tensor) -> torch.Tensor:
        """(N,) values of response tokens as (R, T), 0 at padding; gradients flow back."""
        return torch.nn.utils.rnn.pad_sequence(list(values.split(self.lengths)), batch_first=True)


def pack(parts: Sequence[Part], multiple: int = 1, pad_id: int = 0) -> Layout:
    """Lays all parts out in one row, without a token of padding between them.

    Args:
        parts: At least one.
        multiple: Tokens are appended until the row's length is a multiple of this; compiled
            kernels then see few lengths.
        pad_id: What is appended. Nothing sees it.
    """
    ids: list[int] = []
    positions: list[int] = []
    predicting: list[int] = []
    spans = []
    for part in parts:
        start, prompt = len(ids), part.group.prompt
        ids.extend(prompt)
        positions.extend(range(len(prompt)))
        prompt_end = len(ids)
        places = []
        for response in part.responses:
            first = len(ids)
            ids.extend(response)
            positions.extend(range(len(prompt), len(prompt) + len(response)))
            predicting.extend([prompt_end - 1, *range(first, first + len(response) - 1)])
            places.append((first, len(ids)))
        spans.append(Span(start, prompt_end, tuple(places)))
    spare = -len(ids) % multiple
    return Layout(
        input_ids=torch.tensor([ids + [pad_id] * spare]),
        position_ids=torch.tensor([positions + [0] * spare]),
        attention_mask=None,
        predicting=torch.tensor(predicting),
        labels=_labels(parts),
        lengths=_lengths(parts),
        spans=tuple(spans),
    )


def unpack(parts: Sequence[Part], pad_id: int) -> Layout:
    """Lays every response out as a row of its own, after its prompt.

    Args:
        parts: At least one.
        pad_id: Any valid token id; the attention mask hides it.
    """
    rows = [(part.group.prompt, response) for part in parts for response in part.responses]
    columns = max(len(prompt) + len(response) for prompt, response in rows)
    input_ids = torch.full((len(rows), columns), pad_id)
    mask = torch.zeros_like(input_ids)
    predicting: list[int] = []
    for row, (prompt, response) in enumerate(rows):
        end = len(prompt) + len(response)
        input_ids[row, :end] = torch.tensor(prompt + response)
        mask[row, :end] = 1
        first = row * columns + len(prompt) - 1
        predicting.extend(range(first, first + len(response)))
    return Layout(
        input_ids=input_ids,
        position_ids=torch.arange(columns).expand(len(rows), -1),
        attention_mask=mask,
        predicting=torch.tensor(predicting),
        labels=_labels(parts),
        lengths=_lengths(parts),
    )


def _labels(parts: Sequence[Part]) -> torch.Tensor:
    return torch.tensor([token for part in parts for row in part.responses for token in row])


def _lengths(parts: Sequence[Part]) -> tuple[int, ...]:
    return tuple(len(row) for part in parts for row in part.responses)
