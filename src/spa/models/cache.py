"""The folder for what is computed once a machine: converted models and file hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder", "file_sha256"]


def cache_folder() -> Path:
    """The cache folder: ``$SPA_CACHE``, or the user's cache folder of this platform."""
    configured = os.environ.get("SPA_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("spa"))


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, remembered by path, size and modification time.

    Hashing 16 GB of weights takes half a minute, and every run needs the hash.
    """
    stat = path.stat()
    identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    memo = cache_folder() / "sha256" / hashlib.sha256(identity.encode()).hexdigest()
    try:
        remembered = memo.read_text(encoding="ascii")
    except OSError:
        remembered = ""
    if len(remembered) == 64:
        return remembered
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary = memo.with_suffix(f".{os.getpid()}")
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(memo)
    except OSError:
        pass  # a cache that cannot be written costs time, never the run
    return digest
