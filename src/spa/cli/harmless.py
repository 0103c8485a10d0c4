"""`spa.harmless.harmless` for what rich prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa.harmless import harmless

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["harmless", "harmless_text"]


def harmless_text(text: str, style: str = "", *, one_line: bool = False) -> Text:
    """`harmless` as a rich text: nothing in it is markup, and the style is the caller's.

    Args:
        text: Of anyone.
        style: How it is shown.
        one_line: As in `harmless`.
    """
    from rich.text import Text

    return Text(harmless(text, one_line=one_line), style=style)
