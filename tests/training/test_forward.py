"""Log-probabilities against naive single sequences; group gradients against pairs one by one."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_architectures import flex_without_compiling, make_architecture

from spa.components.losses.configs import DpoConfig, SftConfig, SimpoConfig, SpaConfig
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.sft import SftLoss
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.spa import SpaLoss
from spa.training import linear_head
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch
from spa.training.forward import Forward, forwarding
from spa.training.layout import whole
from spa.training.policy import _checkpoint_activations

KERNELS = ["segments", "dense", None]


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


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["llama", "eager", "gpt2"])
def test_trap_03_and_12_tokens_align_with_naive_single_sequences(
    make: SimpleNamespace, groups: list[Any], name: str, kernel: Any
) -> None:
    """Prompts of 7, 1 and 3 tokens in one micro-batch, responses of 1 to 8."""
    model = models(make)[name]
    forward = Forward(260, kernel, implementation=model.config._attn_implementation)
    with forwarding(model, forward):
        found = forward(model, whole(groups))
    logprobs, mask = found.logprobs, found.mask
    rows = [(g.prompt, r) for g in groups for r in g.responses]
    assert mask.sum(-1).tolist() == [len(r) for _, r in rows]
    reference = copy.deepcopy(model)
    for row, (prompt, response) in enumerate(rows):
        expected = naive(reference, prompt, response)
        assert logprobs[row, : len(response)].tolist() == pytest.approx(expected, abs=2e-5)
        assert not logprobs[row, len(response) :].any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_padding_token_does_not_matter(
    make: SimpleNamespace, groups: list[Any], tiny: Any, kernel: Any
) -> None:
    a, b = (make.logprobs(tiny, groups, pad, kernel)[0] for pad in (260, 0))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("kernel", "shape"), [("segments", (1, 32)), ("dense", (1, 32)), (None, (7, 11))]
)
def test_prompts_and_responses_are_forwarded_once(
    make: SimpleNamespace, groups: list[Any], tiny: Any, kernel: Any, shape: tuple[int, int]
) -> None:
    """11 prompt tokens and 21 response tokens; unpacked, 7 rows as long as the longest."""
    shapes = []
    tiny.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    make.logprobs(tiny, groups, kernel=kernel)
    assert shapes == [shape]


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_response_tokens_go_through_the_head(
    make: SimpleNamespace,
    groups: list[Any],
    tiny: Any,
    kernel: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def linear_logprobs(hidden: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(hidden.shape)
        return linear_head.linear_logprobs(hidden, *others)

    monkeypatch.setattr("spa.training.head.linear_logprobs", linear_logprobs)
    make.logprobs(tiny, groups, kernel=kernel)
    assert seen == [(21, 32)]


def test_the_model_is_left_as_it_was(make: SimpleNamespace, groups: list[Any], tiny: Any) -> None:
    ids = torch.arange(9)[None]
    before, implementation = tiny(ids).logits, tiny.config._attn_implementation
    with forwarding(tiny, Forward(0, "segments")):
        assert "forward" in vars(tiny)
        assert tiny.config._attn_implementation != implementation
    assert "forward" not in vars(tiny)
    assert tiny.config._attn_implementation == implementation
    assert torch.equal(tiny(ids).logits, before)


def test_all_logits_are_used_where_the_head_cannot_be_chunked(
    make: SimpleNamespace, groups: list[Any], tiny: Any
) -> None:
    forward = Forward(260, chunked_head=False)
    with forwarding(tiny, forward):
        plain = forward(tiny, whole(groups), collision=True)
    with forwarding(tiny, Forward(260)):
        chunked = Forward(260)(tiny, whole(groups), collision=True)
    torch.testing.assert_close(plain.logprobs, chunked.logprobs)
    torch.testing.assert_close(plain.collision, chunked.collision)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_checkpointing_sees_the_same_layout(
    make: SimpleNamespace, groups: list[Any], kernel: Any
) -> None:
    gradients = []
    for saved in (False, True):
        model = make.model().train()
        if saved:
            _checkpoint_activations(model)
        forward = Forward(260, kernel)
        with forwarding(model, forward):
            forward(model, whole(groups)).logprobs.sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


LOSSES = {
    "spa": SpaLoss(SpaConfig(alpha=1.5)),
    "simpo": SimpoLoss(SimpoConfig()),
    "dpo": DpoLoss(DpoConfig()),
    "sft": SftLoss(SftConfig()),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_of_a_group_equal_those_of_its_pairs_one_by_one(
    make: SimpleNamespace, groups: list[Any], name: str, kernel: Any
) -> None:
    """Pairs one by one: two unpadded sequences each, averaged log-probabilities from logits."""
    loss = LOSSES[name]
    model = make.model()
    batch = OptimizerBatch(0, tuple(groups))
    reference = make.logprobs(make.model(seed=5), groups)[0].detach()

    logprobs, mask = make.logprobs(model, groups, kernel=kernel)
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


def test_trap_01_no_pair_gives_nan_for_one_token_responses(
    make: SimpleNamespace, tiny: Any
) -> None:
    group = make.encoded([258], [[256], [5]], [(0, 1)])
    logprobs, mask = make.logprobs(tiny, [group], kernel="segments")
    batch = OptimizerBatch(0, (group,))
    for loss in LOSSES.values():
        outcome = loss(pair_batch(batch, [group], logprobs, mask, logprobs.detach()))
        assert torch.isfinite(outcome.losses).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_trap_02_averages_are_over_response_tokens_alone(
    make: SimpleNamespace, groups: list[Any], tiny: Any, kernel: Any
) -> None:
    """Whatever the prompt's length; lengths of 1 to 8 next to prompts of 1 to 7 tokens."""
    logprobs, mask = make.logprobs(tiny, groups, kernel=kernel)
    batch = pair_batch(OptimizerBatch(0, tuple(groups)), groups, logprobs, mask)
    rows = [(g.prompt, r) for g in groups for r in g.responses]
    assert batch.lengths.tolist() == [len(response) for _, response in rows]
    alone = [naive(copy.deepcopy(tiny), prompt, response) for prompt, response in rows]
    expected = [sum(values) / len(values) for values in alone]
    assert batch.averages.tolist() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_same_log_probabilities(
    make: SimpleNamespace, groups: list[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward only: there is no backward pass on a CPU."""
    flex_without_compiling(monkeypatch)
    model = make_architecture(name)
    with torch.no_grad():
        expected = make.logprobs(model, groups)[0]
        found = make.logprobs(model, groups, kernel="flex")[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["flex", "segments", "dense"])
def test_gradients_on_an_accelerator_are_those_of_rows_of_their_own(
    make: SimpleNamespace, groups: list[Any], kernel: Any
) -> None:
    # Flex kernels want at least 16 values a head.
    model = make.model(hidden_size=128, head_dim=32).to("cuda")
    weights = torch.linspace(-1, 1, 7, device="cuda")[:, None]
    found = []
    for way in (None, kernel):
        model.zero_grad()
        values = make.logprobs(model, groups, kernel=way)[0]
        (values * weights).sum().backward()
        found.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*found, strict=True):
        assert (a - b).norm() <= 2e-3 * b.norm()
