"""Log-probabilities against naive single sequences; group gradients against pairs one by one."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spa.components.losses.configs import DpoConfig, SftConfig, SimpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.sft import SftLoss
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch
from spa.training.collate import collate
from spa.training.forward import group_logprobs, token_logprobs


def naive(model: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> list[float]:
    """One unpadded sequence in fp64; token t is predicted by the position before it."""
    ids = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        table = model.double()(ids).logits[0].log_softmax(-1)
    start = len(prompt)
    return [table[start + t - 1, token].item() for t, token in enumerate(response)]


GROUPS = [
    ((257, 10, 11, 12, 13, 256, 258), [(5, 6, 7, 256), (8,), (9, 10)], [(0, 1), (0, 2), (1, 2)]),
    ((258,), [(3, 4, 5, 6, 7, 8, 9, 256), (30, 31)], [(0, 1)]),
    ((257, 40, 258), [(256,), (50, 51, 52)], [(1, 0)]),
]


@pytest.fixture
def groups(make: SimpleNamespace) -> list[Any]:
    return [make.encoded(p, r, pairs, f"p{i}") for i, (p, r, pairs) in enumerate(GROUPS)]


def models(make: SimpleNamespace) -> dict[str, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=264, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2
        )
    ).eval()
    return {
        "llama": make.model(),
        "eager": make.model(attn_implementation="eager"),
        "gpt2": gpt2,
    }


@pytest.mark.parametrize("name", ["llama", "eager", "gpt2"])
def test_trap_03_and_12_tokens_align_with_naive_single_sequences(
    make: SimpleNamespace, groups: list[Any], name: str
) -> None:
    """Prompts of 7, 1 and 3 tokens in one micro-batch, responses of 1 to 8."""
    model = models(make)[name]
    logprobs, mask = group_logprobs(model, groups, pad_id=260)
    rows = [(g.prompt, r) for g in groups for r in g.responses]
    assert mask.sum(-1).tolist() == [len(r) for _, r in rows]
    reference = copy.deepcopy(model)
    for row, (prompt, response) in enumerate(rows):
        expected = naive(reference, prompt, response)
        assert logprobs[row, : len(response)].tolist() == pytest.approx(expected, abs=2e-5)
        assert not logprobs[row, len(response) :].any()


def test_the_padding_token_does_not_matter(groups: list[Any], tiny: Any) -> None:
    a, b = (group_logprobs(tiny, groups, pad_id=pad)[0] for pad in (260, 0))
    torch.testing.assert_close(a, b)


def test_rows_are_laid_out_as_documented(make: SimpleNamespace) -> None:
    two = [
        make.encoded([1, 2, 3], [[4, 5], [6]], [(0, 1)]),
        make.encoded([7], [[8, 9, 10]], [(0, 0)]),
    ]
    rows = collate(two, 0, torch.device("cpu"))
    assert rows.input_ids.tolist() == [[1, 2, 3, 4, 5, 0], [1, 2, 3, 6, 0, 0], [0, 0, 7, 8, 9, 10]]
    assert rows.attention_mask.tolist() == [
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1],
    ]
    assert rows.position_ids.tolist() == [
        [0, 1, 2, 3, 4, 4],
        [0, 1, 2, 3, 3, 3],
        [0, 0, 0, 1, 2, 3],
    ]
    assert rows.labels.tolist() == [[4, 5, 0], [6, 0, 0], [8, 9, 10]]
    assert rows.predicting_columns().tolist() == [2, 3, 4]


def test_each_unique_response_is_forwarded_once(groups: list[Any], tiny: Any) -> None:
    shapes = []
    tiny.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    group_logprobs(tiny, groups, pad_id=260)
    assert shapes == [(7, 15)]


def test_only_predicting_positions_go_through_the_head(groups: list[Any], tiny: Any) -> None:
    seen = []
    tiny.lm_head.register_forward_hook(lambda _module, _args, output: seen.append(output.shape))
    group_logprobs(tiny, groups, pad_id=260)
    assert seen == [(7, 8, 264)]


def test_models_without_logits_to_keep_fall_back_with_a_log_line(
    groups: list[Any], tiny: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(
            self, input_ids: Any, attention_mask: Any, position_ids: Any, use_cache: bool
        ) -> Any:
            return self.inner(input_ids, attention_mask, position_ids, use_cache=use_cache)

    with caplog.at_level(logging.INFO):
        fallen = group_logprobs(Plain(tiny), groups, pad_id=260)[0]
    torch.testing.assert_close(fallen, group_logprobs(tiny, groups, pad_id=260)[0])
    assert "Plain computes logits for every position" in caplog.text


LOSSES = {
    "spa": SpaLoss(SpaConfig(alpha=1.5)),
    "simpo": SimpoLoss(SimpoConfig()),
    "dpo": DpoLoss(DpoConfig()),
    "sft": SftLoss(SftConfig()),
}


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_of_a_group_equal_those_of_its_pairs_one_by_one(
    make: SimpleNamespace, groups: list[Any], name: str
) -> None:
    """Pairs one by one: two unpadded sequences each, averaged log-probabilities from logits."""
    loss = LOSSES[name]
    model = make.model()
    batch = OptimizerBatch(0, tuple(groups))
    reference = group_logprobs(make.model(seed=5), groups, 260)[0].detach()

    logprobs, mask = group_logprobs(model, groups, 260)
    grouped = loss(pair_batch(batch, groups, logprobs, mask, reference)).losses.sum() / batch.pairs
    grouped.backward()
    together = {n: p.grad.clone() for n, p in model.named_parameters()}

    model.zero_grad()
    total = 0.0
    row = 0
    for group in groups:
        for chosen, rejected in zip(group.chosen, group.rejected, strict=True):
            pair = make.encoded(group.prompt, group.responses, [(chosen, rejected)])
            sides = []
            for response in (pair.responses[chosen], pair.responses[rejected]):
                ids = torch.tensor([[*group.prompt, *response]])
                table = model(ids).logits[0].log_softmax(-1)
                at = torch.arange(len(response))
                sides.append(table[len(group.prompt) - 1 + at, torch.tensor(response)])
            width = max(map(len, sides))
            stacked = torch.stack([torch.nn.functional.pad(s, (0, width - len(s))) for s in sides])
            ones = torch.tensor([[float(t < len(s)) for t in range(width)] for s in sides])
            wanted = reference[[row + chosen, row + rejected]][:, :width]
            alone = make.encoded(group.prompt, [(1,), (2,)], [(0, 1)])
            single = pair_batch(batch, [alone], stacked, ones, wanted)
            single = type(single)(
                **{
                    **vars(single),
                    "gap_sum": torch.tensor(pair.gap_sum),
                    "gap_l1": torch.tensor(pair.gap_l1),
                }
            )
            one = loss(single).losses.sum() / batch.pairs
            one.backward()
            total += one.item()
        row += len(group.responses)
    assert grouped.item() == pytest.approx(total, rel=1e-5)
    for n, p in model.named_parameters():
        error = (together[n] - p.grad).norm() / p.grad.norm()
        assert error <= 1e-5, (n, error)


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_token_logprobs_equal_log_softmax_for_any_chunk(chunk: int) -> None:
    logits = torch.randn(3, 4, 37, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 37, (3, 4))
    expected = logits.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
    weights = torch.randn(3, 4, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    values = token_logprobs(logits, labels, chunk)
    (gradient,) = torch.autograd.grad((values * weights).sum(), logits)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(gradient, wanted)
    assert torch.autograd.gradcheck(lambda x: token_logprobs(x, labels, chunk), (logits,))


def test_trap_07_bf16_logits_get_an_fp32_log_sum_exp() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(2, 3, 128_000) * 3).bfloat16()
    labels = torch.randint(0, 128_000, (2, 3))
    exact = logits.double().log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
    values = token_logprobs(logits, labels)
    assert values.dtype == torch.float32
    assert (values - exact).abs().max() < 1e-5
    rough = logits.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
    assert (rough.double() - exact).abs().max() > 1e-2


def test_logits_are_widened_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = torch.Tensor.to

    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.dtype == torch.bfloat16:
            sizes.append(self.numel())
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    logits = torch.randn(4, 8, 100).bfloat16().requires_grad_()
    token_logprobs(logits, torch.zeros(4, 8, dtype=torch.long), chunk_elements=200).sum().backward()
    assert max(sizes) == 200
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_trap_01_no_pair_gives_nan_for_one_token_responses(
    make: SimpleNamespace, tiny: Any
) -> None:
    group = make.encoded([258], [[256], [5]], [(0, 1)])
    logprobs, mask = group_logprobs(tiny, [group], 260)
    batch = OptimizerBatch(0, (group,))
    for loss in LOSSES.values():
        outcome = loss(pair_batch(batch, [group], logprobs, mask, logprobs.detach()))
        assert torch.isfinite(outcome.losses).all()
