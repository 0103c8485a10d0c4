"""The `hf` backend on a tiny random model, against transformers used directly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import make_model, make_tokenizer, save_tiny_llama

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Request,
    RequestFailure,
    SpaError,
)
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.models.chat import render

torch.set_num_threads(1)
TEXTS = ("Hi", "Tell me more about the sea", "Why?", "A much longer question than the others are")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="module")
def backend(folder: Path) -> HFBackend:
    return HFBackend(HFConfig(path=str(folder), batch_size=3, label_batch_size=3))


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def ask(backend: HFBackend, requests: Sequence[Request]) -> list[Any]:
    found = dict(backend.answer(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


def chats(seed: int = 0, **settings: Any) -> list[ChatRequest]:
    return [
        ChatRequest(user(t), max_tokens=12, seed=seed + i, **settings) for i, t in enumerate(TEXTS)
    ]


def test_greedy_answers_are_those_of_generate_row_by_row(backend: HFBackend) -> None:
    model, tokenizer = make_model(), make_tokenizer()
    for request, result in zip(
        chats(temperature=0.0), ask(backend, chats(temperature=0.0)), strict=True
    ):
        ids = torch.tensor([render(tokenizer, request.messages)])
        plain = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :].tolist()
        assert result.token_ids == tuple(plain)
        assert result.prompt_tokens == ids.shape[1]


def test_a_row_depends_on_its_seed_and_not_on_its_batch(backend: HFBackend) -> None:
    together = ask(backend, chats())
    assert ask(backend, chats()[::-1]) == together[::-1]
    assert [ask(backend, [request])[0] for request in chats()] == together
    assert ask(backend, chats(seed=100)) != together


def test_rows_of_one_batch_may_have_limits_and_temperatures_of_their_own(
    backend: HFBackend,
) -> None:
    requests = [
        ChatRequest(user("Hi"), max_tokens=limit, temperature=temperature, seed=5)
        for limit, temperature in [(3, 0.0), (9, 1.0), (6, 0.0)]
    ]
    results = ask(backend, requests)
    assert [len(r.token_ids) for r in results if r.finish_reason == "length"] == [
        request.max_tokens
        for request, result in zip(requests, results, strict=True)
        if result.finish_reason == "length"
    ]
    assert results[2].token_ids[:3] == results[0].token_ids


def test_the_end_token_is_kept_once_and_a_cut_answer_has_none(backend: HFBackend) -> None:
    requests = [ChatRequest(user("Hi"), max_tokens=60, seed=seed) for seed in range(40)]
    results: list[ChatResult] = ask(backend, requests)
    end = 256
    assert {result.finish_reason for result in results} == {"stop", "length"}
    for result in results:
        ended = result.finish_reason == "stop"
        assert result.token_ids.count(end) == int(ended)
        assert (result.token_ids[-1] == end) == ended
        assert ended or len(result.token_ids) == 60
        assert "<|" not in result.text


def test_the_prefill_is_continued_and_not_part_of_the_answer(backend: HFBackend) -> None:
    plain, filled = ask(
        backend,
        [
            ChatRequest(user("Hi"), max_tokens=4, temperature=0),
            ChatRequest(user("Hi"), max_tokens=4, temperature=0, prefill="Well, "),
        ],
    )
    assert filled.prompt_tokens == plain.prompt_tokens + len("Well, ")
    assert len(filled.token_ids) == 4


def test_hidden_defaults_of_a_checkpoint_do_not_change_sampling(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    path = save_tiny_llama(tmp_path / "model")
    plain = ask(HFBackend(HFConfig(path=str(path))), chats())
    GenerationConfig(
        do_sample=True, top_k=1, temperature=0.1, repetition_penalty=5.0, eos_token_id=256
    ).save_pretrained(path)
    assert ask(HFBackend(HFConfig(path=str(path))), chats()) == plain


def direct(text: str, prefill: str, labels: str) -> list[float]:
    tokenizer = make_tokenizer()
    ids = torch.tensor([render(tokenizer, user(text), prefill)])
    logprobs = make_model()(ids).logits[0, -1].detach().log_softmax(-1)
    return [float(logprobs[tokenizer.convert_tokens_to_ids(label)]) for label in labels]


def test_labels_are_those_of_a_direct_forward(backend: HFBackend) -> None:
    texts = [f"Judge this text: {text}" for text in TEXTS]
    requests = [LabelRequest(user(text), tuple("123"), "Score: ") for text in texts]
    results: list[LabelResult] = ask(backend, requests)
    for text, result in zip(texts, results, strict=True):
        expected = direct(text, "Score: ", "123")
        assert result.logprobs == pytest.approx(expected, abs=1e-4)
        assert result.mass == pytest.approx(sum(map(math.exp, expected)), rel=1e-4)


def test_a_label_of_two_tokens_is_refused(backend: HFBackend) -> None:
    with pytest.raises(SpaError) as caught:
        ask(backend, [LabelRequest(user("Hi"), ("9", "10"), "Score: ")])
    assert str(caught.value) == (
        "label '10' is not one token after 'Score: ' for the tokenizer of "
        f"{backend.config.path!r}. Use labels of one token each, for example the digits 1 to 9 or "
        "the letters A to E, or a prefill that does not end in a space."
    )


def test_a_check_names_every_label_that_cannot_be_had_without_loading_the_model(
    folder: Path,
) -> None:
    fresh = HFBackend(HFConfig(path=str(folder)))
    requests = [
        LabelRequest(user("Hi"), ("1", "2"), "Score: "),
        LabelRequest(user("Hi"), ("9", "10"), "Score: "),
        LabelRequest(user("Hi"), ("Yes", "N"), ""),
        ChatRequest(user("Hi"), max_tokens=1),
    ]
    problems = fresh.check(requests)
    assert [problem[:50] for problem in problems] == [
        "label '10' is not one token after 'Score: ' for th",
        "label 'Yes' is not one token after '' for the toke",
    ]
    assert "model" not in vars(fresh)


def test_a_check_says_that_there_is_no_chat_template(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path)
    (folder / "chat_template.jinja").unlink()
    (problem,) = HFBackend(HFConfig(path=str(folder))).check([ChatRequest(user("Hi"))])
    assert "has no chat template. Use an instruction-tuned model" in problem


def test_a_row_that_does_not_fit_is_set_aside_and_the_others_are_answered(
    backend: HFBackend,
) -> None:
    long, short = ask(
        backend, [ChatRequest(user("x" * 300)), ChatRequest(user("Hi"), max_tokens=2, seed=0)]
    )
    assert long == RequestFailure(
        "too_long",
        "the prompt has 303 tokens and 256 are to be generated, but the model's context is 256. "
        "Shorten the prompt or lower max_tokens.",
    )
    assert isinstance(short, ChatResult)


def test_the_fingerprint_loads_no_weights(folder: Path) -> None:
    backend = HFBackend(HFConfig(path=str(folder)))
    assert len(backend.fingerprint()) == 64
    assert "model" not in vars(backend)


def test_an_adapter_beside_a_bfloat16_model_generates_and_judges(
    folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    from spa.models.quiet import peft_without_deprecations

    config = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    with peft_without_deprecations():
        get_peft_model(make_model(), config).save_pretrained(tmp_path)
    plain = HFBackend(HFConfig(path=str(folder), dtype="bfloat16"))
    adapted = HFBackend(HFConfig(path=str(folder), dtype="bfloat16", adapter=str(tmp_path)))
    merged = HFBackend(HFConfig(path=str(folder), dtype="float32", adapter=str(tmp_path)))
    texts = [f"Judge this text: {text}" for text in TEXTS]
    labels = [LabelRequest(user(text), tuple("123"), "Score: ") for text in texts]
    for ours, exact, base in zip(*(ask(b, labels) for b in (adapted, merged, plain)), strict=True):
        assert ours.logprobs == pytest.approx(exact.logprobs, abs=0.3)
        assert ours.logprobs != base.logprobs
    answers = ask(adapted, chats())
    assert all(answer.token_ids for answer in answers)
    assert ask(adapted, chats()) == answers


def test_after_closing_the_model_is_loaded_anew(folder: Path) -> None:
    backend = HFBackend(HFConfig(path=str(folder)))
    before = ask(backend, chats())
    backend.close()
    assert "model" not in vars(backend)
    assert ask(backend, chats()) == before
