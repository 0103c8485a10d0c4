"""Packed judgements give every model's own log-probabilities, and run shared tokens once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_architectures import ARCHITECTURES, flex_without_compiling, make_architecture
from tiny_llama import make_model

from spa.api import LabelResult, RequestFailure
from spa.components.backends import hf_labels, label_forward
from spa.components.backends.hf_labels import LabelRow, label_batches
from spa.components.backends.label_forward import packable, packed_kernel

torch.set_num_threads(1)
LABELS = (5, 77, 131)
ALONE = {
    "bloom",
    "falcon with alibi",
    "gemma2, short window",
    "gpt-neo",
    "lfm2",
    "llama4, short chunks",
    "mamba",
    "mistral, short window",
    "qwen3-next",
}


def judgements(conversations: int = 3, responses: int = 2) -> list[LabelRow]:
    """Instructions, conversations, responses, two criteria; one prompt is there twice."""
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> list[int]:
        return torch.randint(0, 250, (count,), generator=generator).tolist()

    start, criteria = draw(9), [draw(2), draw(3)]
    prompts = [
        [*start, *conversation, *response, *criterion]
        for conversation in [draw(4 + n) for n in range(conversations)]
        for response in [draw(5 + n) for n in range(responses)]
        for criterion in criteria
    ]
    prompts += [prompts[0], prompts[2][:12], draw(1)]
    return [LabelRow(place, prompt, LABELS) for place, prompt in enumerate(prompts)]


def ask(model: Any, rows: Sequence[LabelRow], batch_size: int = 4) -> list[Any]:
    answers = list(label_batches(model, 0, rows, batch_size))
    assert sorted(place for place, _ in answers) == sorted(row.place for row in rows)
    return [dict(answers)[row.place] for row in rows]


def direct(model: Any, row: LabelRow) -> list[float]:
    """One prompt by itself, from a softmax in double precision."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.prompt_ids]), use_cache=False).logits[0, -1]
    found: list[float] = logits.double().log_softmax(-1)[list(row.label_ids)].tolist()
    return found


def assert_direct(model: Any, rows: Sequence[LabelRow], results: Sequence[LabelResult]) -> None:
    for row, result in zip(rows, results, strict=True):
        expected = direct(model, row)
        assert result.logprobs == pytest.approx(expected, abs=1e-4)
        assert result.mass == pytest.approx(torch.tensor(expected).exp().sum().item(), rel=1e-4)
        assert result.prompt_tokens == len(row.prompt_ids)


class Calls:
    """Counts tokens of every forward pass."""

    def __init__(self, model: Any) -> None:
        self.sizes: list[int] = []
        model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _module: Any, _positional: Any, named: dict[str, Any]) -> None:
        self.sizes.append(named["input_ids"].numel())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_labels_are_those_of_a_direct_forward(name: str) -> None:
    model = make_architecture(name)
    rows = judgements()
    assert_direct(model, rows, ask(model, rows))
    calls = Calls(model)
    ask(model, rows, batch_size=100)
    assert len(calls.sizes) == (len(rows) if name in ALONE else 1)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kernel", ["segments", "flex", "dense"])
def test_every_kernel_gives_the_same(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flex_without_compiling(monkeypatch)
    monkeypatch.setattr(label_forward, "kernels", lambda device: (kernel,))
    model, rows = make_architecture("llama"), judgements()
    assert_direct(model, rows, ask(model, rows))
    assert packed_kernel(model) == kernel


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_attention_that_a_model_came_with_is_put_back(implementation: str) -> None:
    model, rows = make_architecture("llama", attn_implementation=implementation), judgements()
    answers = label_batches(model, 0, rows, 1)
    next(answers)  # others may use the model before the next row is asked for
    assert model.config._attn_implementation == implementation
    assert len(list(answers)) == len(rows) - 1


def test_every_shared_token_is_computed_once() -> None:
    model, rows = make_architecture("llama"), judgements()
    ask(model, rows[:1])  # the trial
    calls = Calls(model)
    ask(model, rows, batch_size=100)
    trie = {tuple(r.prompt_ids[:n]) for r in rows for n in range(1, len(r.prompt_ids) + 1)}
    assert calls.sizes == [len(trie)]


def test_rows_hold_as_many_tokens_as_a_batch_of_single_rows() -> None:
    model, rows = make_architecture("llama"), judgements(6, 4)
    packed_kernel(model)
    calls = Calls(model)
    results = ask(model, rows, batch_size=3)
    assert len(calls.sizes) > 1
    assert max(calls.sizes) <= 3 * max(len(row.prompt_ids) for row in rows)
    assert_direct(model, rows, results)


def test_logits_are_kept_for_few_prompts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = make_architecture("llama"), judgements()
    monkeypatch.setattr(hf_labels, "LOGITS", 5 * model.config.vocab_size)
    seen: list[int] = []
    plain = label_forward.label_logprobs

    def noted(model: Any, prompts: Any, *more: Any) -> Any:
        seen.append(len(prompts))
        return plain(model, prompts, *more)

    monkeypatch.setattr(hf_labels, "label_logprobs", noted)
    assert_direct(model, rows, ask(model, rows, batch_size=100))
    assert max(seen) <= 5


def test_prompts_longer_than_a_window_stand_alone_and_the_others_are_packed() -> None:
    model = make_architecture("mistral", sliding_window=20)
    rows = judgements()
    long = [row for row in rows if len(row.prompt_ids) > 20]
    assert 0 < len(long) < len(rows) - 3
    packed_kernel(model)
    calls = Calls(model)
    assert_direct(model, rows, ask(model, rows, batch_size=100))
    assert len(calls.sizes) == 1 + len(long) + len(rows)  # and the direct ones


def test_positions_that_stretch_with_the_longest_prompt_are_not_packed_beyond_their_limit() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    model = make_architecture("llama", rope_parameters=rope, max_position_embeddings=20)
    assert packable(model, 20)
    assert not packable(model, 21)
    packed_kernel(model)
    calls = Calls(model)
    rows = judgements()
    ask(model, rows, batch_size=100)
    longer = sum(len(row.prompt_ids) > 20 for row in rows)
    assert len(calls.sizes) == longer + 1


def test_a_model_that_looks_at_other_tokens_is_found_once(caplog: pytest.LogCaptureFixture) -> None:
    def shift(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + 0.5 * torch.nn.functional.pad(output, (0, 0, 1, 0))[:, :-1]

    model, rows = make_architecture("llama"), judgements()
    model.model.layers[0].mlp.register_forward_hook(shift)
    with caplog.at_level(logging.INFO, "spa.components.backends.label_forward"):
        assert_direct(model, rows, ask(model, rows))
        ask(model, rows)
    (message,) = [record.message for record in caplog.records]
    assert message.startswith("LlamaForCausalLM: judgements share nothing, which is slow: segments")
    assert message.count("differs from the model's own log-probabilities by") == 2


def test_a_model_without_a_choice_of_logits_is_read_at_the_ends() -> None:
    from transformers import LlamaForCausalLM

    class Whole(LlamaForCausalLM):
        def forward(self, input_ids: Any = None, position_ids: Any = None, **more: Any) -> Any:
            return super().forward(input_ids=input_ids, position_ids=position_ids, **more)

    model, rows = make_architecture("llama"), judgements()
    model.__class__ = Whole
    assert_direct(model, rows, ask(model, rows))
    assert packed_kernel(model) == "segments"


def limited(model: Any, tokens: int) -> Calls:
    """A model that has memory for so many tokens."""

    def refuse(_module: Any, _positional: Any, named: dict[str, Any]) -> None:
        if named["input_ids"].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    packed_kernel(model)
    calls = Calls(model)
    model.register_forward_pre_hook(refuse, with_kwargs=True)
    return calls


def test_half_as_much_is_tried_where_memory_does_not_suffice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, rows = make_architecture("llama"), judgements(6, 4)
    expected = ask(model, rows, 100)
    calls = limited(model, 60)
    assert ask(model, rows, 100) == [
        LabelResult(pytest.approx(r.logprobs, abs=1e-5), pytest.approx(r.mass), r.prompt_tokens)
        for r in expected
    ]
    assert [size > 60 for size in calls.sizes] == sorted(
        (size > 60 for size in calls.sizes), reverse=True
    )
    assert "memory does not suffice: judging with half as much at a time" in caplog.messages


def test_a_prompt_that_does_not_fit_by_itself_is_a_failure_and_the_others_are_judged() -> None:
    model, rows = make_architecture("llama"), judgements()
    limited(model, 19)
    results = ask(model, rows)
    for row, result in zip(rows, results, strict=True):
        if len(row.prompt_ids) <= 19:
            assert isinstance(result, LabelResult)
        else:
            assert result == RequestFailure(
                "out_of_memory",
                f"memory does not suffice to judge with a prompt of {len(row.prompt_ids)} tokens, "
                "even by itself. Shorten the prompt, or take a smaller model or dtype.",
            )
    assert {type(result) for result in results} == {LabelResult, RequestFailure}


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    model, rows = make_architecture("llama"), judgements()
    packed_kernel(model)

    def fail(_module: Any, _positional: Any) -> None:
        raise RuntimeError("device-side assert triggered")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        ask(model, rows)


def test_an_adapter_takes_part(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from spa.models.quiet import peft_without_deprecations

    config = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    plain = make_model()
    before = ask(plain, judgements())
    with peft_without_deprecations():
        model = get_peft_model(plain, config).eval()
    results = ask(model, judgements())
    assert_direct(model, judgements(), results)
    assert results != before
