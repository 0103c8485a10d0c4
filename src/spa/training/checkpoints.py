"""Checkpoints on disk: which one to go on from, and whether it belongs to this training."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spa.contracts import Loss
from spa.errors import RunError
from spa.fields import NotInKey
from spa.training.encoding import EncodedGroup

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = [
    "CheckpointKind",
    "checkpoint_kind",
    "claim_folder",
    "last_complete",
    "same_training",
    "seal_checkpoint",
    "training_identity",
]

logger = logging.getLogger(__name__)

_SEAL = "checksums.json"
_BLOCK = 1 << 20
_IDENTITY_FILE = "training.json"
_NAME = re.compile(r"checkpoint-(\d+)\Z")

CheckpointKind = Literal["plain", "fsdp", "deepspeed"]

# DeepSpeed writes "latest" last. FSDP's optimizer is whole, or a folder of shards.
_OPTIMIZERS: Mapping[CheckpointKind, tuple[str, ...]] = {
    "plain": ("optimizer.pt",),
    "deepspeed": ("latest",),
    "fsdp": ("optimizer.bin", "optimizer_*"),
}
_WRITERS: Mapping[CheckpointKind, str] = {
    "plain": "a training without sharding",
    "deepspeed": "DeepSpeed",
    "fsdp": "FSDP",
}


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
    except ValueError:  # who holds the folder can't be told, so nothing in it is gone on from
        logger.warning("%s is damaged: training begins anew. Is the disk sound?", path)
        shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)
        (output_dir / "result.json").unlink(missing_ok=True)
        path.unlink()
        claim_folder(output_dir, identity)
        return
    changed = sorted(name for name in identity if found.get(name) != identity[name])
    if changed:
        raise RunError(
            f"{output_dir} holds another training, with other {', '.join(changed)}. "
            "Use another folder, or delete it to train anew."
        )


def same_training(folder: Path, identity: Mapping[str, str]) -> bool:
    """Whether a folder is marked as this very training's; False where that cannot be read."""
    try:
        found = json.loads((folder / _IDENTITY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == dict(identity))


def last_complete(folder: Path, kind: CheckpointKind = "plain") -> Path | None:
    """The checkpoint with most steps that was written to its end; torn ones are removed.

    Args:
        folder: Where the checkpoints are.
        kind: What this training can go on from.

    Raises:
        RunError: If the checkpoint is of another kind.
    """
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := _NAME.match(path.name))
    ]
    for _, path in sorted(found, reverse=True):
        theirs = checkpoint_kind(path)
        if theirs == kind:
            return path
        if theirs is not None:
            raise RunError(
                f"{path} was written by {_WRITERS[theirs]}, and cannot be gone on from by "
                f"{_WRITERS[kind]}. Set train.accelerate as it was, or delete {folder} to train "
                "anew."
            )
        shutil.rmtree(path)
    return None


def checkpoint_kind(checkpoint: Path) -> CheckpointKind | None:
    """What wrote a checkpoint; None if it was not written to its end, or was damaged since.

    transformers writes the trainer's state last, and `seal_checkpoint` the checksums after it.
    """
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (damaged := _damaged(checkpoint)) is not None:
        logger.warning(
            "%s is not what was written: training goes on from an earlier checkpoint, or begins "
            "anew. Is the disk sound?",
            damaged,
        )
        return None
    for kind, names in _OPTIMIZERS.items():
        if any(next(checkpoint.glob(name), None) is not None for name in names):
            return kind
    return None


def seal_checkpoint(checkpoint: Path) -> None:
    """Notes size and checksum of every file of a checkpoint, so that damage is found out.

    Raises:
        OSError: If the disk is full.
    """
    files = sorted(each for each in checkpoint.rglob("*") if each.is_file())
    sums = {each.relative_to(checkpoint).as_posix(): _checksum(each) for each in files}
    temporary = checkpoint / f"{_SEAL}.partial"
    temporary.write_text(json.dumps(sums, indent=1), encoding="utf-8")
    temporary.replace(checkpoint / _SEAL)


def _damaged(checkpoint: Path) -> Path | None:
    """The first file that is not what was sealed; None also where nothing was sealed."""
    seal = checkpoint / _SEAL
    if not seal.is_file():
        return None
    try:
        sums: dict[str, list[int]] = dict(json.loads(seal.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return seal
    for name, wanted in sums.items():
        try:
            if _checksum(checkpoint / name) != wanted:
                return checkpoint / name
        except OSError:
            return checkpoint / name
    return None


def _checksum(path: Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]
