"""The chunked head: exact values and gradients, and memory that grows with the chunk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spa.training.head import response_head, token_collisions, token_logprobs


def test_token_logprobs_equal_log_softmax() -> None:
    logits = torch.randn(12, 37, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 37, (12,))
    expected = logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
    weights = torch.randn(12, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    values = token_logprobs(logits, labels)
    (gradient,) = torch.autograd.grad((values * weights).sum(), logits)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(gradient, wanted)
    assert torch.autograd.gradcheck(lambda x: token_logprobs(x, labels), (logits,))


def test_trap_07_bf16_logits_get_an_fp32_log_sum_exp() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(6, 128_000) * 3).bfloat16().requires_grad_()
    labels = torch.randint(0, 128_000, (6,))
    exact = logits.double().log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
    values = token_logprobs(logits, labels)
    assert values.dtype == torch.float32
    assert (values - exact).abs().max() < 1e-5
    rough = logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
    assert (rough.double() - exact).abs().max() > 1e-2
    values.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_collisions_are_the_log_of_summed_squares() -> None:
    logits = torch.randn(5, 11, dtype=torch.float64, requires_grad=True)
    found = token_collisions(logits)
    torch.testing.assert_close(found, logits.softmax(-1).square().sum(-1).log().detach())
    assert not found.requires_grad


def call(model: Any, elements: int, **more: Any) -> Any:
    ids = torch.arange(3, 27)[None]
    places, labels = torch.arange(4, 23), ids[0, 5:]
    with response_head(model, elements):
        return model(input_ids=ids, predicting=places, labels=labels, **more)


@pytest.mark.parametrize("elements", [1, 264 * 5, 1 << 24])
@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": True}, {"hidden_size": 16}], ids=str
)
@pytest.mark.parametrize("collision", [False, True], ids=["matrix", "any head"])
def test_values_and_gradients_do_not_depend_on_the_chunk(
    make: SimpleNamespace, elements: int, changes: dict[str, Any], collision: bool
) -> None:
    model = make.model(**changes).double()
    ids = torch.arange(3, 27)
    expected = model(ids[None]).logits[0, 4:23].log_softmax(-1).gather(-1, ids[5:, None])[:, 0]
    weights = torch.linspace(-1, 1, len(expected), dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    values, collisions = call(model, elements, collision=collision)
    assert (collisions is not None) == collision
    torch.testing.assert_close(values, expected)
    found = torch.autograd.grad((values * weights).sum(), list(model.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_a_call_without_places_is_the_models_own(make: SimpleNamespace) -> None:
    model = make.model()
    ids = torch.arange(9)[None]
    plain = model(ids, labels=ids)
    with response_head(model):
        inside = model(ids, labels=ids)
    assert torch.equal(inside.logits, plain.logits)
    assert inside.loss == plain.loss


@pytest.mark.parametrize("collision", [False, True], ids=["matrix", "any head"])
def test_the_largest_tensor_and_what_is_kept_follow_the_chunk(
    make: SimpleNamespace, collision: bool
) -> None:
    """Nothing the size of vocabulary x tokens, neither at any time nor until the backward pass."""
    model = make.model(vocab_size=5_000)
    kept: list[int] = []
    largest: list[int] = []

    def is_logits(tensor: torch.Tensor) -> bool:
        rows, columns = tensor.shape if tensor.ndim == 2 else (0, 0)
        return columns == 5_000 and rows != model.config.hidden_size  # the head's weights

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and is_logits(out):
                largest.append(out.shape[0])
            return out

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if is_logits(tensor):
            kept.append(tensor.shape[0])
        return tensor

    with Watch(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        values, _ = call(model, 5_000 * 4, collision=collision)
        assert max(largest) == 4  # 19 response tokens, in chunks of 4
        assert kept == []
    values.sum().backward()


def test_logits_that_are_capped_and_scaled(make: SimpleNamespace) -> None:
    from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

    sizes = {
        "vocab_size": 264, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.5,
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    for model in (
        Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=2.0)),
        CohereForCausalLM(CohereConfig(**sizes, logit_scale=0.0625)),
    ):
        model.eval()
        ids = torch.arange(3, 27)
        logits = model(ids[None]).logits[0, 4:23]
        expected = logits.log_softmax(-1).gather(-1, ids[5:, None])[:, 0]
        torch.testing.assert_close(call(model, 264 * 5)[0], expected)


def test_a_frozen_head_gets_no_gradient_and_passes_one_on(make: SimpleNamespace) -> None:
    model = make.model()
    model.lm_head.requires_grad_(False)
    values, _ = call(model, 264 * 5)
    values.sum().backward()
    assert model.lm_head.weight.grad is None
    assert model.model.norm.weight.grad.abs().sum() > 0


def test_bf16_computation_sums_the_head_s_gradient_in_fp32(make: SimpleNamespace) -> None:
    """Full fine-tuning: fp32 weights, bf16 products. Chunks must not round the sum of gradients."""
    gradients = []
    for elements in (264, 1 << 24):
        model = make.model()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values, _ = call(model, elements)
        assert values.dtype == torch.float32
        values.sum().backward()
        gradients.append(model.lm_head.weight.grad)
    torch.testing.assert_close(*gradients, rtol=2e-2, atol=2e-2)
