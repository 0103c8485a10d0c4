"""How the `hf` backend runs rows side by side: what is computed once, who leaves, what fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import save_tiny_llama

from spa.api import ChatRequest, ChatResult, Message, RequestFailure
from spa.components.backends import hf, hf_chat
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.prefill import Runner

torch.set_num_threads(1)
HEADER = "You are asked something, and you will answer it in one line, as a poet would: "
TEXTS = [HEADER + text for text in ("Hi", "Tell me more about the sea", "Why?", "What is rain?")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


def backend(folder: Path, **settings: Any) -> HFBackend:
    return HFBackend(HFConfig(path=str(folder), **settings))


def requests(samples: int = 1, **settings: Any) -> list[ChatRequest]:
    settings = {"max_tokens": 12, **settings}
    return [
        ChatRequest((Message("user", text),), seed=7 * place + sample, **settings)
        for place, text in enumerate(TEXTS)
        for sample in range(samples)
    ]


def ask(backend: HFBackend, asked: Sequence[ChatRequest]) -> list[Any]:
    found = dict(backend.answer(asked))
    assert sorted(found) == list(range(len(asked)))
    return [found[place] for place in range(len(asked))]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and tokens of every forward pass, the trial's left out."""
    seen: list[tuple[int, int]] = []
    original = Runner.__call__

    def noted(self: Runner, ids: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append((ids.shape[0], ids.shape[1]))
        return original(self, ids, *others)

    monkeypatch.setattr(Runner, "__call__", noted)
    monkeypatch.setattr(hf, "longest_in_slots", lambda model: 1 << 30)
    return seen


def test_a_prompt_runs_once_for_its_samples_and_a_common_beginning_once_for_all(
    folder: Path, calls: list[tuple[int, int]]
) -> None:
    results = ask(backend(folder), requests(samples=3))
    (one, header), (prompts, rest) = calls[:2]
    assert (one, prompts) == (1, len(TEXTS))
    lengths = [results[3 * place].prompt_tokens for place in range(len(TEXTS))]
    assert header + rest == max(lengths)
    assert header == len("<" + HEADER)
    assert {tokens for _, tokens in calls[2:]} == {1}
    assert calls[2][0] <= 3 * len(TEXTS)
    assert len(calls) == 2 + 11


def test_instructions_a_conversation_and_a_response_each_run_once(
    folder: Path, calls: list[tuple[int, int]]
) -> None:
    conversations = [HEADER + text * 12 for text in ("sea ", "rain ")]
    responses = [text + answer * 10 for text in conversations for answer in ("A wave. ", "Salt! ")]
    texts = [text + question for text in responses for question in ("Is it true?", "Is it kind?")]
    asked = [ChatRequest((Message("user", text),), max_tokens=1, temperature=0.0) for text in texts]
    alone = [ask(backend(folder, batch_size=1), [request])[0] for request in asked]
    assert all(isinstance(result, ChatResult) for result in alone)
    calls.clear()
    assert ask(backend(folder), asked) == alone
    once = {text[:end] for text in texts for end in range(1, len(text) + 1)}
    margin = 20 * len(texts)  # the template's tokens, and the last one of a beginning twice
    assert len(once) <= sum(rows * tokens for rows, tokens in calls) <= len(once) + margin


def test_rows_that_ended_leave_and_are_handed_on_at_once(
    folder: Path, calls: list[tuple[int, int]]
) -> None:
    asked = [
        ChatRequest((Message("user", "Hi"),), max_tokens=limit, temperature=0.0)
        for limit in (9, 2, 4)
    ]
    order = []
    for place, result in backend(folder).answer(asked):
        assert isinstance(result, ChatResult)
        order.append((place, len(calls)))
    assert order == [(1, 2), (2, 4), (0, 9)]
    assert [rows for rows, _ in calls] == [1, 3, 2, 2, 1, 1, 1, 1, 1]


def test_rows_join_as_others_leave(folder: Path, calls: list[tuple[int, int]]) -> None:
    asked = requests(max_tokens=40, samples=4)
    alone = [ask(backend(folder), [request])[0] for request in asked]
    calls.clear()
    assert ask(backend(folder, batch_size=4), asked) == alone
    decoding = [rows for rows, tokens in calls if tokens == 1]
    assert max(decoding) <= 4
    generated = sum(len(result.token_ids) for result in alone)
    assert len(decoding) < 1.7 * generated / 4, "the batch is kept full"


def test_the_cache_is_bounded_by_tokens(folder: Path, calls: list[tuple[int, int]]) -> None:
    asked = requests(samples=2)
    free = ask(backend(folder), asked)
    longest = max(result.prompt_tokens for result in free)
    calls.clear()
    assert ask(backend(folder, batch_tokens=3 * (longest + 12)), asked) == free
    assert max(rows for rows, tokens in calls if tokens == 1) == 3


class _Memory:
    """Has the model run out of memory with more than so many rows, or tokens of one row."""

    def __init__(self, error: Exception, rows: int, tokens: int) -> None:
        self.error, self.rows, self.tokens = error, rows, tokens
        self.raised = 0
        self.original = Runner.__call__

    def __call__(
        self, runner: Runner, ids: torch.Tensor, positions: torch.Tensor, mask: Any, cache: Any
    ) -> torch.Tensor:
        if len(ids) > self.rows or int(positions.max()) >= self.tokens:
            self.raised += 1
            raise self.error
        return self.original(runner, ids, positions, mask, cache)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Memory]:
    def limit(error: Exception, rows: int = 1 << 30, tokens: int = 1 << 30) -> _Memory:
        found = _Memory(error, rows, tokens)

        def limited(*inputs: Any) -> torch.Tensor:  # a function, so that it becomes a method
            return found(*inputs)

        monkeypatch.setattr(Runner, "__call__", limited)
        monkeypatch.setattr(hf, "longest_in_slots", lambda model: 1 << 30)
        return found

    return limit


OUT = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
)


@pytest.mark.parametrize("error", OUT)
def test_out_of_memory_halves_what_runs_side_by_side_and_loses_nothing(
    folder: Path,
    memory: Callable[..., _Memory],
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = requests(samples=2)
    expected = ask(backend(folder), asked)
    limited, model = memory(error, rows=5), backend(folder)
    with caplog.at_level(logging.WARNING, hf_chat.__name__):
        assert ask(model, asked) == expected
        assert limited.raised == 1
        assert ask(model, asked) == expected
    assert limited.raised == 1, "the smaller size is kept"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("out of memory with 8 rows of up to ")
    assert "going on with 4" in line


def test_a_row_for_which_memory_does_not_suffice_fails_alone(
    folder: Path, memory: Callable[..., _Memory]
) -> None:
    asked = [*requests(), ChatRequest((Message("user", "long" * 30),), max_tokens=12, seed=0)]
    expected = ask(backend(folder), asked)
    memory(OUT[0], tokens=expected[-1].prompt_tokens)
    *others, failed = ask(backend(folder), asked)
    assert others == expected[:-1]
    assert failed == RequestFailure(
        "out_of_memory",
        "memory does not suffice for one row of 123 tokens and 12 to be generated, with nothing "
        "beside it. Lower max_tokens, shorten the prompt, or take a smaller model or a shorter "
        "dtype.",
    )


def test_other_errors_are_not_taken_for_it(folder: Path, memory: Callable[..., _Memory]) -> None:
    memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), rows=1)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        ask(backend(folder), requests())


def test_batches_of_generate_are_halved_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests(samples=4)
    expected = ask(backend(folder), asked)
    original, sizes = hf_chat.generate_plainly, []

    def limited(model: Any, rows: Sequence[Any], stop_ids: frozenset[int]) -> Any:
        sizes.append(len(rows))
        if len(rows) > 2 or "Why?" in rows[0].request.messages[0].content:
            raise OUT[0]
        return original(model, rows, stop_ids)

    monkeypatch.setattr(hf_chat, "generate_plainly", limited)
    monkeypatch.setattr(hf, "longest_in_slots", lambda model: 0)
    found = ask(backend(folder), asked)
    failed = [place for place, result in enumerate(found) if isinstance(result, RequestFailure)]
    assert failed == [8, 9, 10, 11]
    assert [r for i, r in enumerate(found) if i not in failed] == expected[:8] + expected[12:]
    assert sizes[:3] == [4, 2, 2]
