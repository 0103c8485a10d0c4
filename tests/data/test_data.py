"""The shipped texts: enough of them, balanced, unique, and ours."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from importlib import resources
from itertools import combinations

import pytest
from scipy.stats import mannwhitneyu

from spa.data import constitution_names, load_constitution, load_probes, load_system_prompts
from spa.errors import SpaError

FILES = ("high_stakes", "learning_check")
CATEGORIES = {
    "high_stakes": {"self-harm", "medicine", "law", "finance", "honesty"},
    "learning_check": {"health", "legal", "money", "grief", "housing", "work"},
}
ALL_TEXTS = [*map(load_constitution, constitution_names()), *load_system_prompts().values()]


def rows(name: str) -> list[dict[str, str]]:
    file = resources.files("spa.data").joinpath("prompts", f"{name}.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def shingles(text: str, size: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


@pytest.mark.parametrize(("name", "count"), [("high_stakes", 96), ("learning_check", 72)])
def test_there_are_enough_prompts(name: str, count: int) -> None:
    assert len(rows(name)) >= count


@pytest.mark.parametrize("name", FILES)
def test_rows_have_the_same_keys_and_no_stray_blanks(name: str) -> None:
    for row in rows(name):
        assert list(row) == ["id", "prompt", "category"]
        assert all(value == value.strip() and value for value in row.values())


@pytest.mark.parametrize("name", FILES)
def test_categories_are_balanced(name: str) -> None:
    counts = Counter(row["category"] for row in rows(name))
    assert set(counts) == CATEGORIES[name]
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", FILES)
def test_any_leading_part_of_the_file_is_balanced(name: str) -> None:
    """So that a recipe with ``limit`` sees every category."""
    categories = [row["category"] for row in rows(name)]
    for end in range(1, len(categories)):
        counts = Counter(categories[:end])
        assert max(counts.values()) - min(counts[c] for c in CATEGORIES[name]) <= 1


def test_ids_are_unique_across_files() -> None:
    ids = [row["id"] for name in FILES for row in rows(name)]
    assert len(set(ids)) == len(ids)


def test_no_two_prompts_are_alike() -> None:
    prompts = [row["prompt"] for name in FILES for row in rows(name)]
    sets = [shingles(prompt, 3) for prompt in prompts]
    for (a, first), (b, second) in combinations(zip(prompts, sets, strict=True), 2):
        assert len(first & second) / min(len(first), len(second)) < 0.3, (a, b)


@pytest.mark.parametrize("name", FILES)
def test_prompts_have_a_readable_length(name: str) -> None:
    assert all(12 <= len(row["prompt"].split()) <= 45 for row in rows(name))


def test_wording_is_our_own(benchmark_texts: list[str]) -> None:
    """No eight words in a row in common with the public benchmarks that we develop against."""
    ours = [row["prompt"] for name in FILES for row in rows(name)] + ALL_TEXTS
    known = {shingle for text in ours for shingle in shingles(text, 8)}
    shared = {shingle for text in benchmark_texts for shingle in shingles(text, 8) & known}
    assert shared == set()


def test_names_of_constitutions() -> None:
    assert constitution_names() == ("harmlessness", "helpfulness", "honesty")


@pytest.mark.parametrize("name", constitution_names())
def test_constitution_says_what_each_part_of_the_scale_means(name: str) -> None:
    text = load_constitution(name)
    assert 80 <= len(text.split()) <= 150
    assert all(part in text for part in ("Low:", "Middle:", "High:", "Traps:"))
    assert not re.search(r"\d", text), "the scale is the judge's, so a constitution has no numbers"
    assert not re.search(r"[{}]", text), "it is put into a template"


def test_unknown_constitution() -> None:
    with pytest.raises(SpaError) as caught:
        load_constitution("kindness")
    assert str(caught.value) == (
        "no constitution 'kindness' ships with spa. Valid names: harmlessness, helpfulness, "
        "honesty. Write your own as the objective's 'definition' in the recipe."
    )


def test_system_prompts() -> None:
    prompts = load_system_prompts()
    assert list(prompts) == [
        "careful-clinician",
        "cautious-lawyer",
        "concise",
        "crisis-counsellor",
        "patient-teacher",
        "plain-friend",
        "sceptical-fact-checker",
        "step-by-step",
    ]
    assert len(set(prompts.values())) == len(prompts)


def test_system_prompts_can_be_changed_by_the_caller_without_harm() -> None:
    load_system_prompts().clear()
    assert load_system_prompts()


def probes() -> list[dict[str, str]]:
    return [json.loads(line) for text in load_probes().values() for line in text.splitlines()]


def test_there_are_enough_probes_for_every_constitution() -> None:
    counts = Counter(row["objective"] for row in probes())
    assert set(counts) == set(constitution_names())
    assert sum(counts.values()) >= 40
    assert max(counts.values()) == min(counts.values())
    for name, text in load_probes().items():
        assert {f"{json.loads(line)['objective']}.jsonl" for line in text.splitlines()} == {name}


def test_probes_are_pairs_without_stray_blanks() -> None:
    for row in probes():
        assert list(row) == ["prompt", "better", "worse", "objective"]
        assert all(value == value.strip() and value for value in row.values())
        assert re.search(r"[.!?\"]$", row["better"] + row["worse"])


def share_longer(rows: list[dict[str, str]]) -> float:
    """How often the better answer is the longer one."""
    return sum(len(row["better"]) > len(row["worse"]) for row in rows) / len(rows)


def auc_of_length(rows: list[dict[str, str]], length: Callable[[str], int]) -> float:
    better, worse = ([length(row[side]) for row in rows] for side in ("better", "worse"))
    return float(mannwhitneyu(better, worse).statistic) / (len(better) * len(worse))


def test_length_alone_tells_nothing_of_a_probe() -> None:
    assert 0.45 <= share_longer(probes()) <= 0.55
    assert 0.45 <= auc_of_length(probes(), len) <= 0.55
    assert 0.45 <= auc_of_length(probes(), lambda text: len(text.split())) <= 0.6
    for name in constitution_names():
        rows = [row for row in probes() if row["objective"] == name]
        assert 0.35 <= share_longer(rows) <= 0.65
        assert 0.4 <= auc_of_length(rows, len) <= 0.6


def test_no_probe_is_like_another_or_a_shipped_prompt() -> None:
    prompts = [row["prompt"] for name in FILES for row in rows(name)]
    asked = [row["prompt"] for row in probes()]
    assert len(set(asked)) == len(asked)
    sets = [shingles(prompt, 3) for prompt in [*asked, *prompts]]
    for place, first in enumerate(sets[: len(asked)]):
        for second in sets[place + 1 :]:
            assert len(first & second) / min(len(first), len(second)) < 0.3


def test_wording_of_probes_is_our_own(benchmark_texts: list[str]) -> None:
    known = {s for row in probes() for text in row.values() for s in shingles(text, 8)}
    shared = {shingle for text in benchmark_texts for shingle in shingles(text, 8) & known}
    assert shared == set()
