"""Converts a GGUF file to a safetensors folder, once a machine.

transformers reads GGUF by dequantising every tensor, which takes half a minute even for a small
model, and a model read so refuses to be saved. The converted folder loads in a second, and any
other tool can read it.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from spa.models.cache import cache_folder, file_sha256

__all__ = ["converted_folder"]

SCHEME = 1  # raise when the conversion changes, so that old folders are not taken for new ones

logger = logging.getLogger(__name__)


def converted_folder(file: Path) -> Path:
    """The safetensors folder made from ``file``; converts it if that has not been done yet."""
    name = f"{file.stem}-{file_sha256(file)[:12]}-v{SCHEME}"
    folder = cache_folder() / "models" / name
    if (folder / "config.json").is_file():
        return folder
    logger.info("Converting %s to safetensors, once: %s", file.name, folder)
    temporary = folder.with_name(f"{name}.{os.getpid()}.tmp")
    try:
        _convert(file, temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _convert(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.mkdir(parents=True)
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # The tensors are dequantised already; only the record of how they were read stands in the way.
    model.hf_quantizer = None  # type: ignore[assignment]  # torch types attributes as tensors
    del model.config.quantization_config
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
