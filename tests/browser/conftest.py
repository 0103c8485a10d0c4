"""A real Chromium, cut off from any network, and the reports that it opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from reported_run import make_reported_run

from spa.engine.stored_run import open_run
from spa.report.build import report_html
from spa.report.subject import subjects_of

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MANY = 5000


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """One browser for all tests."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        told = "no Chromium is on the path: install one, such as by `apt-get install chromium`"
        if os.environ.get("SPA_REQUIRE_BROWSER") == "1":
            pytest.fail(told)
        pytest.skip(told)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def _written(folder: Path, name: str, *runs: Path) -> Path:
    subjects = subjects_of([open_run(run) for run in runs], None, MANY)
    file = folder / name
    file.write_text(report_html(subjects), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two small runs."""
    folder = tmp_path_factory.mktemp("small")
    first = make_reported_run(folder / "runs", "first")
    second = make_reported_run(folder / "runs", "second", rise=2.0, loss="simpo")
    return _written(folder, "small.html", first, second)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a run of 5,000 prompts with responses of about 700 characters."""
    folder = tmp_path_factory.mktemp("large")
    text = "All that was said before is said once more. " * 15
    run = make_reported_run(folder / "runs", "large", train=3000, heldout=2000, text=text)
    return _written(folder, "large.html", run)
