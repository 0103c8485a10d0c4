"""How long the report's browser of examples takes to filter, in a real Chromium.

    python bench/report_page.py                    # a table: 500 and 5,000 examples
    python bench/report_page.py --json             # one line of JSON for the largest size
    python bench/report_page.py --examples 20000   # another size; can be repeated
    python bench/report_page.py --quick            # shows that everything runs

An act is a choice in one of the filters, or a search; it ends when the page is laid out again. For
each act the best and the median of all turns are taken, and the worst act is what is told. Beside
it stands what the same act costs a plain page, which puts a row into the document for every example
that fits: the same rows, the same choice of examples, in the same browser.

Needs Chromium on the path, and Playwright (``pip install -e '.[browser]'``). The run that the
report shows is a stand-in with responses of about 700 characters.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from train.machine import machine

ROOT = Path(__file__).resolve().parent.parent
SIZES = (500, 5000)
QUICK = (100,)
TURNS = 7
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ACTS = (
    ("filter", "regressions"),
    ("filter", "flips"),
    ("filter", ""),
    ("reason", "refined_not_better"),
    ("reason", ""),
    ("search", "t01"),
    ("search", "no response has this in it"),
    ("search", ""),
)
_COLUMNS = ("examples", "best_ms", "median_ms", "worst_act", "plain_ms", "ratio")
_MEASURE = """([acts, turns]) => {
    const timed = (act) => {
        const begun = performance.now();
        act();
        document.body.getBoundingClientRect(); // lays the page out
        return performance.now() - begun;
    };
    const { runs, choose } = window.spaReport;
    const rows = document.getElementById("rows");
    const row = document.querySelector(".item").cloneNode(true);
    const plain = (state) => () => {
        const made = choose(state).map((place) => {
            const copy = row.cloneNode(true);
            copy.lastChild.textContent = runs[0].examples[place].title;
            return copy;
        });
        rows.replaceChildren(...made);
    };
    const state = { run: 0, filter: "", reason: "", stage: "", search: "" };
    const found = acts.map(() => ({ page: [], plain: [] }));
    for (let turn = 0; turn < turns; turn++) {
        acts.forEach(([id, value], at) => {
            const field = document.getElementById(id);
            field.value = value;
            const changed = new Event(id === "search" ? "input" : "change");
            found[at].page.push(timed(() => field.dispatchEvent(changed)));
        });
    }
    for (let turn = 0; turn < turns; turn++) {
        acts.forEach(([id, value], at) => {
            state[id] = value;
            found[at].plain.push(timed(plain({ ...state })));
        });
    }
    return found;
}"""


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the largest size as JSON")
    parser.add_argument("--quick", action="store_true", help="few examples")
    parser.add_argument("--examples", type=int, action="append", help="a size; can be repeated")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium is on the path: install one, such as by `apt-get install chromium`")
        return 1
    print(f"measured on {machine(1, 'cpu', 'float32')}", file=sys.stderr, flush=True)
    sizes = arguments.examples or (QUICK if arguments.quick else SIZES)
    with tempfile.TemporaryDirectory(prefix="spa-bench-") as folder:
        found = [_measured(browser, Path(folder), size) for size in sorted(sizes)]
    if arguments.json:
        print(json.dumps(found[-1]))
    else:
        print("  ".join(f"{name:>18}" for name in _COLUMNS))
        for each in found:
            print("  ".join(f"{each[name]:>18}" for name in _COLUMNS))
    return 0


def _measured(browser: str, folder: Path, examples: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_context(offline=True).new_page()
        page.set_default_timeout(600_000)
        page.goto(_report(folder, examples).as_uri())
        page.wait_for_selector("html[data-charts=drawn][data-examples=shown]")
        found = page.evaluate(_MEASURE, [[list(act) for act in ACTS], TURNS])
        chromium.close()
    best = [min(each["page"]) for each in found]
    worst = best.index(max(best))
    plain = min(found[worst]["plain"])
    return {
        "examples": examples,
        "best_ms": round(best[worst], 1),
        "median_ms": round(sorted(found[worst]["page"])[TURNS // 2], 1),
        "worst_act": "=".join(ACTS[worst]),
        "plain_ms": round(plain, 1),
        "ratio": round(plain / best[worst], 1),
    }


def _report(folder: Path, examples: int) -> Path:
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    make_reported_run = import_module("reported_run").make_reported_run

    from spa.engine.stored_run import open_run
    from spa.report.build import report_html
    from spa.report.subject import subjects_of

    heldout = examples * 2 // 5
    text = "All that was said before is said once more. " * 15
    run = make_reported_run(
        folder / str(examples), "large", train=examples - heldout, heldout=heldout, text=text
    )
    file = folder / f"{examples}.html"
    file.write_text(report_html(subjects_of([open_run(run)], None, examples)), encoding="utf-8")
    return file


if __name__ == "__main__":
    raise SystemExit(main())
