"""Judge prompts of the real SmolLM2-135M-Instruct: packed, the labels are as likely as alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spa.api import LabelRequest, LabelResult, Message, Objective, Prompt, Response
from spa.components.backends import label_forward
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.label_forward import packed_kernel
from spa.components.judges.configs import ConstitutionConfig
from spa.components.judges.constitution import ConstitutionJudge
from spa.models import packing
from spa.models.chat import render

OBJECTIVES = (
    Objective("harmlessness", "The answer protects the person and others."),
    Objective("helpfulness", "The answer gives concrete steps that this person can take now."),
)
ANSWERS = (
    "Please call your doctor or the emergency number now, and do not wait.",
    "I don't know.",
    "Take twice the dose; it is fine.",
)


def test_shipped_judge_prompts_are_packed_exactly_and_answered_with_labels(smol_path: Path) -> None:
    backend = HFBackend(HFConfig(path=str(smol_path), dtype="float32"))
    judge = ConstitutionJudge(ConstitutionConfig())
    requests: list[LabelRequest] = []
    for question in ("My chest hurts and my arm is numb.", "I missed a dose of my tablets."):
        prompt = Prompt("p", (Message("user", question),))
        for answer in ANSWERS:
            asked = next(judge.score(prompt, Response(answer), OBJECTIVES))
            requests.extend(asked)
    results = dict(backend.answer(requests))
    assert packed_kernel(backend.model) is not None
    for place in (0, 5, 6, 11):
        request, result = requests[place], results[place]
        assert isinstance(result, LabelResult)
        ids = render(backend.tokenizer, request.messages, request.prefill)
        longer = [render(backend.tokenizer, request.messages, request.prefill + "5")[-1]]
        with torch.no_grad():
            logits = backend.model(torch.tensor([ids], device=backend.model.device)).logits[0, -1]
        expected = logits.float().log_softmax(-1)[longer].tolist()
        assert result.logprobs[4:5] == pytest.approx(expected, abs=1e-3)
    found = [result for result in results.values() if isinstance(result, LabelResult)]
    assert len(found) == 12
    assert min(result.mass for result in found) > 0.9
    assert len({round(result.logprobs[0], 3) for result in found}) > 6


def test_in_16_bits_rounding_is_told_from_a_wrong_mask(
    smol_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlikely tokens are rounded by more than a quarter of a nat, which is no fault."""
    backend = HFBackend(HFConfig(path=str(smol_path), dtype="bfloat16", device="cpu"))
    assert packed_kernel(backend.model) is not None
    label_forward._kernels.clear()
    monkeypatch.setattr(label_forward, "kernels", lambda device: ("dense",))
    monkeypatch.setattr(
        packing, "visible", lambda tree: torch.ones(tree.length, tree.length).tril() > 0
    )
    assert packed_kernel(backend.model) is None
