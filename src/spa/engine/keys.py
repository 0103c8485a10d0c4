"""Cache keys: two stages with the same key have the same results and share one folder.

A key is the sha256 of canonical JSON over everything that changes results: the component's
qualified name, revision and config, the model's fingerprint, and the keys of the stages it reads.
Config fields marked `NotInKey` are left out, and so are a judge's `Members`: their stages are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from spa.fields import Members, NotInKey

__all__ = [
    "KEY_FILE",
    "SCHEME",
    "SHORT_KEY",
    "SeedsBelow",
    "canonical_json",
    "derive_seed",
    "edition_key",
    "folder_name",
    "key_config",
    "key_record",
    "stage_key",
]

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

SCHEME = 1  # raise when keys are made in another way, so that old folders are not found

SHORT_KEY = 16
"""Hexadecimal digits of a key that stand in the name of its folder."""

KEY_FILE = "key.json"
"""Name of the file beside a stage's rows that says what its key is made of."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return _canonical(value)


def stage_key(stage: str, parts: Mapping[str, Any]) -> str:
    """The key of a stage, 64 hexadecimal digits."""
    text = canonical_json({"scheme": SCHEME, "stage": stage, "parts": parts})
    return hashlib.sha256(text.encode()).hexdigest()


def folder_name(stage: str, key: str) -> str:
    """Name of the folder of a stage in the store."""
    return f"{stage}-{key[:SHORT_KEY]}"


def key_record(
    stage: str, key: str, parts: Mapping[str, Any], model: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `KEY_FILE` says, so that two keys can be told apart by what they are made of.

    Args:
        stage: Name of the stage.
        key: Its key.
        parts: What it is made of.
        model: What the model's fingerprint is made of, by name, where its backend says.
    """
    return {
        "format": 1,
        "scheme": SCHEME,
        "stage": stage,
        "key": key,
        "parts": dict(parts),
        "fingerprint_parts": None if model is None else dict(model),
    }


def edition_key(key: str, edition: int) -> str:
    """The key of an edition of a stage, see `spa.engine.editions`; of edition 0 the stage's own."""
    if not edition:
        return key
    text = canonical_json({"scheme": SCHEME, "edition": edition, "of": key})
    return hashlib.sha256(text.encode()).hexdigest()


def key_config(config: BaseModel) -> dict[str, Any]:
    """A config as JSON values, without the fields that do not change results."""
    dumped = config.model_dump(mode="json")
    kept: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        if any(isinstance(mark, NotInKey | Members) for mark in field.metadata):
            continue
        value = getattr(config, name)
        kept[name] = key_config(value) if isinstance(value, BaseModel) else dumped[name]
    return kept


def derive_seed(seed: int, *place: str | int) -> int:
    """A seed of its own for every place in a run, in [0, 2**63).

    Two places that differ in one part have unrelated seeds; the same place always has the same.
    """
    text = canonical_json([seed, *place])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class SeedsBelow:
    """Seeds of many places that differ in their last part: `derive_seed`, hashing the rest once."""

    def __init__(self, seed: int, *place: str | int) -> None:
        """Takes the run's seed and the place but for its last part."""
        self._shared = hashlib.sha256(canonical_json([seed, *place])[:-1].encode())

    def seed(self, last: int) -> int:
        """``derive_seed(seed, *place, last)``."""
        whole = self._shared.copy()
        whole.update(b",%d]" % last)
        return int.from_bytes(whole.digest()[:8], "big") >> 1
