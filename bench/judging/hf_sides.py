"""The three ways to judge with the backend `hf`, the model loaded once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from judging.expected_side import measure_expected
from judging.generate_side import measure_generate
from judging.settings import Order
from judging.unshared_side import measure_unshared
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig

__all__ = ["SIDES", "opened"]

SIDES = (measure_expected, measure_unshared, measure_generate)


@contextmanager
def opened(order: Order) -> Iterator[HFBackend]:
    """The backend with its model loaded."""
    torch.set_num_threads(order.threads)
    backend = HFBackend(
        HFConfig.model_validate({"path": order.model, "dtype": order.dtype, "device": order.device})
    )
    try:
        yield backend
    finally:
        backend.close()
