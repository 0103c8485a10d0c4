"""Tells one model from another, for cache keys, without loading weights."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

from spa.errors import SpaError
from spa.models.cache import file_sha256
from spa.models.loading import LFS_HINT, device_kind
from spa.models.location import is_hub_name, local_path
from spa.models.spec import ModelSpec

__all__ = [
    "checkpoint_dtype",
    "fingerprint",
    "fingerprint_parts",
    "folder_fingerprint",
    "model_type",
    "parameter_count",
    "tokenizer_fingerprint",
]

_TOKENIZER_FILES = frozenset(
    {
        "added_tokens.json", "chat_template.json", "merges.txt", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt",
    }
)  # fmt: skip
_SUFFIXES = frozenset({".json", ".jinja", ".safetensors", ".model", ".txt", ".py"})


def fingerprint(spec: ModelSpec) -> str:
    """Hash over weights, configuration, tokenizer, chat template, adapter and dtype.

    The path is not part of it: a model that was moved is the same model. The dtype is the one
    that computes: ``auto`` on a CPU and ``auto`` on an accelerator are two models.

    Raises:
        SpaError: If the model's files cannot be found, or there is no such dtype.
    """
    base = (
        _hub_commit(spec.path)
        if is_hub_name(spec.path)
        else folder_fingerprint(local_path(spec.path))
    )
    adapter = folder_fingerprint(Path(spec.adapter)) if spec.adapter else "none"
    return hashlib.sha256(f"{base}|{adapter}|{_computing_dtype(spec)}".encode()).hexdigest()


def fingerprint_parts(spec: ModelSpec) -> dict[str, str]:
    """What `fingerprint` covers, each by itself, so that one can say which of it changed.

    Returns:
        Hashes by name: ``weights``, ``config``, ``tokenizer``, ``chat template``, ``adapter`` and,
        as it is, ``dtype``; of a model of the hub its commit in place of the first four.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    adapter = folder_fingerprint(Path(spec.adapter)) if spec.adapter else "none"
    rest = {"adapter": adapter, "dtype": _computing_dtype(spec)}
    if is_hub_name(spec.path):
        return {"commit": _hub_commit(spec.path), **rest}
    folder = local_path(spec.path)
    parts: dict[str, list[str]] = {
        "weights": [],
        "config": [],
        "tokenizer": [],
        "chat template": [],
    }
    try:
        for file in sorted(f for f in folder.glob("*") if f.is_file() and f.suffix in _SUFFIXES):
            if file.name != "tokenizer_config.json":  # it may hold the chat template, too
                parts[_part_of(file, folder)].append(f"{file.name} {file_sha256(file)}")
        template, others = _tokenizer_config(folder / "tokenizer_config.json")
    except OSError as error:
        raise SpaError(_unreadable(error, folder)) from error
    parts["chat template"].append(template)
    parts["tokenizer"].append(others)
    hashed = {
        name: hashlib.sha256("\n".join(lines).encode()).hexdigest() for name, lines in parts.items()
    }
    return {**hashed, **rest}


def _part_of(file: Path, folder: Path) -> str:
    """The part of a model that a file belongs to."""
    if file.suffix == ".jinja" or file.name == "chat_template.json":
        return "chat template"
    if _of_tokenizer(file, folder):
        return "tokenizer"
    return "weights" if file.suffix == ".safetensors" else "config"


def folder_fingerprint(folder: Path) -> str:
    """Hash over names and contents of the files of a model or adapter folder.

    Raises:
        SpaError: If the folder holds none, or one may not be read.
    """
    files = sorted(f for f in folder.glob("*") if f.is_file() and f.suffix in _SUFFIXES)
    if not files:
        raise SpaError(f"{folder} holds no model or adapter files.")
    try:
        lines = "\n".join(f"{file.name} {file_sha256(file)}" for file in files)
    except OSError as error:
        raise SpaError(_unreadable(error, folder)) from error
    return hashlib.sha256(lines.encode()).hexdigest()


def parameter_count(spec: ModelSpec) -> int | None:
    """Number of parameters, read off the headers of a local folder's weights; None for others.

    Raises:
        SpaError: If a file of weights is damaged or may not be read.
    """
    from safetensors import SafetensorError, safe_open

    if is_hub_name(spec.path):
        return None
    count = 0
    for file in sorted(local_path(spec.path).glob("*.safetensors")):
        try:
            with file.open("rb"):  # safetensors says "no such file" where it may not read one
                pass
            with safe_open(file, framework="numpy") as weights:
                names = list(weights.keys())
                count += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
        except OSError as error:
            raise SpaError(_unreadable(error, file)) from error
        except SafetensorError as error:
            raise SpaError(f"{file} cannot be read as safetensors: {error}. {LFS_HINT}") from error
    return count or None


def model_type(spec: ModelSpec) -> str | None:
    """What ``config.json`` names the architecture, for example ``"llama"``; None if nothing.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    return _configured(spec, "model_type")


def checkpoint_dtype(spec: ModelSpec) -> str | None:
    """The number format that ``config.json`` names, for example ``"bfloat16"``; None if nothing.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    return _configured(spec, "dtype") or _configured(spec, "torch_dtype")


def tokenizer_fingerprint(spec: ModelSpec) -> str:
    """Hash over what turns conversations into token ids: tokenizer and chat template alone.

    Models with the same one exchange token ids. A folder's files count, whatever its weights are;
    a model of the hub is the same as another only in the same commit.

    Raises:
        SpaError: If the model's files cannot be found.
    """
    if is_hub_name(spec.path):
        return hashlib.sha256(_hub_commit(spec.path).encode()).hexdigest()
    folder = local_path(spec.path)
    files = sorted(f for f in folder.rglob("*") if f.is_file() and _of_tokenizer(f, folder))
    if not files:
        raise SpaError(f"{folder} holds no tokenizer files.")
    try:
        lines = "\n".join(f"{file.relative_to(folder)} {file_sha256(file)}" for file in files)
    except OSError as error:
        raise SpaError(_unreadable(error, folder)) from error
    return hashlib.sha256(lines.encode()).hexdigest()


def _of_tokenizer(file: Path, folder: Path) -> bool:
    beside = file.parent == folder
    further = file.parent.name == "additional_chat_templates" and file.suffix == ".jinja"
    return further or (
        beside
        and (file.name in _TOKENIZER_FILES or file.suffix in {".jinja", ".model", ".tiktoken"})
    )


def _tokenizer_config(file: Path) -> tuple[str, str]:
    """The chat template in a tokenizer's settings, and the rest of them; both as text."""
    if not file.is_file():
        return "", ""
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        settings = json.loads(text)
        template = settings.pop("chat_template", None)
    except (ValueError, AttributeError):
        return "", text
    return json.dumps(template), json.dumps(settings, sort_keys=True)


def _computing_dtype(spec: ModelSpec) -> str:
    """The dtype of `spa.models.loading.pick_dtype` as text, without importing torch.

    Raises:
        SpaError: If there is no such dtype.
    """
    names = ("float32", "bfloat16", "float16")
    if spec.dtype in names:
        return f"torch.{spec.dtype}"
    if spec.dtype != "auto":
        raise SpaError(f"unknown dtype {spec.dtype!r}. Valid: auto, {', '.join(names)}.")
    return "torch.float32" if device_kind(spec) == "cpu" else "auto"


def _configured(spec: ModelSpec, key: str) -> str | None:
    """A text in ``config.json``; None if there is none."""
    file = (
        _hub_config(spec.path) if is_hub_name(spec.path) else local_path(spec.path) / "config.json"
    )
    try:
        named = json.loads(Path(file).read_text(encoding="utf-8")).get(key)
    except (OSError, ValueError, AttributeError):  # loading the model says more
        return None
    return named if isinstance(named, str) else None


def _unreadable(error: OSError, path: Path) -> str:
    return (
        f"{error.filename or path} cannot be read: {error.strerror or error}. Make it readable, or "
        "give the path of another model."
    )


def _hub_commit(name: str) -> str:
    from transformers.utils.hub import extract_commit_hash

    commit = extract_commit_hash(_hub_config(name), None)
    return f"{name}@{commit}"


def _hub_config(name: str) -> str:
    from transformers.utils.hub import cached_file

    try:
        return str(cached_file(name, "config.json"))
    except OSError as error:
        raise SpaError(
            f"model {name!r}: neither a local folder nor reachable on the Hugging Face hub.\n"
            "Check the spelling; offline, give the path of a folder that holds the model."
        ) from error
