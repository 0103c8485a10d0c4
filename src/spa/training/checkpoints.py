"""Checkpoints on disk: which one to go on from, and whether it belongs to this training."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.contracts import Loss
from spa.errors import RunError
from spa.fields import NotInKey
from spa.training.encoding import EncodedGroup

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["claim_folder", "is_complete", "last_complete", "training_identity"]

_IDENTITY_FILE = "training.json"
_NAME = re.compile(r"checkpoint-(\d+)\Z")


def training_identity(
    groups: Sequence[EncodedGroup], settings: TrainConfig, loss: Loss, model: str, seed: int
) -> dict[str, str]:
    """What must be the same for a checkpoint to be gone on from, each part as a hash.

    Settings that change only speed, memory or what is kept are left out.

    Args:
        groups: The encoded groups.
        settings: Section ``train``.
        loss: The loss; its class and config count.
        model: Fingerprint of the model at the start of the round.
        seed: The seed in use.
    """
    skipped = {
        name
        for name, field in type(settings).model_fields.items()
        if any(isinstance(item, NotInKey) for item in field.metadata)
    }
    config: Any = getattr(loss, "config", None)
    dumped = config.model_dump(mode="json") if hasattr(config, "model_dump") else repr(config)
    parts: Mapping[str, Any] = {
        "data": [asdict(group) for group in groups],
        "settings": settings.model_dump(mode="json", exclude=skipped | {"seed"}) | {"seed": seed},
        "loss": [type(loss).__module__, type(loss).__qualname__, dumped],
        "model": model,
    }
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()
        for name, part in parts.items()
    }


def claim_folder(output_dir: Path, identity: Mapping[str, str]) -> None:
    """Marks the folder as this training's, or finds it so marked.

    Raises:
        RunError: If the folder holds another training, or cannot be written.
    """
    path = output_dir / _IDENTITY_FILE
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            temporary = path.with_suffix(".partial")
            temporary.write_text(json.dumps(dict(identity), indent=1), encoding="utf-8")
            temporary.replace(path)
            return
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"the training folder {output_dir} cannot be used: {error.strerror or error}"
        ) from error
    changed = sorted(name for name in identity if found.get(name) != identity[name])
    if changed:
        raise RunError(
            f"{output_dir} holds another training, with other {', '.join(changed)}. "
            "Use another folder, or delete it to train anew."
        )


def last_complete(folder: Path) -> Path | None:
    """The checkpoint with most steps that was written to its end; torn ones are removed."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := _NAME.match(path.name))
    ]
    for _, path in sorted(found, reverse=True):
        if is_complete(path):
            return path
        shutil.rmtree(path)
    return None


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: transformers writes the trainer's state last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # A plain one; DeepSpeed's, which writes "latest" last; FSDP's, whole or sharded.
    return any(
        next(checkpoint.glob(name), None) is not None
        for name in ("optimizer.pt", "latest", "optimizer.bin", "optimizer_*")
    )
