"""Which GPUs each engine works on."""

from __future__ import annotations

import os

from spa.api import SpaError
from spa.models.loading import pick_device
from spa.models.spec import ModelSpec

__all__ = ["gpu_groups"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_groups(spec: ModelSpec, engines: int, tensor_parallel: int) -> list[str | None]:
    """For each engine the value of ``CUDA_VISIBLE_DEVICES``; None leaves things as they are.

    Args:
        spec: The model.
        engines: How many there are.
        tensor_parallel: How many GPUs each of them needs.

    Raises:
        SpaError: If there are too few GPUs.
    """
    if pick_device(spec).type == "cpu":
        if engines > 1:
            raise SpaError(
                f"engines: {engines} needs that many GPUs, and PyTorch finds none here. "
                "Set engines to 1: one engine uses all cores of a CPU."
            )
        return [None]
    visible = _visible()
    needed = engines * tensor_parallel
    if needed > len(visible):
        raise SpaError(
            f"engines: {engines} with tensor_parallel: {tensor_parallel} needs {needed} GPUs, but "
            f"there are {len(visible)}{_listed(visible)}. Lower one of them."
        )
    return [
        ",".join(visible[first : first + tensor_parallel])
        for first in range(0, needed, tensor_parallel)
    ]


def _visible() -> list[str]:
    given = os.environ.get(_VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _listed(visible: list[str]) -> str:
    return f" ({_VISIBLE}={','.join(visible)})" if _VISIBLE in os.environ else ""
