"""Text of others does not steer the terminal: however it reaches it, and whatever its kind."""

from __future__ import annotations

import io
import logging

import pytest
from rich.logging import RichHandler
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spa.cli.console import err, json_text, out
from spa.cli.harmless import harmless, harmless_text

EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m[bold]a[/bold] [link=file:///etc/passwd]b[/link] \u202ecod.exe"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\tand\nlines", "plain\tand\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\x0db"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("\u202eexe.txt\u2066\u2028", "\\u202eexe.txt\\u2066\\u2028"),
        ("half \ud83d", "half \\ud83d"),
        ("Grüße, 日本, 👩‍🔬, עברית", "Grüße, 日本, 👩‍🔬, עברית"),
    ],
)
def test_what_steers_is_written_out_and_what_does_not_stays(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_one_line() -> None:
    assert harmless("  a\n\n\tb\x1b ", one_line=True) == "a b\\x1b"
    assert harmless_text("a\nb", "bold", one_line=True) == Text("a b", style="bold")


@pytest.mark.parametrize("console", [out, err])
def test_no_way_through_a_console_lets_it_pass(console, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    made = console()
    table = Table(EVIL, title=EVIL, caption=EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL, style="bold"))
    shown = io.StringIO()
    monkeypatch.setattr(made, "_file", shown)
    monkeypatch.setattr(made, "_force_terminal", True)
    for each in (EVIL, Text(EVIL), table, Panel(EVIL), harmless_text(EVIL, "red")):
        made.print(each, soft_wrap=True)
    handler = RichHandler(console=made, show_path=False, show_level=False)
    handler.emit(logging.LogRecord("spa", logging.WARNING, "", 0, "%s", (EVIL,), None))
    text = shown.getvalue()
    assert not {"\x07", "\x9b", "\u202e"} & set(text)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert text.count("\\x1b]0;owned") >= 6
    assert "[bold]a[/bold]" in text


def test_json_keeps_the_text_and_escapes_it() -> None:
    text = json_text({"answer": EVIL + "\ud800"})
    assert "\x1b" not in text
    assert "\\ud800" in text
    assert text.isprintable() or "\u202e" in text
