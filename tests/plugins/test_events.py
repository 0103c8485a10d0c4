from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from spa.plugins.catalogue import build_catalogue
from spa.types import RunEvent

Install = Callable[..., Path]

SOURCE = """
from spa.api import hookimpl
seen = []

@hookimpl
def spa_run_event(event):
    seen.append(event)
    {body}
"""


def test_a_failing_observer_is_named_once_and_stops_nothing(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = SOURCE.format(body="raise ValueError('no')"), SOURCE.format(body="")
    site = install("a-bad", points={"bad": "bad_observer"}, bad_observer=bad)
    install("b-good", points={"good": "good_observer"}, good_observer=good)
    catalogue = build_catalogue()
    events = [RunEvent("run_started", "demo"), RunEvent("run_finished", "demo")]
    with caplog.at_level(logging.WARNING):
        for event in events:
            catalogue.notify(event)
    import good_observer  # type: ignore[import-not-found]

    assert good_observer.seen == events
    assert [each.getMessage() for each in caplog.records] == [
        "plugin 'bad' (a-bad 1.0): spa_run_event failed on run_started: ValueError: no "
        f"(at {site / 'bad_observer.py'}:8). The run goes on; further failures of this plugin are "
        "not shown. To leave it out: spa -P no:bad"
    ]


def test_a_disabled_observer_hears_nothing(install: Install) -> None:
    install("a-bad", points={"bad": "quiet_observer"}, quiet_observer="raise RuntimeError")
    build_catalogue("no:bad").notify(RunEvent("run_started", "demo"))
