"""``run.json``: what was run, with what, and what came of it. Never a secret.

Environment variables are not recorded; recipes hold no keys, as backends read those from the
environment.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spa import __version__

__all__ = ["git_state", "hardware", "read_manifest", "versions"]

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "pluggy",
    "pydantic",
    "pyarrow",
    "numpy",
)
_NEEDED = ("recipe", "recipe_file", "status")


def read_manifest(file: Path) -> dict[str, Any]:
    """What a ``run.json`` says.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a manifest.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    missing = [key for key in _NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"it is no manifest, as it does not say its {missing[0]}")
    manifest: dict[str, Any] = content
    return manifest


def versions() -> dict[str, str]:
    """Versions of spa, Python and the packages that results depend on."""
    found = {"spa-align": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> dict[str, Any]:
    """Processor, memory and accelerators of this machine."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerators": devices,
    }


def git_state(folder: Path) -> Mapping[str, Any] | None:
    """Commit of the folder's repository and whether it has changes; None outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()
