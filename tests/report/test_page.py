"""The page as text: what strangers wrote cannot leave its place, and nothing is fetched."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reported_run import NASTY, make_reported_run
from viewed_run import make_viewed_run

from spa.engine.stored_run import open_run
from spa.report.build import report_html
from spa.report.embedding import embedded_json, script_hash
from spa.report.subject import subjects_of


class Parsed(HTMLParser):
    """The scripts of a page, its attributes, and its text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *each) for each in attrs]
        self._inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif not self._inside:
            self.text += data

    def data(self, name: str):
        (text,) = [text for attrs, text in self.scripts if attrs.get("id") == name]
        return json.loads(text)


def page_of(*folders: Path, most: int = 100) -> str:
    return report_html(subjects_of([open_run(folder) for folder in folders], None, most))


def test_a_stranger_s_text_is_data_and_nothing_else(tmp_path: Path) -> None:
    name = "<script>alert(3)</script>\x1b[31m"
    run = make_reported_run(tmp_path, name=name.replace("/", "_"))
    parsed = Parsed(page_of(run))
    runnable = [text for attrs, text in parsed.scripts if "type" not in attrs]
    assert len(runnable) == 7  # the bundle's stand-in, and the page's own
    assert not any("alert" in text for text in runnable)
    assert "Report on <script>alert(3)<_script>\\x1b[31m" in parsed.text
    example = parsed.data("examples-data")[0]["examples"][0]
    shown = example["responses"][0]["text"]
    assert shown.startswith("Answer t0000/s0. <script>alert(1)</script></script><!-- <img src=x ")
    assert shown.endswith(r"& \u2028 \x1b[2J\x9b31mred\u202eevil {{ 7 * 7 }}")
    assert not any(tag in ("img", "iframe", "link") for tag, *_ in parsed.attributes)
    assert not any(key.startswith("on") or key == "src" for _, key, _ in parsed.attributes)


def test_only_scripts_of_spa_may_run(tmp_path: Path) -> None:
    parsed = Parsed(page_of(make_reported_run(tmp_path)))
    (policy,) = [
        value
        for tag, key, value in parsed.attributes
        if (tag, key) == ("meta", "content") and value and "default-src" in value
    ]
    runnable = [text for attrs, text in parsed.scripts if "type" not in attrs]
    allowed = re.findall(r"'sha256-[^']+'", policy)
    assert allowed == [script_hash(text) for text in runnable]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


@pytest.mark.parametrize("value", [NASTY, {NASTY: [NASTY, {"deep": (NASTY,)}]}, "plain", 1.5, None])
def test_embedded_json_opens_no_tag_and_reads_back(value) -> None:
    text = embedded_json(value)
    assert not set("<>&\u2028\u2029\x1b\u202e") & set(text)
    assert "alert(1)</script>" in str(json.loads(text)) or "alert" not in str(value)


def test_numbers_that_json_has_no_word_for_become_null() -> None:
    assert embedded_json([float("nan"), float("inf"), 1]) == "[null,null,1]"


def test_a_run_without_figures_says_why(tmp_path: Path) -> None:
    """It has neither metrics nor training nor a loss."""
    text = Parsed(page_of(make_viewed_run(tmp_path, status="failed"))).text
    for why in (
        "Run viewed is not finished (failed): figures may be missing.",
        "No held-out prompt was answered by a trained policy and scored.",
        "No evaluator compared the trained model with the untrained one.",
        "Weights of run viewed are not shown: the store has no metrics of its training.",
        "The store has no metrics of training for run viewed.",
        "The judge tells neither label mass nor entropy",
        "Give several runs to see what differs in their recipes.",
    ):
        assert why in text


def test_a_run_that_judged_nothing_claims_nothing_of_its_judge_and_pairs(tmp_path: Path) -> None:
    folders = [make_viewed_run(tmp_path, name, status="failed", funnels=[]) for name in "ab"]
    for folder in folders:
        manifest = json.loads((folder / "run.json").read_text())
        made = [each for each in manifest["stages"] if each["name"] in ("prompts", "sample")]
        manifest["stages"] = [*made, {"name": "pairs", "round": 1}]
        (folder / "run.json").write_text(json.dumps(manifest))
    text = Parsed(page_of(*folders)).text
    assert "nothing was judged" in text
    assert "No score was read, so nothing is known of how sure the judge was." in text
    assert "has the pairs of" not in text
    assert text.count("did not get as far as its pairs, or used none.") == 2


def test_objectives_are_told_in_the_order_of_every_run(tmp_path: Path) -> None:
    first, second = (make_viewed_run(tmp_path, name) for name in "ab")
    manifest = json.loads((second / "run.json").read_text())
    manifest["recipe"]["objectives"].reverse()
    (second / "run.json").write_text(json.dumps(manifest))
    names = [each["name"] for each in manifest["recipe"]["objectives"]]
    order, other = " > ".join(reversed(names)), " > ".join(names)
    text = Parsed(page_of(first, second)).text
    assert f"Objectives in their order: {order} or {other}." in text


def test_several_runs(tmp_path: Path) -> None:
    first = make_reported_run(tmp_path, "first")
    second = make_reported_run(tmp_path, "second", rise=2.0, loss="simpo")
    parsed = Parsed(page_of(first, second, most=10))
    assert [run["name"] for run in parsed.data("examples-data")] == ["first", "second"]
    assert [len(run["examples"]) for run in parsed.data("examples-data")] == [5, 5]
    assert "Of 18 examples of second 5 are in this page, and 13 are left out" in parsed.text
    arrows = parsed.data("charts-data")["pareto"]["data"]["values"]
    assert [(each["run"], each["model"]) for each in arrows] == [
        ("first", "base"), ("first", "trained"), ("second", "base"), ("second", "trained"),
    ]  # fmt: skip
    assert "Settings that differ" in parsed.text
    weighed = parsed.data("charts-data")["weights"]["data"]["values"]
    assert {each["run"] for each in weighed} == {"first"}
    assert "Weights of run second are not shown: its loss told none." in parsed.text
    assert "/home/someone" not in parsed.text
    assert str(tmp_path) not in parsed.text  # who gets the page need not know the folders


def test_pairs_that_runs_share_are_shown_once(tmp_path: Path) -> None:
    first = make_reported_run(tmp_path, "first")
    stages = json.loads((first / "run.json").read_text())["stages"]
    make_reported_run(tmp_path, "second", stages=stages)
    parsed = Parsed(page_of(first, tmp_path / "second"))
    assert "Run second has the pairs of first, and so its funnel." in parsed.text
    charts = parsed.data("charts-data")
    assert {"funnel-0-1", "margins-0"} <= set(charts)
    assert {"funnel-1-1", "margins-1"}.isdisjoint(charts)


def test_the_funnel_leads_to_the_examples_it_counts(tmp_path: Path) -> None:
    parsed = Parsed(page_of(make_reported_run(tmp_path, train=9)))
    (bar,) = [
        each
        for each in parsed.data("charts-data")["funnel-0-1"]["data"]["values"]
        if each["what"] != "got through"
    ]
    assert bar["go"] == "#run=0&filter=dropped&reason=refined_not_better"
    run = parsed.data("examples-data")[0]
    places = set(run["filters"]["dropped"]) & set(run["reasons"]["refined_not_better"])
    assert [run["examples"][each]["id"] for each in sorted(places)] == ["t0003", "t0007"]
    assert bar["count"] == len(places)
