"""The `hf` backend keeps the contract of backends, with a real model in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from spa.api import ChatRequest, LabelRequest, Message
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.models.chat import render
from spa.testing import check_backend

ENDS_AT_ONCE = ChatRequest(
    (Message("user", "What is the capital of France?"),),
    max_tokens=8,
    temperature=0.0,
    prefill="The capital of France is Paris.",
)


def test_hf_keeps_the_contract_of_backends(smol_path: Path) -> None:
    backend = HFBackend(HFConfig(path=str(smol_path), dtype="float32", device="cpu"))

    @torch.inference_mode()
    def logprobs(request: LabelRequest) -> Sequence[float]:
        ids = render(backend.tokenizer, request.messages, request.prefill)
        labels = [
            backend.tokenizer(label, add_special_tokens=False)["input_ids"][0]
            for label in request.labels
        ]
        logits = backend.model(input_ids=torch.tensor([ids])).logits[0, -1]
        found: list[float] = logits.float().log_softmax(-1)[labels].tolist()
        return found

    check_backend(
        backend, ends_at_once=ENDS_AT_ONCE, logprobs=logprobs, tolerance=1e-3
    ).raise_if_failed()
