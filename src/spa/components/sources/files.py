"""Reading a prompt file and hashing what it holds, with messages instead of tracebacks.

Shared by the sources that read a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from spa.api import SpaError
from spa.components.sources.configs import ColumnsConfig

__all__ = ["content_fingerprint", "read_bytes", "read_text"]


def read_bytes(path: str) -> bytes:
    """The file's content.

    Raises:
        SpaError: If there is no such file or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise SpaError(
            f"prompt file {path} does not exist. Paths in a recipe are relative to the recipe file:"
            " correct prompts.path."
        ) from None
    except IsADirectoryError:
        raise SpaError(f"prompt file {path} is a folder. Name a file in it.") from None
    except OSError as error:
        raise SpaError(f"prompt file {path} cannot be read: {error.strerror}.") from error


def read_text(path: str) -> str:
    """The file's content as text, without a byte order mark.

    Raises:
        SpaError: If it cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpaError(
            f"prompt file {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None


def content_fingerprint(
    content: bytes, config: ColumnsConfig, more: Mapping[str, str] | None = None
) -> str:
    """sha256 of the content and of what is read from it; the file's name and place do not count."""
    settings = {
        "prompt_column": config.prompt_column,
        "messages_column": config.messages_column,
        "id_column": config.id_column,
        **(more or {}),
    }
    digest = hashlib.sha256(content)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()
