"""What the documentation links to and shows is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def targets(text: str) -> list[str]:
    """The files that a page links to or shows, as it writes them, without anchors."""
    found = LINK.findall(CODE.sub("", text))
    local = [unquote(each.partition("#")[0]) for each in found if not ELSEWHERE.match(each)]
    return [each for each in local if each]


def test_links_are_found_and_code_is_left_out() -> None:
    text = (
        "[a](x.md) ![b](p/q.svg 'title') [c](y.md#part) [d](#here) [e](https://x.org/z) `[f](g)`\n"
        "```\n[h](i)\n```\n[`j`](<k.md>)"
    )
    assert targets(text) == ["x.md", "p/q.svg", "y.md", "k.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_and_image_exists(page: Path) -> None:
    there = targets(page.read_text(encoding="utf-8"))
    assert [each for each in there if not (page.parent / each).exists()] == []


def test_pages_link_to_each_other() -> None:
    assert "docs/assets/quickstart.svg" in targets(PAGES[0].read_text(encoding="utf-8"))
