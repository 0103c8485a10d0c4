"""What this machine computes with: the accelerator and the processor that torch finds.

Importing torch takes seconds, and a model's fingerprint needs only these two facts. So they are
remembered, and a process without torch, such as one that plans a run, takes what was found before
on a machine that looks the same. Where torch is imported it is asked.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

from spa.models.cache import cache_folder

__all__ = ["computes_bfloat16", "has_accelerator"]

_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


def has_accelerator() -> bool:
    """Whether there is an accelerator that ``device: auto`` takes."""
    return _facts()["accelerator"]


def computes_bfloat16() -> bool:
    """Whether this machine's processor has instructions for products in bfloat16."""
    return _facts()["bfloat16"]


def _facts() -> dict[str, bool]:
    memo = cache_folder() / "machine" / f"{_looks()}.json"
    if "torch" not in sys.modules:
        try:
            known = json.loads(memo.read_text(encoding="ascii"))
            return {name: bool(known[name]) for name in ("accelerator", "bfloat16")}
        except (OSError, ValueError, LookupError, TypeError):
            pass
    found = _found()
    _remember(memo, found)
    return found


def _found() -> dict[str, bool]:
    import torch

    able = torch.cpu.get_capabilities()
    return {
        "accelerator": torch.cuda.is_available(),
        "bfloat16": any(able.get(name, False) for name in _BFLOAT16),
    }


def _remember(memo: Path, found: dict[str, bool]) -> None:
    text = json.dumps(found)
    try:
        if memo.is_file() and memo.read_text(encoding="ascii") == text:
            return
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary = memo.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(memo)
    except OSError:
        pass  # a cache that cannot be written costs time, never the run


def _looks() -> str:
    """A hash of what changes when another torch, driver, accelerator or processor is there."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = "none"
    devices = sorted(str(each) for each in Path("/dev").glob("nvidia*"))
    seen = {
        "torch": torch,
        "python": sys.prefix,
        "host": platform.node(),
        "processor": _flags(),
        "driver": _content("/proc/driver/nvidia/version"),
        "devices": [*devices, os.path.exists("/dev/kfd")],  # noqa: PTH110
        "variables": [os.environ.get(name) for name in _VARIABLES],
    }
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _flags() -> str:
    """What the first processor can do; on systems that do not tell, its name."""
    for line in _content("/proc/cpuinfo").splitlines():
        if line.startswith(("flags", "Features")):
            return line
    return platform.processor()


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
