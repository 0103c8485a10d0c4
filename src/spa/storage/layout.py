"""What may lie in a store: names of folders and files, and what they are."""

from __future__ import annotations

import posixpath
import re
from typing import Literal

from spa.engine.judge_check import STAGES as CHECK_STAGES
from spa.engine.keys import KEY_FILE
from spa.engine.places import STORE
from spa.training.outcome import REFERENCE_NOTE

__all__ = [
    "ANSWERS",
    "DAMAGED",
    "REMOVING",
    "Kind",
    "base_name",
    "beside_run",
    "is_archived",
    "is_folder_name",
    "is_run_name",
    "kind_of",
    "place_in_store",
]

Kind = Literal["stage", "answers", "training", "reference", "judge check", "set aside", "unknown"]

ANSWERS = "part-00000.jsonl"
"""The file of raw answers in their folder; the same name as of rows while a stage runs."""

REMOVING = "removing."
DAMAGED = "damaged."
"""Beginnings of the names of folders that are on their way out, or were set aside."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,60}-[0-9a-f]{16}")
_RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ +=,@-]{0,120}")
_OF_CHECKS = tuple(f"{name}-" for name in ("judge-check", *CHECK_STAGES))
_MODEL_FILE = re.compile(
    r"(?:adapter|model)/(?:[A-Za-z0-9._-]+\.(?:safetensors|json|jinja|txt|model|md)"
    r"|chat_templates/[A-Za-z0-9._-]+\.jinja)"
)
_FILES: dict[Kind, frozenset[str]] = {
    "stage": frozenset({"stage.json", KEY_FILE, "data.parquet", "failures.jsonl"}),
    "answers": frozenset({ANSWERS}),
    "training": frozenset({"stage.json", KEY_FILE, "result.json", "training.json", REFERENCE_NOTE}),
    "reference": frozenset({"logprobs.safetensors"}),
    "judge check": frozenset(
        {"stage.json", KEY_FILE, "result.json", "data.parquet", "failures.jsonl"}
    ),
}


def is_folder_name(name: str) -> bool:
    """Whether a folder of the store may be called so."""
    return _NAME.fullmatch(name) is not None


def is_run_name(name: str) -> bool:
    """Whether a run that comes from elsewhere may be called so: one plain folder, not the store."""
    return _RUN.fullmatch(name) is not None and name.casefold() != STORE


def kind_of(name: str) -> Kind:
    """What a folder of the store holds, by its name."""
    if name.startswith((REMOVING, DAMAGED)):
        return "set aside"
    if not is_folder_name(name):
        return "unknown"
    if name.removeprefix("answers-").startswith(_OF_CHECKS):
        return "judge check"
    for kind, beginning in (("answers", "answers-"), ("training", "train-")):
        if name.startswith(beginning):
            return kind  # type: ignore[return-value]  # both are kinds
    return "reference" if name.startswith("reference-") else "stage"


def base_name(name: str) -> str:
    """The name of a folder before it was set aside."""
    return re.sub(r"\.\d+\Z", "", name.removeprefix(REMOVING).removeprefix(DAMAGED))


def place_in_store(path: str) -> tuple[str, str] | None:
    """Folder of the store and what is in it, of a path in a manifest; None if it is no such path.

    Args:
        path: From the run's folder on, to the store beside it or to one inside of it.
    """
    beside = posixpath.normpath(path).removeprefix("../")
    top, _, rest = beside.partition("/")
    folder, _, last = rest.partition("/")
    plain = top == STORE and is_folder_name(folder) and last not in ("", "..") and "/" not in last
    return (folder, last) if plain else None


def beside_run(path: str) -> str:
    """A path in a manifest as it is where the store lies beside the run; others as they are."""
    place = place_in_store(path)
    return path if place is None else f"../{STORE}/{'/'.join(place)}"


def is_archived(folder: str, file: str) -> bool:
    """Whether a file belongs into an archive: what is needed of it, and no code or pickle.

    Checkpoints are left out: their optimizer's state is a pickle of Python objects.

    Args:
        folder: A folder of the store, by name.
        file: The file's path in it, with ``/``.
    """
    kind = kind_of(folder)
    if kind == "judge check" and folder.startswith("answers-"):
        kind = "answers"
    if kind == "training" and _MODEL_FILE.fullmatch(file):
        return ".." not in file
    return file in _FILES.get(kind, ())
