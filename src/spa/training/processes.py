"""What the processes of a training tell each other: gradients, figures, and whether to stop.

With one process every function here gives back what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

__all__ = ["Processes", "shard_on_cpu"]

_BUCKET_ELEMENTS = 1 << 24
"""Gradients that are summed in one message: 64 MiB in fp32."""
_SHARDED = {DistributedType.FSDP, DistributedType.DEEPSPEED}


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train one model.

    Attributes:
        count: How many, at least 1.
        place: Which one this is, from 0.
        sharded: Whether the model's weights or gradients are spread over them. Then every backward
            pass averages gradients over the processes, and all must make the same passes.
    """

    count: int = 1
    place: int = 0
    sharded: bool = False

    @classmethod
    def of(cls, accelerator: Accelerator) -> Processes:
        """Those that accelerate found."""
        return cls(
            accelerator.num_processes,
            accelerator.process_index,
            accelerator.distributed_type in _SHARDED,
        )

    @property
    def is_main(self) -> bool:
        """Whether this one speaks and writes for all."""
        return self.place == 0

    @property
    def averaging(self) -> int:
        """What the backward passes divide gradients by."""
        return self.count if self.sharded else 1

    def local_model(self, model: Any) -> Any:
        """What to call in forward passes.

        Gradients of replicated models are summed once, by `sum_gradients`, so the wrapper that sums
        them in every backward pass is gone around: processes may then differ in their passes.
        """
        replicated = isinstance(model, torch.nn.parallel.DistributedDataParallel)
        return model.module if replicated else model

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sums the gradients of replicated weights over all processes; a missing one counts 0.

        What has no gradient in any process gets none, so that the optimizer leaves it alone.
        """
        if self.count == 1 or self.sharded:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        bucket: list[torch.Tensor] = []
        for parameter, used in zip(trained, _used_anywhere(trained), strict=True):
            if not used:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            if sum(map(torch.Tensor.numel, bucket)) >= _BUCKET_ELEMENTS:
                _sum(bucket)
                bucket = []
        if bucket:
            _sum(bucket)

    def sum_figures(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Sums figures by name over all processes; a process may lack some."""
        if self.count == 1:
            return dict(figures)
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, dict(figures))
        total: dict[str, float] = {}
        for each in gathered:
            for name, value in each.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def union(self, rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The rows of all processes, for all of them; on the CPU."""
        if self.count == 1:
            return rows
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, rows)
        return {name: row for each in gathered for name, row in each.items()}

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, flag)
        return any(gathered)


def shard_on_cpu(accelerator: Accelerator) -> bool:
    """Makes accelerate use FSDP among CPU processes, if its configuration asks for it.

    accelerate reads that configuration on accelerators alone.

    Returns:
        Whether it does.
    """
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    state = accelerator.state
    if not asked or state.distributed_type != DistributedType.MULTI_CPU:
        return False
    state.distributed_type = DistributedType.FSDP
    # Where every later AcceleratorState takes it from; without, sharding would be forgotten.
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin()
    return True


def _used_anywhere(parameters: Sequence[torch.nn.Parameter]) -> list[bool]:
    """Whether each has a gradient in any process."""
    flags = torch.tensor(
        [parameter.grad is not None for parameter in parameters],
        dtype=torch.uint8,
        device=parameters[0].device,
    )
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in flags.tolist()]


def _sum(gradients: list[torch.Tensor]) -> None:
    """Sums dense gradients of one type and device over all processes, in one message each."""
    kinds: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    for gradient in gradients:
        kinds.setdefault((gradient.dtype, gradient.device), []).append(gradient)
    for same in kinds.values():
        flat = torch.cat([gradient.flatten() for gradient in same])
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in same]
        for gradient, part in zip(same, flat.split(sizes), strict=True):
            gradient.copy_(part.view_as(gradient))
