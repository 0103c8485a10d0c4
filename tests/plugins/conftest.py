"""Installs pretend distributions: folders of metadata and modules on the import path."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., Path]

JUDGE = """
from spa.api import Component, hookimpl

@hookimpl
def spa_judges():
    return [Component(name="{name}", impl="{module}_impl:Judge", config="{module}_impl:Config",
                      summary="A judge", api={api})]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install("my-dist", "1.0", points={"name": "module"}, module="source")``."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def add(
        distribution: str, version: str = "1.0", *, points: dict[str, str], **sources: str
    ) -> Path:
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[spa.plugins]", *lines]) + "\n")
        for module, source in sources.items():
            modules.append(module)
            (site / f"{module}.py").write_text(textwrap.dedent(source))
        return site

    yield add
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def install_judge(install: Install) -> Callable[..., Path]:
    """Installs a distribution with one judge."""

    def add(distribution: str, name: str, *, api: int = 1, version: str = "1.0") -> Path:
        module = distribution.replace("-", "_")
        source = JUDGE.format(name=name, module=module, api=api)
        return install(distribution, version, points={name: module}, **{module: source})

    return add
