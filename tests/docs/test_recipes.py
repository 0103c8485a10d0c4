"""Every recipe that is shown can be loaded as it stands, with the components that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spa.errors import RecipeError
from spa.plugins.catalogue import build_catalogue
from spa.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```yaml[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHOWN = [
    pytest.param(page, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, text in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    # Others are single sections. The tutorial's is tested with the tutorial.
    if re.search(r"^(name|extends):", text, re.MULTILINE)
]


def test_recipes_are_shown() -> None:
    pages = [parameter.values[0].name for parameter in SHOWN]
    assert pages == ["README.md", "getting-started.md", "recipe.md", "recipe.md", "recipe.md"]


def test_the_mistake_in_the_readme_is_reported_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (recipe,) = (text for text in FENCE.findall(readme) if "model:" in text)
    wrong = recipe.replace("{use: constitution}", "{use: constitution, temprature: 0}")
    monkeypatch.chdir(tmp_path)
    Path("my-recipe.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe("my-recipe.yaml", catalogue=build_catalogue("none"))
    assert f"$ spa validate my-recipe.yaml\n{caught.value}\n" in readme


@pytest.mark.parametrize(("page", "text"), SHOWN)
def test_shown_recipe_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Path, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "shown.yaml"
    file.write_text(text, encoding="utf-8")
    whole = next(
        each for each in FENCE.findall(page.read_text(encoding="utf-8")) if "model:" in each
    )
    (tmp_path / "base.yaml").write_text(whole, encoding="utf-8")
    recipe = load_recipe(file, catalogue=build_catalogue("none"))
    split = recipe.prompts.split
    if recipe.evaluate:
        assert split is not None or "extends" in text, "there is something to measure with"
    if split is not None and recipe.prompts.limit is not None:
        assert split.heldout < recipe.prompts.limit


def test_sections_of_the_page_on_backends_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    whole = next(text for text in FENCE.findall(readme) if "model:" in text)
    Path("base.yaml").write_text(whole, encoding="utf-8")
    page = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    shown = FENCE.findall(page)
    assert len(shown) == 3
    backends = set()
    for text in shown:
        Path("shown.yaml").write_text("extends: base.yaml\n" + text, encoding="utf-8")
        recipe = load_recipe("shown.yaml", catalogue=build_catalogue())
        backends |= {each.name for each in recipe.components if each.kind == "backend"}
    assert backends == {"hf", "vllm", "openai"}
