"""What an archive of a run says that it holds, checked before anything else of it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spa.engine.uses import FILE as USES
from spa.errors import RunError
from spa.storage.layout import is_archived, is_folder_name, is_run_name
from spa.storage.packing import FORMAT, INDEX, KIND
from spa.storage.tape import TapeReader

__all__ = ["ArchivedFile", "Index", "read_index"]

_MOST_BYTES = 64 << 20
_MOST_FILES = 100_000
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file that the archive must hold.

    Attributes:
        size: In bytes.
        checksum: As `spa.engine.checksums.file_checksum` has it.
    """

    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Index:
    """What an archive holds.

    Attributes:
        run: The run's name.
        files: Path in the archive to what lies there; every path is one that spa writes.
    """

    run: str
    files: Mapping[str, ArchivedFile]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.size for file in self.files.values())

    @property
    def folders(self) -> list[str]:
        """Folders of the store, by name."""
        return sorted({name.split("/")[1] for name in self.files if name.startswith("store/")})


def read_index(path: Path, reader: TapeReader) -> Index:
    """Reads the first file of an archive.

    Args:
        path: The archive, for messages.
        reader: At its beginning.

    Raises:
        RunError: If it is no archive of a run, of a later version, or holds what none may.
    """
    first = next(reader.members(), None)
    if first is None or first.name != INDEX or first.size > _MOST_BYTES:
        raise RunError(
            f"{path} is no archive of a run: it does not begin with {INDEX}. Archives are made by "
            "`spa store export RUN`."
        )
    try:
        content = json.loads(b"".join(reader.content()))
        if content["kind"] != KIND:
            raise ValueError(f"its kind is {content['kind']!r}")
        if content["format"] != FORMAT:
            raise RunError(
                f"{path} has format {content['format']!r}, and this version of spa reads {FORMAT}. "
                "Upgrade spa."
            )
        name = content["run"]
        files = {
            str(each): ArchivedFile(_size(facts["size"]), _checksum(facts["checksum"]))
            for each, facts in content["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is no archive of a run: its {INDEX} is wrong ({error}).") from None
    if not isinstance(name, str) or not is_run_name(name):
        raise RunError(f"{path}: {name!r} cannot name a run. It is not taken.")
    if len(files) > _MOST_FILES:
        raise RunError(f"{path} holds more than {_MOST_FILES} files. It is not taken.")
    for each in files:
        if not _is_expected(each):
            raise RunError(
                f"{path} holds {each!r}, which is no file of a run. It is not taken: such a file "
                "could lie outside of the run's folders, or hold code."
            )
    if "run.json" not in files:
        raise RunError(f"{path} holds no run.json.")
    return Index(name, files)


def _is_expected(name: str) -> bool:
    if name in ("run.json", USES):
        return True
    top, _, rest = name.partition("/")
    folder, _, file = rest.partition("/")
    return top == "store" and is_folder_name(folder) and is_archived(folder, file)


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _checksum(value: object) -> str:
    if not isinstance(value, str) or not _CHECKSUM.fullmatch(value):
        raise ValueError(f"{value!r} is no checksum")
    return value
