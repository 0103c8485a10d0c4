"""Samples the next token of every row with the row's own temperature, top_p and seed.

transformers' own sampling draws from one global generator, so a row's answer depends on its place
in the batch. Here each row has a generator of its own; what is left of the dependence is the
rounding of batched matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

__all__ = ["RowSampler"]

LIKELY = 1024  # tokens in which a nucleus is looked for before the whole vocabulary is sorted


class RowSampler(LogitsProcessor):
    """Replaces each row's scores by one-hot scores of a sampled token.

    Greedy decoding on top of it then takes that token. Inverse transform sampling: the token is
    the first whose cumulative probability exceeds a uniform draw.
    """

    def __init__(
        self, temperatures: Sequence[float], top_p: Sequence[float], seeds: Sequence[int]
    ) -> None:
        """Takes B temperatures (0 is greedy), B nucleus sizes in (0, 1], and B seeds."""
        self.temperatures = torch.tensor(temperatures, dtype=torch.float32)
        self.top_p = torch.tensor(top_p, dtype=torch.float64)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def join(self, other: RowSampler) -> None:
        """Takes in another sampler's rows after its own."""
        self.temperatures = torch.cat([self.temperatures, other.temperatures])
        self.top_p = torch.cat([self.top_p, other.top_p])
        self.generators += other.generators

    def keep(self, places: Sequence[int]) -> None:
        """Goes on with these rows alone, in this order."""
        self.temperatures = self.temperatures[list(places)]
        self.top_p = self.top_p[list(places)]
        self.generators = [self.generators[place] for place in places]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Takes scores (B, V) and returns 0 for the sampled token of a row, -inf elsewhere."""
        del input_ids
        tokens = self.pick(scores.float())
        chosen = torch.full_like(scores, float("-inf"))
        return chosen.scatter_(1, tokens[:, None], 0.0)

    def pick(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """Returns the sampled token id of every row, (B,)."""
        device = logits_BV.device
        greedy = self.temperatures.to(device) <= 0
        uniform = torch.stack(
            [torch.rand((), generator=g, dtype=torch.float64) for g in self.generators]
        ).to(device)
        if bool(greedy.all()):
            return logits_BV.argmax(-1)
        temperature = self.temperatures.to(device).masked_fill(greedy, 1.0)
        probabilities = (logits_BV / temperature[:, None]).softmax(-1)
        narrow = (self.top_p < 1).nonzero().squeeze(-1).to(device)
        if len(narrow):
            top_p = self.top_p.to(device)[narrow]
            probabilities[narrow] = keep_nucleus(probabilities[narrow], top_p)
        cumulative = probabilities.cumsum(-1, dtype=torch.float64)
        wanted = uniform[:, None] * cumulative[:, -1:]
        sampled = torch.searchsorted(cumulative, wanted, right=True).squeeze(-1)
        sampled = sampled.clamp_max(logits_BV.shape[-1] - 1)
        return torch.where(greedy, logits_BV.argmax(-1), sampled) if bool(greedy.any()) else sampled


def keep_nucleus(probabilities_BV: torch.Tensor, top_p_B: torch.Tensor) -> torch.Tensor:
    """Zeroes the tokens outside the smallest set whose probability reaches ``top_p``."""
    wanted = min(LIKELY, probabilities_BV.shape[-1])
    ordered, places = probabilities_BV.topk(wanted, dim=-1)
    if bool((ordered.sum(-1, dtype=torch.float64) < top_p_B).any()):
        ordered, places = probabilities_BV.sort(dim=-1, descending=True)
    before = ordered.cumsum(-1, dtype=torch.float64) - ordered
    ordered = ordered.masked_fill(before >= top_p_B[:, None], 0.0)
    return torch.zeros_like(probabilities_BV).scatter_(1, places, ordered)
