"""Writes models and adapters as safetensors, complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.errors import RunError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["save_adapter", "save_full", "sync", "write_folder"]


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, durable where the file system can.

    Raises:
        OSError: If the disk does not take it.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders, on some network systems
            raise
    finally:
        os.close(opened)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a folder under a temporary name, then renames it.

    Args:
        path: The folder; replaced if it exists, filled if it is empty.
        write: Fills the folder that it is given.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    path = path.resolve()  # "." has no name to add to
    temporary = path.with_name(path.name + ".partial")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
        write(temporary)
        for file in filter(Path.is_file, temporary.rglob("*")):
            sync(file)  # hours of training may be in it
        if path.is_dir() and not any(path.iterdir()):
            # It may be somebody's working directory, so it must stay the same one.
            for item in temporary.iterdir():
                shutil.move(item, path)
            temporary.rmdir()
            return
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
        sync(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}. "
            "Free some space or choose another folder."
        ) from error


State = dict[str, Any] | None


def save_adapter(model: Any, path: Path, card: str, state: State = None) -> None:
    """Writes a PEFT model's adapter with its card.

    Args:
        model: The PEFT model.
        path: Folder to write.
        card: Its README.md.
        state: Its whole state dict, where the model holds only a part of it; None: the model's.
    """

    def write(folder: Path) -> None:
        # False: with "auto" peft asks the model hub about the vocabulary size of the base model.
        model.save_pretrained(
            folder, safe_serialization=True, save_embedding_layers=False, state_dict=state
        )
        (folder / "README.md").write_text(card, encoding="utf-8")

    write_folder(path, write)


def save_full(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    card: str,
    state: State = None,
) -> None:
    """Writes a model, its tokenizer and its card; loads with plain transformers.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        path: Folder to write.
        card: Its README.md.
        state: As in `save_adapter`.
    """

    def write(folder: Path) -> None:
        model.save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")

    write_folder(path, write)
