"""Rows for one forward pass: prompts padded on the left, responses on the right.

All responses of a micro-batch then start at the same column, so one slice of positions predicts
exactly the response tokens, and only those go through the language-model head::

    . . p p p | y y y .        P = 5 prompt columns, T = 4 response columns
    p p p p p | y y . .        logits of columns P-1 .. P+T-2 predict the response columns

Left padding is right only with explicit position ids; they count real tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spa.training.encoding import EncodedGroup

__all__ = ["Rows", "collate"]


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows of one prompt and one response each, L = prompt columns + T response columns.

    Attributes:
        input_ids: (R, L) token ids.
        attention_mask: (R, L) 1 for real tokens.
        position_ids: (R, L) places among the real tokens, from 0.
        labels: (R, T) token ids of the responses, 0 where padded.
        mask: (R, T) 1 for response tokens, fp32.
        prompt_columns: Columns before the first response token.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor
    prompt_columns: int

    def predicting_columns(self) -> torch.Tensor:
        """(T,) the columns whose logits predict the response tokens, one before each."""
        first = self.prompt_columns - 1
        return torch.arange(first, first + self.labels.shape[1], device=self.input_ids.device)


def collate(groups: Sequence[EncodedGroup], pad_id: int, device: torch.device) -> Rows:
    """Lays out every response of the groups as a row, group after group.

    Args:
        groups: At least one; prompts and responses are not empty.
        pad_id: Fills columns that the attention mask hides.
        device: Where the tensors go.
    """
    pairs = [(group.prompt, response) for group in groups for response in group.responses]
    prompt_columns = max(len(prompt) for prompt, _ in pairs)
    columns = max(len(response) for _, response in pairs)
    input_ids = torch.full((len(pairs), prompt_columns + columns), pad_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for row, (prompt, response) in enumerate(pairs):
        start, end = prompt_columns - len(prompt), prompt_columns + len(response)
        input_ids[row, start:end] = torch.tensor(prompt + response)
        attention_mask[row, start:end] = 1
    mask = attention_mask[:, prompt_columns:]
    return Rows(
        input_ids=input_ids.to(device),
        attention_mask=attention_mask.to(device),
        position_ids=(attention_mask.cumsum(-1) - 1).clamp(min=0).to(device),
        labels=(input_ids[:, prompt_columns:] * mask).to(device),
        mask=mask.float().to(device),
        prompt_columns=prompt_columns,
    )
