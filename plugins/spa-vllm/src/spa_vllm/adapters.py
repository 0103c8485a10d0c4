"""What vLLM must know of a LoRA adapter before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from spa.api import SpaError
from spa.models.identity import folder_fingerprint
from spa.models.loading import check_adapter
from spa_vllm.engines import Adapter

__all__ = ["RANKS", "rank_for", "read_adapter"]

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM can make room for; an adapter may have any rank up to the one chosen."""


def read_adapter(folder: str) -> Adapter:
    """The adapter in a folder.

    Raises:
        SpaError: If there is none, it is no safetensors file, or not LoRA.
    """
    check_adapter(folder)
    file = Path(folder) / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpaError(
            f"adapter {folder!r} cannot be read: {file.name} is missing or says no rank r "
            f"({error}). Is it a LoRA adapter, as peft saves it?"
        ) from error
    return Adapter(f"adapter-{folder_fingerprint(Path(folder))[:16]}", folder, rank)


def rank_for(*ranks: int) -> int:
    """The least of vLLM's ranks that has room for all of these; 0 for none.

    Raises:
        SpaError: If there is no such rank.
    """
    highest = max(ranks, default=0)
    if highest == 0:
        return 0
    fitting = [rank for rank in RANKS if rank >= highest]
    if not fitting:
        raise SpaError(
            f"an adapter of rank {highest} is more than vLLM takes, {RANKS[-1]} at most. "
            "Use the backend hf, or train with a lower rank."
        )
    return fitting[0]
