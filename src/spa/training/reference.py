"""Log-probabilities under the reference policy: the model as it is at the start of the round.

That is the model with what earlier rounds learned, not the bare base model. They are computed once,
before the first optimizer step, and kept on disk, so that resuming does not depend on anything
that training has changed since.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spa.training.encoding import EncodedGroup
from spa.training.forward import Forward, ResponseLogprobs, forwarding
from spa.training.micro_batches import Budget, plan_micro_batches, share
from spa.training.processes import Processes

__all__ = ["ReferenceLogprobs", "compute_reference"]

logger = logging.getLogger(__name__)


class ReferenceLogprobs:
    """Reference log-probabilities of every response token, by prompt and response."""

    def __init__(self, rows: dict[str, torch.Tensor]) -> None:
        """Keeps the rows.

        Args:
            rows: ``prompt id`` TAB ``response id`` to (|y|,) log-probabilities in fp32.
        """
        self._rows = rows

    def lookup(self, groups: Sequence[EncodedGroup], like: torch.Tensor) -> torch.Tensor:
        """(R, T) log-probabilities for the responses of some groups, 0 at padding.

        Args:
            groups: In the order of the rows.
            like: (R, T) policy log-probabilities; gives shape, dtype and device.
        """
        out = torch.zeros(like.shape, dtype=torch.float32)
        for row, name in enumerate(_names(groups)):
            values = self._rows[name]
            out[row, : len(values)] = values
        return out.to(device=like.device, dtype=like.dtype)

    def save(self, path: Path, identity: str) -> None:
        """Writes all rows to a safetensors file, under a temporary name first."""
        names = sorted(self._rows)
        tensors = {"logprobs": torch.cat([self._rows[name] for name in names])}
        for left in path.parent.glob(f"{path.name}.*.partial"):
            if _ended(left):
                left.unlink(missing_ok=True)
        # A name of its own, as another training may need the same and compute it, too.
        me = f"{socket.gethostname()}-{os.getpid()}"
        temporary = path.with_name(f"{path.name}.{me}.partial")
        lengths = ",".join(str(len(self._rows[name])) for name in names)
        metadata = {"identity": identity, "names": json.dumps(names), "lengths": lengths}
        metadata["checksum"] = _checksum(tensors["logprobs"], metadata)
        save_file(tensors, temporary, metadata)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, identity: str) -> ReferenceLogprobs | None:
        """Reads what `save` wrote.

        None if there is no file, one of another training, or one that cannot be read: what it
        holds can be computed again.
        """
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != identity:
                    return None
                values = file.get_tensor("logprobs")
            if metadata.pop("checksum", None) != _checksum(values, metadata):
                raise ValueError("it is not what was written")
            lengths = [int(length) for length in metadata["lengths"].split(",")]
            names = json.loads(metadata["names"])
            return cls(dict(zip(names, values.split(lengths), strict=True)))
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
            logger.warning(
                "reference log-probabilities are computed again: %s cannot be read (%s)",
                path,
                error,
            )
            return None


def _checksum(logprobs: torch.Tensor, metadata: Mapping[str, str]) -> str:
    named = json.dumps([metadata["identity"], metadata["names"], metadata["lengths"]])
    return f"{zlib.crc32(logprobs.numpy().tobytes(), zlib.crc32(named.encode())):08x}"


def _ended(left: Path) -> bool:
    """Whether the process of this machine that began a file is gone."""
    host, _, pid = left.name.removesuffix(".partial").rpartition("-")
    if not host.endswith(f".{socket.gethostname()}") or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def compute_reference(
    model: Any,
    groups: Sequence[EncodedGroup],
    *,
    forward: Forward,
    budget: Budget,
    context: Callable[[], AbstractContextManager[object]],
    on_groups: Callable[[int], None],
    processes: Processes | None = None,
) -> ReferenceLogprobs:
    """Forwards every response once, without gradients; several processes share the work.

    Args:
        model: The model at the start of the round.
        groups: All groups of the training.
        forward: How the model is run.
        budget: What goes through the model at once.
        context: The context of a forward pass, as in training.
        on_groups: Called with the number of groups done before each forward pass and at the
            end; may raise to stop.
        processes: Those that train; None: this one.
    """
    processes = processes or Processes()
    was_training = model.training
    model.eval()
    rows: dict[str, torch.Tensor] = {}
    try:
        micro_batches = plan_micro_batches(groups, budget)
        done = 0
        for turn in share(micro_batches, processes.count, processes.place):
            on_groups(min(done, len(groups)))
            done += len(turn.work.groups) * processes.count
            if turn.counts:
                with torch.no_grad(), context(), forwarding(model, forward):
                    found = [forward(model, parts) for parts in turn.work.passes]
                rows.update(zip(_names(turn.work.groups), _cut(found), strict=True))
    finally:
        model.train(was_training)
    on_groups(len(groups))
    return ReferenceLogprobs(processes.union(rows))


def _cut(found: Sequence[ResponseLogprobs]) -> list[torch.Tensor]:
    """(|y|,) log-probabilities for each response."""
    return [
        row[:length].float().cpu().clone()
        for each in found
        for row, length in zip(each.logprobs, each.mask.sum(-1).long().tolist(), strict=True)
    ]


def _names(groups: Sequence[EncodedGroup]) -> list[str]:
    return [f"{group.prompt_id}\t{response}" for group in groups for response in group.response_ids]
