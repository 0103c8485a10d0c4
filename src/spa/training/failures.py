"""Turns what goes wrong outside spa while training into errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from spa.errors import RunError

__all__ = ["readable_failures"]


_STREAMS = ("PytorchStreamWriter", "inline_container", "iostream error")


@contextmanager
def readable_failures(folder: Path) -> Iterator[None]:
    """Turns a full disk, a folder that cannot be written and too little memory into `RunError`.

    Args:
        folder: Where training writes, for the message.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            "training needs more GPU memory than there is. Set a smaller train.micro_tokens with "
            "train.two_phase: true, or train.gradient_checkpointing: true, which do not change the "
            "result, or a smaller train.max_length, which leaves out longer responses. Finished "
            "steps are kept up to the last checkpoint."
        ) from error
    except (OSError, SafetensorError) as error:
        raise RunError(
            _unwritable(folder, getattr(error, "strerror", None) or str(error))
        ) from error
    except RuntimeError as error:
        # torch.save reports a full disk as a plain RuntimeError of its stream writer, or of C++.
        if any(sign in str(error) for sign in _STREAMS):
            raise RunError(
                _unwritable(folder, "checkpoint not written, the disk may be full")
            ) from error
        raise


def _unwritable(folder: Path, reason: str) -> str:
    return (
        f"training could not write to {folder}: {reason}. Free some space and run again to go on."
    )
