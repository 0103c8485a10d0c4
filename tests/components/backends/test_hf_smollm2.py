"""The `hf` backend with the real SmolLM2-135M-Instruct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from spa.api import ChatRequest, ChatResult, LabelRequest, LabelResult, Message
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.models.chat import render


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


def test_greedy_answers_are_those_of_generate(smol_path: Path) -> None:
    backend = HFBackend(HFConfig(path=str(smol_path), batch_size=2, dtype="float32"))
    system = Message("system", "You are a careful assistant. You answer in one short sentence.")
    texts = ("Why is the sky blue?", "Name a fruit.", "I slept badly. What can I do tonight?")
    asked = [
        ChatRequest((system, Message("user", text)), max_tokens=limit, temperature=0.0)
        for text, limit in zip(texts, (12, 8, 10), strict=True)
    ]
    answers = dict(backend.answer(asked))
    for place, request in enumerate(asked):
        ids = torch.tensor([render(backend.tokenizer, request.messages)])
        generate: Any = backend.model.generate
        plain = generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_tokens,
            do_sample=False,
        )
        answer = answers[place]
        assert isinstance(answer, ChatResult)
        assert answer.token_ids == tuple(plain[0, ids.shape[1] :].tolist())
