"""A report without the charts' JavaScript, which takes seconds to bring together."""

from __future__ import annotations

import pytest

from spa.report import page_text


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_text, "vega_bundle", lambda: "window.vegaEmbed = null;")
