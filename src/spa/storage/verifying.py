"""Whether the store holds what was written: checksums, and what can be read without them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spa.engine.checksums import CHECKSUMS, file_checksum, is_sealed
from spa.engine.keys import SHORT_KEY
from spa.engine.lines import unseal
from spa.engine.lock import writer_lock
from spa.errors import RunError
from spa.storage.layout import ANSWERS, DAMAGED, Kind, kind_of

__all__ = ["Check", "Damage", "Verdict", "set_aside", "verify_folder"]

Verdict = Literal["sound", "no checksum", "unfinished", "damaged"]
_HEADER = 100 << 20
"""Most bytes of a safetensors header, as the format has it."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        file: The file, from the folder of runs on.
        problem: What is wrong with it.
        advice: What to do.
    """

    file: Path
    problem: str
    advice: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.file}: {self.problem}. {self.advice}"


@dataclass(frozen=True, slots=True)
class Check:
    """What came of a folder.

    Attributes:
        folder: The folder.
        kind: What it holds.
        verdict: ``sound``: everything has a checksum, and it is right. ``no checksum``: it could
            be read, but some of it was written without one. ``unfinished``: a stage without its
            end, sound so far.
        damage: What is wrong.
    """

    folder: Path
    kind: Kind
    verdict: Verdict
    damage: tuple[Damage, ...] = ()

    @property
    def can_be_set_aside(self) -> bool:
        """Whether the folder as a whole must be made anew."""
        return self.verdict == "damaged" and (self.folder / "stage.json").is_file()


def verify_folder(folder: Path) -> Check:
    """Reads everything in a folder of the store; changes nothing."""
    kind = kind_of(folder.name)
    if folder.name.startswith("answers-"):
        return _answers(folder, kind)
    if folder.name.startswith("reference-"):
        return _reference(folder, kind)
    if not (folder / "stage.json").is_file():
        return _unfinished(folder, kind)
    return _committed(folder, kind)


def set_aside(folder: Path) -> Path:
    """Renames a folder, so that the next run makes it anew and nothing is lost; returns where.

    Raises:
        RunError: If somebody is writing there, or it cannot be renamed.
    """
    number = 1
    while (aside := folder.with_name(f"{DAMAGED}{folder.name}.{number}")).exists():
        number += 1
    with writer_lock(folder):
        try:
            folder.rename(aside)
        except OSError as error:
            raise RunError(f"{folder} cannot be set aside: {error.strerror or error}") from error
    (aside / "writer.lock").unlink(missing_ok=True)
    return aside


def _committed(folder: Path, kind: Kind) -> Check:
    marker_file = folder / "stage.json"
    try:
        marker: dict[str, Any] = json.loads(marker_file.read_text(encoding="utf-8"))
        sealed = is_sealed(marker)
        sums: Mapping[str, str] = dict(marker.get(CHECKSUMS) or {})
    except (OSError, ValueError, AttributeError, TypeError) as error:
        damage = Damage(marker_file, f"cannot be read ({error})", _anew(kind))
        return Check(folder, kind, "damaged", (damage,))
    found: list[Damage] = []
    if sealed is False:
        found.append(Damage(marker_file, "is not as it was written", _anew(kind)))
    key = marker.get("key")
    if isinstance(key, str) and not folder.name.endswith(f"-{key[:SHORT_KEY]}"):
        found.append(
            Damage(marker_file, f"is of another folder, with key {key[:SHORT_KEY]}", _anew(kind))
        )
    for name, expected in sums.items():
        found += _compared(folder / name, expected, kind)
    if not found and not sums:
        found += _read(folder, marker, kind)
    verdict: Verdict = "sound" if sealed and sums else "no checksum"
    return Check(folder, kind, "damaged" if found else verdict, tuple(found))


def _compared(file: Path, expected: str, kind: Kind) -> Iterator[Damage]:
    try:
        if file_checksum(file) != expected:
            yield Damage(file, "is not what was written: its checksum differs", _anew(kind))
    except FileNotFoundError:
        yield Damage(file, "is gone", _anew(kind))
    except OSError as error:
        yield Damage(file, f"cannot be read ({error.strerror})", _anew(kind))


def _read(folder: Path, marker: Mapping[str, Any], kind: Kind) -> Iterator[Damage]:
    """What can be found out about a stage that was committed without checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = folder / "data.parquet"
    if "rows" in marker:
        try:
            with pq.ParquetFile(data) as file:
                rows = sum(batch.num_rows for batch in file.iter_batches(4096))
        except (OSError, ValueError, pa.ArrowException) as error:
            yield Damage(data, f"cannot be read ({error})", _anew(kind))
        else:
            if rows != marker["rows"]:
                yield Damage(data, f"has {rows} rows instead of {marker['rows']}", _anew(kind))
    for weights in folder.rglob("*.safetensors"):
        if (problem := _weights_problem(weights)) and "checkpoints" not in weights.parts:
            yield Damage(weights, problem, _anew(kind))


def _answers(folder: Path, kind: Kind) -> Check:
    advice = "They are left out when they are read, and only those requests are asked again"
    return _lines(folder / ANSWERS, folder, kind, "sound", advice)


def _unfinished(folder: Path, kind: Kind) -> Check:
    advice = "They are left out when the stage goes on, and only what they held is done again"
    return _lines(folder / ANSWERS, folder, kind, "unfinished", advice)


def _lines(file: Path, folder: Path, kind: Kind, verdict: Verdict, advice: str) -> Check:
    """Checks sealed lines. A last line without its end is no damage: it is cut off at opening."""
    bad: list[int] = []
    if file.is_file():
        try:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.endswith(b"\n") and unseal(line[:-1]) is None:
                        bad.append(number)
        except OSError as error:
            damage = Damage(file, f"cannot be read ({error.strerror})", "Is the disk sound?")
            return Check(folder, kind, "damaged", (damage,))
    if not bad:
        return Check(folder, kind, verdict)
    shown = ", ".join(map(str, bad[:_SHOWN])) + (" and more" if len(bad) > _SHOWN else "")
    count = "1 line is" if len(bad) == 1 else f"{len(bad)} lines are"
    damage = Damage(file, f"{count} damaged (line {shown})", f"{advice}. Is the disk sound?")
    return Check(folder, kind, "damaged", (damage,))


def _reference(folder: Path, kind: Kind) -> Check:
    file = folder / "logprobs.safetensors"
    if not file.is_file():
        return Check(folder, kind, "unfinished")
    if problem := _weights_problem(file):
        damage = Damage(file, problem, "Delete the folder: a training computes it again")
        return Check(folder, kind, "damaged", (damage,))
    return Check(folder, kind, "no checksum")


def _weights_problem(file: Path) -> str:
    """What is wrong with the form of a safetensors file; empty if nothing is. Loads no weights."""
    try:
        with file.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            if length > _HEADER:
                return "is no safetensors file"
            header: dict[str, Any] = json.loads(content.read(length))
            size = content.seek(0, 2)
        ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        return f"cannot be read as safetensors ({error})"
    return "" if size == expected else f"has {size} bytes instead of {expected}"


def _anew(kind: Kind) -> str:
    made = {
        "training": "and run the recipe again: it trains anew",
        "judge check": "and check the judge again: answers that are sound are not asked again",
    }
    how = made.get(kind, "and run the recipe again: answers that are sound are not asked again")
    return f"Set the folder aside with --set-aside, {how}"
