"""Texts as YAML that is read as them, whatever they hold."""

from __future__ import annotations

import json

__all__ = ["quoted"]


def quoted(text: str) -> str:
    """A text in double quotes, with everything written out that YAML does not allow or that steers.

    Args:
        text: Any text; it is read as itself.
    """
    inside = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else _escape(each) for each in inside)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
