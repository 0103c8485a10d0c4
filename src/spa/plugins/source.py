"""A hash of the code that a component runs, so that a change under one revision is noticed.

It covers the modules of ``impl`` and ``config`` and what these import of their own distribution:
an edit to another component beside them, or to the plugin's list of components, is no change of
this one. Of each module the syntax tree counts, without docstrings, comments and layout. Built-in
components count what they import below ``spa.components``. Templates in other files are not seen,
nor is what another package does; those have versions. Nothing is imported for it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from spa.plugins.registered import Registered

__all__ = ["same_source", "source_hash"]

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # trees differ between versions
_BUILTIN_SCOPE = "spa.components"


def source_hash(registered: Registered) -> str | None:
    """The version of Python and the hash, ``3.12:9f86d0...``; None where there is no source.

    The component's class is expected to be imported.
    """
    component = registered.component
    names = [path.partition(":")[0] for path in (component.impl, component.config)]
    scope = _BUILTIN_SCOPE if registered.builtin else names[0].partition(".")[0]
    digests: dict[str, str] = {}
    waiting = names
    while waiting:
        name = waiting.pop()
        if name in digests or not f"{name}.".startswith(f"{scope}."):
            continue
        file = _file_of(name)
        if file is None:
            continue
        status = file.stat()
        digest, imported = _read(file, name, status.st_mtime_ns, status.st_size)
        digests[name] = digest
        waiting.extend(imported)
    if not digests:
        return None
    whole = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()
    return f"{_PYTHON}:{whole}"


def same_source(one: str | None, other: str | None) -> bool:
    """Whether two hashes are of one source; also where that cannot be told."""
    if one is None or other is None or one.partition(":")[0] != other.partition(":")[0]:
        return True
    return one == other


def _file_of(name: str) -> Path | None:
    """The file of a module, found by that of the topmost package, without importing it."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest and not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for root in spec.submodule_search_locations or ():
        stem = Path(root, *rest)
        for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
            if file.is_file():
                return file
    return None


@lru_cache(maxsize=4096)
def _read(file: Path, name: str, changed: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Hash of a module, and the names that it may import; read again when the file changes."""
    del changed, size
    content = file.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return hashlib.sha256(content).hexdigest(), ()
    imported = tuple(_imported(tree, name, package=file.name == "__init__.py"))
    _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _imported(tree: ast.Module, name: str, *, package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                above = parts[: len(parts) - node.level + package]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)


def _drop_docstrings(tree: ast.Module) -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
