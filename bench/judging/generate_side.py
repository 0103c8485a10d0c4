"""Written judgements: the judge in mode `generate` with the same backend, 64 tokens each.

A small model writes a number and stops. To have a judgement of 64 tokens, its end tokens are struck
out: the probability of each is 0 at every step. That is done in the head of the model, so that no
way to generate can leave it out. Every judgement is then counted, and one that did not run to 64
tokens is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from judging.scoring import Asked
from judging.settings import NEW_TOKENS, Measured
from judging.timing import timed
from spa.components.backends.hf import HFBackend
from spa.components.judges.configs import ConstitutionConfig

__all__ = ["endless", "measure_generate"]


def measure_generate(rows: Sequence[Asked], backend: HFBackend) -> Measured:
    """Judges all rows by written text."""
    settings = ConstitutionConfig(mode="generate", max_tokens=NEW_TOKENS)
    with endless(backend):
        return timed("generate", rows, backend, settings, new_tokens=NEW_TOKENS)


@contextmanager
def endless(backend: HFBackend) -> Iterator[None]:
    """Strikes the end tokens out of what the backend's model says."""
    model = backend.model
    given = model.generation_config.eos_token_id
    ends = torch.tensor(given if isinstance(given, list) else [given], device=model.device)

    def strike(_module: Any, _inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(-1, ends, torch.finfo(logits.dtype).min)

    handle = model.get_output_embeddings().register_forward_hook(strike)
    try:
        yield
    finally:
        handle.remove()
