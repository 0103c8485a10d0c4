"""The `hf` backend with the real SmolLM2-135M-Instruct."""

from __future__ import annotations

from pathlib import Path

from spa.api import ChatRequest, ChatResult, LabelRequest, LabelResult, Message
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig


def test_the_model_answers_and_judges(smol_path: Path) -> None:
    backend = HFBackend(HFConfig(path=str(smol_path)))
    question = (Message("user", "What is the capital of France?"),)
    rating = (Message("user", "How good is bread, from 1 to 9? Write only a number."),)
    results = dict(
        backend.answer(
            [
                ChatRequest(question, max_tokens=24, temperature=0.0),
                LabelRequest(rating, tuple("123456789"), "Score: "),
            ]
        )
    )
    answer, label = results[0], results[1]
    assert isinstance(answer, ChatResult)
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert isinstance(label, LabelResult)
    assert label.mass > 0.9
