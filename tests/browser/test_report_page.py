"""The report in a real browser: it opens from disk, obeys its keys, and runs no stranger's text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

DRAWN = "html[data-charts=drawn][data-examples=shown]"
CHARTS = 10
Open = Callable[..., "object"]


@pytest.fixture
def opened(chromium) -> Iterator[Open]:
    """Opens a page; what it writes on the console and asks of a network is a failure."""
    problems: list[str] = []
    contexts = []

    def open_page(file: Path, place: str = "", **settings):
        context = chromium.new_context(offline=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        address = file.as_uri()
        page.on("console", lambda each: problems.append(f"console: {each.text}"))
        page.on("pageerror", lambda each: problems.append(f"error: {each}"))
        page.on("dialog", lambda each: problems.append(f"dialog: {each.message}"))
        page.on(
            "request",
            lambda each: (
                each.url.startswith((address, "data:")) or problems.append(f"request: {each.url}")
            ),
        )
        page.goto(address + place)
        page.wait_for_selector(DRAWN)
        return page

    open_page.problems = problems
    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def shown(page) -> str:
    return page.locator("#detail h3").inner_text()


def count(page) -> str:
    return page.locator("#count").inner_text()


def test_opens_from_disk_with_every_chart_drawn(opened: Open, small: Path) -> None:
    page = opened(small)
    drawn = page.locator(".plot svg.marks")
    assert drawn.count() == page.locator(".plot").count() == CHARTS
    for chart in drawn.all():
        box = chart.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 50
    # A circle and a triangle for each of two runs.
    assert page.locator("#chart-pareto .mark-symbol.role-mark path").count() == 2 * 2


def test_filters_search_and_counts(opened: Open, small: Path) -> None:
    page = opened(small)
    assert count(page) == "18 of 18"
    page.select_option("#filter", "regressions")
    assert count(page) == "2 of 18"
    assert shown(page) == "h0000"
    sides = page.locator("#detail .side")
    assert sides.count() == 2
    assert "h0000/a0, before training" in sides.nth(0).inner_text()
    assert "safe 4.00 −1.00" in sides.nth(1).inner_text()  # noqa: RUF001
    table = page.locator("#detail table", has_text="pairwise")
    assert table.locator("th").all_inner_texts() == ["", "after training (round-1)"]
    assert table.locator("tr", has_text="length difference").inner_text().split("\t")[1] == "0"
    assert page.locator("#detail table").count() == 1  # those of judge-scores stand above
    page.select_option("#filter", "unscored")
    assert (count(page), shown(page)) == ("1 of 18", "h0009")
    page.select_option("#filter", "")
    page.select_option("#reason", "refined_not_better")
    assert count(page) == "2 of 18"
    page.select_option("#reason", "")
    page.select_option("#stage", "pairs")
    assert count(page) == "6 of 18"
    page.keyboard.press("Escape")
    assert count(page) == "18 of 18"
    page.keyboard.press("/")
    page.keyboard.type("answer H0003/A0")
    assert (count(page), shown(page)) == ("1 of 18", "h0003")
    page.fill("#search", "nowhere to be found")
    assert "No example fits" in page.locator("#detail").inner_text()
    page.select_option("#run", "1")
    assert page.locator("#run option:checked").inner_text() == "second"


def test_keys_and_clicks_go_through_the_examples(opened: Open, small: Path) -> None:
    page = opened(small)
    assert shown(page) == "t0000"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert shown(page) == "t0002"
    page.keyboard.press("k")
    assert shown(page) == "t0001"
    page.locator("#examples").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('examples').scrollIntoView()")
    page.keyboard.press("ArrowDown")
    assert shown(page) == "t0002"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("k")
    page.keyboard.press("k")  # there is nothing before the first
    assert shown(page) == "t0000"
    page.locator(".item", has_text="t0005").click()
    assert shown(page) == "t0005"
    assert page.locator(".item[aria-selected=true]").count() == 1
    page.locator("#search").focus()
    page.keyboard.type("j")
    assert shown(page) != "t0006"  # typing is no command


def test_an_address_leads_to_what_was_shown(opened: Open, small: Path) -> None:
    page = opened(small, "#run=1&filter=regressions&example=h0005")
    assert (shown(page), count(page)) == ("h0005", "2 of 18")
    assert page.locator("#run").input_value() == "1"
    assert page.evaluate("document.getElementById('examples').getBoundingClientRect().top") < 200
    page.keyboard.press("k")
    assert "example=h0000" in page.url
    again = opened(small, page.url[page.url.index("#") :])
    assert (shown(again), count(again)) == ("h0000", "2 of 18")
    again.evaluate("location.hash = '#filter=nothing-of-this-name&run=99'")
    again.wait_for_function("document.getElementById('count').textContent === '0 of 18'")
    assert again.locator("#run").input_value() == "0"


def test_the_funnel_leads_to_what_was_dropped(opened: Open, small: Path) -> None:
    page = opened(small)
    bars = page.locator("#chart-funnel-1-1 .mark-rect path")
    lost = [bar for bar in bars.all() if "refined_not_better" in bar.get_attribute("aria-label")]
    assert len(lost) == 1
    lost[0].click()
    page.wait_for_function("location.hash.includes('refined_not_better')")
    assert (shown(page), count(page)) == ("t0003", "2 of 18")
    assert page.locator("#run").input_value() == "1"
    page.keyboard.press("Escape")
    page.locator("#funnel a", has_text="refined_not_better").first.click()
    page.wait_for_function("document.getElementById('count').textContent === '2 of 18'")
    assert page.locator("#run").input_value() == "0"


def test_what_models_wrote_is_shown_and_does_nothing(opened: Open, small: Path) -> None:
    page = opened(small)
    text = page.locator("#detail .card .text").first.inner_text()
    assert "<script>alert(1)</script></script><!-- <img src=x onerror=alert(2)>" in text
    assert r"\x1b[2J\x9b31mred\u202eevil {{ 7 * 7 }}" in text
    assert page.locator("#detail script, #detail img, .item img").count() == 0
    assert page.locator("#list").inner_text().count("<script>") > 0
    # Even a script that got into the page would not run.
    ran = page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", () => resolve("refused"));
            const script = document.createElement("script");
            script.textContent = "window.stranger = true";
            document.body.append(script);
            setTimeout(() => resolve(window.stranger ? "ran" : "silent"), 2000);
        })"""
    )
    assert ran == "refused"
    assert "Content Security Policy" in opened.problems.pop()


ADDED = """(acts) => {
    // How many elements of the document each act makes anew, and how many it leaves in the list.
    const seen = new MutationObserver(() => {});
    seen.observe(document.body, { childList: true, subtree: true });
    const size = (node) => 1 + (node.querySelectorAll ? node.querySelectorAll("*").length : 0);
    return acts.map(([id, value]) => {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event(id === "search" ? "input" : "change"));
        const added = seen.takeRecords().flatMap((each) => [...each.addedNodes]);
        return [
            added.reduce((sum, each) => sum + size(each), 0),
            document.querySelectorAll(".item").length,
            document.getElementById("count").textContent,
        ];
    });
}"""
"""Times are for ``bench/report_page.py``: work can be counted, and is the same on all machines."""


def test_five_thousand_examples_are_filtered_with_the_work_of_a_screenful(
    opened: Open, large: Path
) -> None:
    page = opened(large)
    assert count(page) == "5,000 of 5,000"
    acts = [
        ("filter", "regressions"),
        ("filter", "flips"),
        ("filter", ""),
        ("reason", "refined_not_better"),
        ("reason", ""),
        ("search", "t01"),
        ("search", ""),
    ]
    made = page.evaluate(ADDED, acts)
    counts = [int(told.split(" ")[0].replace(",", "")) for _, _, told in made]
    assert counts[2] == counts[4] == counts[6] == 5000
    assert 0 < counts[0] < 5000  # the filters do filter
    for (added, rows, _), found in zip(made, counts, strict=True):
        # What is in sight of a list of this height, and six to spare on either side.
        assert rows == min(found, math.ceil(0.7 * 720 / 48) + 6)
        assert added < 200  # with one example beside the list, and the choices above it
    # Scrolling makes those that come in sight.
    page.evaluate("document.getElementById('list').scrollTop = 48 * 4000")
    page.wait_for_function("document.querySelector('.item').textContent.includes('h09')")
    assert page.locator(".item").count() < 30


def test_themes_follow_the_system_and_the_button(opened: Open, small: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.plot svg text')).fill"
    dark = opened(small, color_scheme="dark")
    assert (dark.evaluate(paper), dark.evaluate(ink)) == ("rgb(20, 23, 26)", "rgb(230, 233, 236)")
    dark.click("#theme")
    assert dark.evaluate(paper) == "rgb(255, 255, 255)"
    assert dark.evaluate(ink) == "rgb(28, 32, 36)"
    dark.click("#theme")
    assert dark.evaluate(paper) == "rgb(20, 23, 26)"
    dark.emulate_media(media="print")  # paper is white, whatever the theme
    assert dark.evaluate(paper) == "rgb(255, 255, 255)"


def test_print_clips_no_chart_and_no_table(opened: Open, small: Path) -> None:
    width = 680  # an A4 page with its margins
    page = opened(small, viewport={"width": width, "height": 960})
    page.emulate_media(media="print")
    boxes = page.eval_on_selector_all(
        ".plot svg, .plot svg text, table",
        "all => all.map(each => each.getBoundingClientRect()).map(box => [box.left, box.right])",
    )
    assert len(boxes) > CHARTS
    assert all(left >= -1 and right <= width + 1 for left, right in boxes)
    hidden = page.locator("nav, #filters, #list, #theme")
    assert not any(each.is_visible() for each in hidden.all())
    assert page.pdf(format="A4").startswith(b"%PDF")
