"""The published figures are those of the page on baselines, and named as the recipes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa.comparison.published import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
SETS = ("saferlhf", "wildguard", "honeset")


def test_every_recipe_of_the_paper_has_its_figures() -> None:
    recipes = {file.stem for file in (ROOT / "recipes" / "paper").glob("*.yaml")}
    assert set(PUBLISHED) == recipes - {"base"}


@pytest.mark.parametrize(
    ("model", "methods"),
    [
        ("llama-3.1-8b", ("vanilla", "SFT", "SPA-DPO", "SPA-SimPO", "SPA")),
        ("mistral-7b", ("vanilla", "SPA-SimPO", "SPA")),
    ],
)
def test_the_page_says_the_same(model: str, methods: tuple[str, ...]) -> None:
    tables = [PUBLISHED[f"{model}-{name}"] for name in SETS]
    for method in methods:
        cells = [f"{t.rows[method][0]:.2f} / {t.rows[method][1]:.2f}" for t in tables]
        assert f"| {method} | {' | '.join(cells)} |" in PAGE.splitlines()


@pytest.mark.parametrize("method", ["Self-Criticism", "Reward Soups 9:1", "SPA"])
def test_the_page_says_the_same_of_weighted_figures(method: str) -> None:
    values = PUBLISHED["llama-3.1-8b-saferlhf"].rows[method][2:]
    assert f"| {method} | {' | '.join(f'{value:.2f}' for value in values)} |" in PAGE.splitlines()


@pytest.mark.parametrize(
    ("model", "title"),
    [("llama-3.1-8b", "Llama-3.1-8B-Instruct"), ("mistral-7b", "Mistral-7B-Instruct")],
)
def test_the_page_says_the_same_of_denoising(model: str, title: str) -> None:
    rows = PUBLISHED[f"{model}-saferlhf"].rows
    cells = ["{:.2f} / {:.2f}".format(*rows[m][:2]) for m in ("SPA without denoising", "SPA")]
    assert f"| {title} | {' | '.join(cells)} |" in PAGE.splitlines()
