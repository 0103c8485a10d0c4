"""Converts a GGUF file to a safetensors folder, once a machine.

transformers reads GGUF by dequantising every tensor, which takes half a minute even for a small
model, and a model read so refuses to be saved. The converted folder loads in a second, and any
other tool can read it.
"""

from __future__ import annotations

import logging
import shutil
import struct
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from spa.errors import SpaError
from spa.models.cache import cache_folder, file_sha256

__all__ = ["converted_folder"]

SCHEME = 1  # raise when the conversion changes, so that old folders are not taken for new ones

# What the readers of transformers and gguf raise for files that are damaged or of another kind.
_UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, struct.error,
)  # fmt: skip

logger = logging.getLogger(__name__)


def converted_folder(file: Path) -> Path:
    """The safetensors folder made from ``file``; converts it if that has not been done yet.

    Raises:
        SpaError: If the file is damaged, or the cache folder cannot be written.
    """
    name = f"{file.stem}-{file_sha256(file)[:12]}-v{SCHEME}"
    folder = cache_folder() / "models" / name
    if (folder / "config.json").is_file():
        return folder
    logger.info("Converting %s to safetensors, once: %s", file.name, folder)
    # A name of its own: what a killed process left, or one on another machine, is not in the way.
    temporary = folder.with_name(f"{name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        for part in _read(file):
            part.save_pretrained(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first
                raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpaError(
            f"cannot write {folder}: {reason}. "
            "Set SPA_CACHE to a folder that can be written and has 1 GB free."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _read(file: Path) -> tuple[Any, Any]:
    """Tokenizer and model."""
    try:
        return _from_gguf(file)
    except _UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpaError(
            f"{file} cannot be read as GGUF: {reason}. "
            "Is the file complete, and no git-lfs pointer?"
        ) from error


def _from_gguf(file: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    # Every call below reads the whole file anew unless it is given the config.
    config = AutoConfig.from_pretrained(**where)
    tokenizer = AutoTokenizer.from_pretrained(**where, config=config)
    model = AutoModelForCausalLM.from_pretrained(**where, config=config, dtype=torch.float32)
    # The tensors are dequantised already; only the record of how they were read stands in the way.
    model.hf_quantizer = None  # type: ignore[assignment]  # torch types attributes as tensors
    del model.config.quantization_config
    return tokenizer, model
