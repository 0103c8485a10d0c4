r"""Shows text of others without letting it steer a terminal or the eye of its reader.

What models write, and what strangers' recipes and archives hold, may carry escape sequences, or
marks that turn the direction of writing so that a text reads otherwise than it is. They are shown
as what they are, ``\x1b`` or ``\u202e``, and do nothing.
"""

from __future__ import annotations

import re

__all__ = ["harmless"]

# C0 but tab and line feed, DEL and C1; line and paragraph separators; embeddings, overrides and
# isolates of direction; halves of a character, which no output can encode.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BYTE = 0xFF


def harmless(text: str, *, one_line: bool = False) -> str:
    r"""The text, with what steers a terminal written out as ``\xNN`` or ``\uNNNN``.

    Args:
        text: Of anyone. Markup in it is text like any other: neither consoles nor pages of spa
            read it.
        one_line: Whether line breaks and tabs become spaces, too, as for a cell of a table.
    """
    if one_line:
        text = " ".join(text.split())
    return _STEERING.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}"
