"""The backend with a real engine: ``pytest -m vllm``, one engine for all that can share it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Request,
    RequestFailure,
)
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.testing import check_backend
from spa_vllm.backend import VLLMBackend
from spa_vllm.config import VLLMConfig

pytestmark = pytest.mark.vllm

LABELS = tuple("123456789")
QUESTIONS = (
    "My chest hurts. What should I do?",
    "Name a colour.",
    "Who wrote Faust?",
    "Give me three tips for sleeping well.",
)


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


ENDS_AT_ONCE = ChatRequest(
    user("What is the capital of France?"),
    max_tokens=8,
    temperature=0.0,
    prefill="The capital of France is Paris.",
)


def judged(text: str) -> LabelRequest:
    return LabelRequest(user(f"Rate from 1 to 9 how kind this is: {text}"), LABELS, "Score: ")


def asked(backend: object, requests: Sequence[Request]) -> list[object]:
    found = dict(backend.answer(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


@pytest.fixture(scope="module")
def backend(smol_path: Path, engine_settings: dict[str, object]) -> Iterator[VLLMBackend]:
    made = VLLMBackend(VLLMConfig(path=str(smol_path), **engine_settings))
    yield made
    made.close()


@pytest.fixture(scope="module")
def hf(smol_path: Path) -> HFBackend:
    return HFBackend(HFConfig(path=str(smol_path), device="cpu"))


@pytest.fixture(scope="module")
def adapter(smol_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on all linear layers, as training makes it, with an effect that shows."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(smol_path, dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    folder = tmp_path_factory.mktemp("adapter")
    adapted.save_pretrained(folder)
    return folder


def with_adapter(backend: VLLMBackend, folder: Path | None) -> VLLMConfig:
    return backend.config.model_copy(update={"adapter": None if folder is None else str(folder)})


def test_it_keeps_the_contract_of_a_backend(backend: VLLMBackend, hf: HFBackend) -> None:
    def direct(request: LabelRequest) -> Sequence[float]:
        (result,) = asked(hf, [request])
        assert isinstance(result, LabelResult)
        return result.logprobs

    # A CPU engine takes no seeds.
    report = check_backend(
        backend, seeds=False, ends_at_once=ENDS_AT_ONCE, logprobs=direct, tolerance=1e-3
    )
    report.raise_if_failed()
    assert len(report.checks) >= 10


def test_greedy_answers_are_those_of_hf(backend: VLLMBackend, hf: HFBackend) -> None:
    requests = [ChatRequest(user(q), max_tokens=24, temperature=0.0) for q in QUESTIONS]
    requests.append(replace(requests[0], prefill="First of all,"))
    ours, theirs = asked(backend, requests), asked(hf, requests)
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    # Rounding may turn a close decision; the first tokens are too clear for that.
    assert sum(same) >= 4, [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    for a, b in zip(ours, theirs, strict=True):
        assert a.token_ids[:4] == b.token_ids[:4]
        assert a.prompt_tokens == b.prompt_tokens


def test_an_answer_that_ends_keeps_its_end_token(backend: VLLMBackend) -> None:
    request = ChatRequest(user("Say only: yes"), max_tokens=200, temperature=0.0)
    (result,) = asked(backend, [request])
    assert isinstance(result, ChatResult)
    assert result.finish_reason == "stop"
    assert result.token_ids[-1] in backend.asking.end_tokens
    assert not set(result.token_ids[:-1]) & set(backend.asking.end_tokens)
    assert (
        result.text
        == backend.asking.tokenizer.decode(result.token_ids, skip_special_tokens=True).strip()
    )


def test_what_vllm_refuses_fails_alone(backend: VLLMBackend) -> None:
    fine = ChatRequest(user("Name a colour."), max_tokens=4, temperature=1.0)
    results = asked(backend, [fine, replace(fine, temperature=5.0), fine])
    assert isinstance(results[1], RequestFailure)
    assert results[1].reason == "refused"
    assert "temperature must be in [0, 2]" in results[1].message
    assert isinstance(results[0], ChatResult)
    assert isinstance(results[2], ChatResult)


def test_a_stream_that_is_left_leaves_nothing_behind(backend: VLLMBackend) -> None:
    long = ChatRequest(user("Tell me a long story."), max_tokens=600)
    stream = backend.answer([replace(long, max_tokens=1), *[long] * 8])
    assert next(stream)[0] == 0
    stream.close()
    started = time.monotonic()
    (result,) = asked(backend, [replace(long, max_tokens=1)])
    assert isinstance(result, ChatResult)
    assert not backend._engines.under_way
    assert time.monotonic() - started < 20


def test_an_adapter_has_the_effect_that_it_has_in_hf(
    backend: VLLMBackend, hf: HFBackend, adapter: Path, smol_path: Path
) -> None:
    requests = [judged(question) for question in QUESTIONS]
    engines, base = backend._engines, with_adapter(backend, None)
    plain = asked(backend, requests)
    before = backend.fingerprint()
    assert backend.adopt(with_adapter(backend, adapter))
    trained = asked(backend, requests)
    assert backend._engines is engines, "the same engine goes on"
    assert backend.fingerprint() != before
    theirs = asked(
        HFBackend(HFConfig(path=str(smol_path), adapter=str(adapter), device="cpu")), requests
    )
    for a, b, without in zip(trained, theirs, plain, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=2e-3)
        assert a.mass == pytest.approx(b.mass, abs=2e-3)
        assert max(abs(x - y) for x, y in zip(a.logprobs, without.logprobs, strict=True)) > 0.05
    assert backend.adopt(base)
    again = asked(backend, requests)
    for a, b in zip(again, plain, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)
