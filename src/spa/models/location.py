"""Finds the files of a model: a folder on disk, or a name for the hub."""

from __future__ import annotations

from pathlib import Path

from spa.errors import SpaError
from spa.fields import PACKAGE_SCHEME, resolve_path
from spa.models.gguf import converted_folder

__all__ = ["is_hub_name", "local_path", "model_source", "path_problem"]


def is_hub_name(path: str) -> bool:
    """Whether a path can only mean a model on the hub, such as ``org/name``."""
    if path.startswith((PACKAGE_SCHEME, ".", "/", "~")) or Path(path).exists():
        return False
    return path.count("/") <= 1 and not path.endswith(".gguf")


def path_problem(path: str) -> str | None:
    """Why nothing can be loaded from a path, as far as names tell; None for names of the hub."""
    if is_hub_name(path):
        return None
    try:
        found = Path(resolve_path(path, None))
    except ValueError as error:
        return f"model {path!r}: {error}"
    if found.is_file() and found.suffix == ".gguf":
        return None
    if not found.exists():
        return (
            f"model {path!r}: no such file or folder. Give a folder with safetensors weights, a "
            ".gguf file, package:NAME/FILE.gguf, or a name of the Hugging Face hub (org/name)."
        )
    if not (found / "config.json").is_file():
        return f"model {path!r}: {found} holds no config.json, so it is no model folder."
    return None


def local_path(path: str) -> Path:
    """The folder with a model's safetensors files; converts a GGUF file on first use.

    Raises:
        SpaError: If there is no such folder or file, or its package is not installed.
    """
    if problem := path_problem(path):
        raise SpaError(problem)
    found = Path(resolve_path(path, None))
    return converted_folder(found) if found.suffix == ".gguf" and found.is_file() else found


def model_source(path: str) -> str:
    """What transformers' ``from_pretrained`` takes for this path: a folder or a hub name."""
    return path if is_hub_name(path) else str(local_path(path))
