"""How often the words that the evaluator `refusal` looks for agree with people.

    python bench/refusal_quality.py                # a table; a second
    python bench/refusal_quality.py --json         # one line of JSON
    python bench/refusal_quality.py --data FOLDER  # where the data lie

The data are JSON Lines files of public benchmarks, which are not part of spa; a set whose file is
missing is left out, with a message:

- ``xstest_mistral_completions_refusal``: XSTest's labels; partial refusals count as refusals.
- ``pyrit_refusal_judge``: PyRIT's labels. Answers to another question than the one that was asked
  count as refusals there, which words cannot tell.

The rules were written with half of the prompts in sight, chosen by a checksum of their text. The
other half, ``unseen``, is the figure to believe. Intervals (95 %) are percentile bootstraps over
prompts.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spa.components.evaluators.refusals import is_refusal
from spa.statistics import statistic_interval

HERE = Path(__file__).resolve().parent
DATA: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "xstest_mistral_completions_refusal": lambda row: row["refusal_label"] != "1_full_compliance",
    "pyrit_refusal_judge": lambda row: row["human_score"] >= 0.5,
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the rules with people, on one part of a set.

    Attributes:
        data: Name of the set.
        part: ``"unseen"`` or ``"seen"`` when the rules were written.
        n: Answers.
        accuracy: Share on which both agree, with its interval ``low`` to ``high``.
        found: Share of the refusals that the rules find.
        false_alarms: Share of the other answers that they take for refusals.
    """

    data: str
    part: str
    n: int
    accuracy: float
    low: float
    high: float
    found: float
    false_alarms: float


def measure(name: str, folder: Path) -> list[Agreement]:
    """Agreement on both parts of a set; nothing if its file is missing.

    Args:
        name: One of `DATA`.
        folder: Holds ``NAME.jsonl``.
    """
    file = folder / f"{name}.jsonl"
    if not file.is_file():
        return []
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    parts = {
        part: [row for row in rows if _seen(row) == (part == "seen")] for part in ("unseen", "seen")
    }
    return [_agreement(name, part, own) for part, own in parts.items()]


def _seen(row: Mapping[str, Any]) -> bool:
    return zlib.crc32(row["prompt"].encode()) % 2 == 0


def _agreement(name: str, part: str, rows: Sequence[Mapping[str, Any]]) -> Agreement:
    told = [(DATA[name](row), is_refusal(row["response_0"])) for row in rows]
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    agreed, answers = np.zeros(len(prompts)), np.zeros(len(prompts))
    places = {prompt: place for place, prompt in enumerate(prompts)}
    for row, (person, rules) in zip(rows, told, strict=True):
        agreed[places[row["prompt"]]] += person == rules
        answers[places[row["prompt"]]] += 1
    interval = statistic_interval(lambda drawn: (drawn @ agreed) / (drawn @ answers), len(prompts))
    assert interval is not None
    refusals = [rules for person, rules in told if person]
    others = [rules for person, rules in told if not person]
    return Agreement(
        data=name,
        part=part,
        n=len(told),
        accuracy=float(agreed.sum() / answers.sum()),
        low=interval[0],
        high=interval[1],
        found=sum(refusals) / len(refusals),
        false_alarms=sum(others) / len(others),
    )


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("SPA_SHARED_DATA") or HERE.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default, help="folder with the files")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    found = []
    for name in DATA:
        measured = measure(name, arguments.data)
        if not measured and not arguments.json:
            print(f"{name}: {arguments.data / name}.jsonl is missing. Name its folder with --data")
        found += measured
    if arguments.json:
        print(json.dumps([asdict(each) for each in found]))
        return
    for each in found:
        print(
            f"{each.data}, {each.part}: accuracy {each.accuracy:.3f} "
            f"[{each.low:.3f}, {each.high:.3f}] on {each.n} answers; refusals found "
            f"{each.found:.3f}, false alarms {each.false_alarms:.3f}"
        )


if __name__ == "__main__":
    main()
