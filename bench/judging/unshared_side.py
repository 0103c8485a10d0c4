"""The same label requests, each answered by a forward pass of its own over its whole prompt.

The prompt is rendered as the backend renders it. Nothing else is done but what must be: one row,
no padding, logits for its last position alone, log-softmax in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from judging.scoring import Asked
from judging.settings import Measured
from judging.timing import timed
from spa.components.backends.hf import HFBackend
from spa.components.judges.configs import ConstitutionConfig
from spa.models.chat import render
from spa.types import LabelRequest, LabelResult, Request, RequestFailure, Result

__all__ = ["Unshared", "measure_unshared"]


def measure_unshared(rows: Sequence[Asked], backend: HFBackend) -> Measured:
    """Judges all rows by expected label, one forward pass a judgement."""
    return timed("unshared", rows, Unshared(backend), ConstitutionConfig(mode="expected"))


class Unshared:
    """Answers label requests with the model of a backend, one after another."""

    def __init__(self, backend: HFBackend) -> None:
        """Takes model and tokenizer from the backend."""
        self.backend = backend
        self._labels: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields results in order."""
        model = self.backend.model
        for place, request in enumerate(requests):
            assert isinstance(request, LabelRequest)
            ids = render(self.backend.tokenizer, request.messages, request.prefill)
            given = torch.tensor([ids], device=model.device)
            logits = model(input_ids=given, use_cache=False, logits_to_keep=1).logits[0, -1]
            found = logits.float().log_softmax(-1)[self._label_ids(request)]
            yield (
                place,
                LabelResult(tuple(found.tolist()), min(float(found.exp().sum()), 1.0), len(ids)),
            )

    def fingerprint(self) -> str:
        """That of the backend."""
        return self.backend.fingerprint()

    def close(self) -> None:
        """Leaves the backend as it is."""

    def _label_ids(self, request: LabelRequest) -> list[int]:
        """The last token of the prompt with each label, looked up once."""
        key = request.prefill, request.labels
        if key not in self._labels:
            texts = [request.prefill + label for label in request.labels]
            tokenizer = self.backend.tokenizer
            self._labels[key] = [render(tokenizer, request.messages, text)[-1] for text in texts]
        return self._labels[key]
