"""The configuration file of accelerate that a recipe names, looked at before anything is sampled.

Training reads it, as the last stage of a round. Only what would stop it there is looked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["accelerate_problem"]


def accelerate_problem(path: str) -> str | None:
    """Why training cannot be started with a file, and what to do; None if nothing is known."""
    advice = "`accelerate config --config_file FILE` writes one"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"there is no file {path}. {advice}"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}. {advice}"
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        content = None
    if not isinstance(content, Mapping) or "distributed_type" not in content:
        return f"{path} is no configuration of accelerate: it says no distributed_type. {advice}"
    if content["distributed_type"] == "DEEPSPEED" and not importlib.util.find_spec("deepspeed"):
        return f"{path} asks for DeepSpeed, which is not installed. Try: pip install deepspeed"
    return None
