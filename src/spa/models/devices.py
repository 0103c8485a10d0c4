"""Whether there are the accelerators that a training in several processes needs."""

from __future__ import annotations

from spa.models.spec import ModelSpec

__all__ = ["too_few_accelerators"]


def too_few_accelerators(spec: ModelSpec, processes: int) -> str | None:
    """Why processes cannot have a GPU each; None if they can, or train on the CPU.

    Args:
        spec: The model that is trained.
        processes: On this machine.
    """
    import torch

    if spec.device == "cpu" or not torch.cuda.is_available():
        return None
    there = torch.cuda.device_count()
    if processes <= there:
        return None
    return (
        f"each process trains on a GPU of its own, but there are {there} for {processes} "
        f"processes. Set train.processes (or num_processes in accelerate's file) to {there}, or "
        "model.device: cpu"
    )
