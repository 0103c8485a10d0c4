"""Reward soup: the weighted mean of adapters, which were trained for one objective each.

It stands in the place of a training (Rewarded Soups, arXiv 2306.04488). With ``W_0`` the weights
below the adapters and ``s_i B_i A_i`` what adapter i adds to them, the mean of the models is

    sum_i a_i (W_0 + s_i B_i A_i)  =  W_0 + sum_i (a_i s_i B_i) A_i,    sum_i a_i = 1.

The sum of products is one product again, of the matrices side by side: its rank is the sum of
their ranks, and nothing is approximated. The mean of the ``A_i`` times the mean of the ``B_i``
would be another model.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from spa.errors import RunError
from spa.training.outcome import TrainResult
from spa.training.saving import write_folder

if TYPE_CHECKING:
    from spa.recipe.sections import SoupSettings

__all__ = ["make_soup", "mixed"]

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_DOWN, _UP = "lora_A.weight", "lora_B.weight"
_PLAIN: Mapping[str, Any] = {
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_dora": False,
}
"""Settings of an adapter that adds a product of two matrices of one rank to layers, no more."""


def make_soup(settings: SoupSettings, output_dir: Path, card: str) -> TrainResult:
    """Writes the mean of adapters as an adapter.

    Args:
        settings: Which adapters, and their shares.
        output_dir: Folder of the training that this stands for; gets ``adapter``.
        card: The adapter's README.md.

    Raises:
        RunError: If one is no plain LoRA adapter, or they are not of the same layers and model.
    """
    started = time.monotonic()
    read = [_read(Path(folder)) for folder in settings.adapters]
    first_folder, (first, _) = settings.adapters[0], read[0]
    for folder, (config, weights) in zip(settings.adapters[1:], read[1:], strict=True):
        if config["base_model_name_or_path"] != first["base_model_name_or_path"]:
            raise RunError(
                f"train.soup: {folder} is an adapter of {config['base_model_name_or_path']}, and "
                f"{first_folder} one of {first['base_model_name_or_path']}. "
                "Only adapters of one model can be averaged."
            )
        if weights.keys() != read[0][1].keys():
            raise RunError(
                f"train.soup: {folder} and {first_folder} are not adapters of the same layers. "
                "Train both with the same train.lora.target_modules."
            )
    scales = [share * _scale(c) for share, (c, _) in zip(settings.shares, read, strict=True)]
    weights = mixed([weights for _, weights in read], scales)
    rank = sum(int(config["r"]) for config, _ in read)
    config = {**first, "r": rank, "lora_alpha": rank, "use_rslora": False, "lora_dropout": 0.0}

    def write(folder: Path) -> None:
        (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / "README.md").write_text(card, encoding="utf-8")

    path = output_dir / "adapter"
    write_folder(path, write)
    return TrainResult(
        path=path,
        kind="adapter",
        steps=0,
        history=(),
        dropped={},
        retokenised=0,
        warnings=(),
        seconds=time.monotonic() - started,
    )


def mixed(adapters: list[dict[str, torch.Tensor]], scales: list[float]) -> dict[str, torch.Tensor]:
    """One adapter whose product is the weighted sum of the products of several.

    Args:
        adapters: Name to matrix, the same names in each: A (rank, in) and B (out, rank).
        scales: The weight of each product.

    Returns:
        Name to matrix in fp32, to be applied with scale 1.
    """
    found = {}
    for name in adapters[0]:
        parts = [adapter[name].float() for adapter in adapters]
        if name.endswith(_DOWN):
            found[name] = torch.cat(parts, dim=0)
        else:
            scaled = [scale * part for scale, part in zip(scales, parts, strict=True)]
            found[name] = torch.cat(scaled, dim=1)
    return {name: matrix.contiguous() for name, matrix in found.items()}


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise RunError(
            f"train.soup: {folder} cannot be read as a LoRA adapter: {error}. A run's last lines "
            "name the folder of its adapter."
        ) from error
    special = sorted(k for k, plain in _PLAIN.items() if (config.get(k) or plain) != plain)
    other = sorted(name for name in weights if not name.endswith((_DOWN, _UP)))
    if config.get("peft_type") != "LORA" or special or other:
        what = ", ".join((*special, *other[:1])) or f"peft_type {config.get('peft_type')}"
        raise RunError(
            f"train.soup: {folder} is not a plain LoRA adapter ({what}), so its update is no "
            "product of two matrices. Average adapters that spa has trained."
        )
    return config, weights


def _scale(config: dict[str, Any]) -> float:
    """What peft multiplies the product of an adapter's matrices by."""
    rank = int(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
