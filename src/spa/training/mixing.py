"""Mixes LoRA adapters of one base model into one: the weighted sum of what each adds to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spa.errors import RunError
from spa.training.saving import write_folder

__all__ = ["mix_adapters"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_OWN = ("r", "lora_alpha", "target_modules")
"""What may differ between adapters that can be mixed; ``target_modules`` in its order alone."""
_PLAIN = ("rank_pattern", "alpha_pattern", "modules_to_save", "use_dora", "lora_bias")
"""What must not be set: it would be more than A and B."""


def mix_adapters(
    adapters: Sequence[Path], weights: Sequence[float], output: Path, card: str
) -> None:
    """Writes the adapter whose update is ``sum_i w_i (alpha_i / r_i) B_i A_i``.

    That is exact, and not what comes of mixing the A and the B for themselves: the A are stacked
    and the B set side by side, so the rank of the mixture is the sum of the ranks.

    Args:
        adapters: Folders as peft writes them.
        weights: One for each.
        output: Folder to write.
        card: Its README.md.

    Raises:
        RunError: If they do not go together, or the folder cannot be written.
    """
    configs = [json.loads((each / _CONFIG).read_text(encoding="utf-8")) for each in adapters]
    for folder, config in zip(adapters, configs, strict=True):
        _check(folder, config, configs[0])
    rank = sum(config["r"] for config in configs)
    mixed = {**configs[0], "r": rank, "lora_alpha": rank, "use_rslora": False}
    tensors = _stacked(adapters, [w * _scale(c) for w, c in zip(weights, configs, strict=True)])
    write_folder(output, partial(_write, config=mixed, tensors=tensors, card=card))


def _stacked(adapters: Sequence[Path], scales: Sequence[float]) -> dict[str, torch.Tensor]:
    """By name, all A over each other, and all B, scaled, side by side."""
    from safetensors.torch import load_file

    states = [load_file(each / _WEIGHTS) for each in adapters]
    found = {}
    for name, first in states[0].items():
        if any(set(state) != set(states[0]) for state in states):
            raise RunError(f"{_listed(adapters)} adapt different layers, so they cannot be mixed.")
        if name.endswith("lora_A.weight"):
            found[name] = torch.cat([state[name] for state in states], 0)
        elif name.endswith("lora_B.weight"):
            scaled = [state[name].float() * s for state, s in zip(states, scales, strict=True)]
            found[name] = torch.cat(scaled, 1).to(first.dtype)
        else:
            raise RunError(f"{adapters[0]} holds {name}, which is neither A nor B of LoRA.")
    return found


def _write(
    folder: Path, *, config: Mapping[str, Any], tensors: dict[str, torch.Tensor], card: str
) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _check(folder: Path, config: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    if set_ := [name for name in _PLAIN if config.get(name)]:
        raise RunError(f"{folder} sets {', '.join(set_)}: only plain LoRA adapters can be mixed.")
    other = [
        name
        for name in first
        if name not in _OWN and config.get(name) != first[name] and not name.endswith("_dropout")
    ]
    if other or sorted(config["target_modules"]) != sorted(first["target_modules"]):
        names = ", ".join(other or ["target_modules"])
        raise RunError(f"{folder} differs from the others in {names}: they cannot be mixed.")


def _scale(config: Mapping[str, Any]) -> float:
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def _listed(folders: Sequence[Path]) -> str:
    return " and ".join(map(str, folders))
