"""The examples of a run as the page's browser takes them: records, and filters as lists of places.

A filter is worked out here, once, so that the page only brings lists of numbers together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from spa.report.reading import Reading, is_dropped, is_regression, is_unscored
from spa.viewing.examples import Example, Reader
from spa.viewing.judging import flips, reasons
from spa.viewing.records import example_record

__all__ = ["example_data"]

_LONG = 90


def example_data(reading: Reading) -> dict[str, Any]:
    """What the browser has of one run.

    Returns:
        ``examples``, each as ``spa show --json`` has it but for details that the page does not
        show; ``filters``, ``reasons`` and ``stages``, each a name to places in that list; and how
        many examples the run has.
    """
    filters: dict[str, list[int]] = {name: [] for name in _FILTERS}
    by_reason: dict[str, list[int]] = defaultdict(list)
    by_stage: dict[str, list[int]] = defaultdict(list)
    records = []
    for place, example in enumerate(reading.examples):
        for name in _filters_of(example, reading.reader):
            filters[name].append(place)
        for reason in sorted({code for _, code in reasons(example)}):
            by_reason[reason].append(place)
        for stage in sorted({stage for stage, _ in reasons(example)} | _stages_of(example)):
            by_stage[stage].append(place)
        records.append(_record(example, reading.reader))
    return {
        "name": reading.reader.run.name,
        "round": reading.reader.round,
        "total": reading.total,
        "objectives": [each.name for each in reading.reader.objectives],
        "examples": records,
        "filters": {name: places for name, places in filters.items() if places},
        "reasons": dict(sorted(by_reason.items())),
        "stages": dict(by_stage),
    }


_FILTERS = ("regressions", "flips", "unscored", "heldout", "train", "paired", "dropped", "failed")


def _filters_of(example: Example, reader: Reader) -> set[str]:
    holds = {
        "regressions": is_regression(example, reader),
        "flips": flips(example) > 0,
        "unscored": is_unscored(example),
        "paired": bool(example.pairs),
        "dropped": is_dropped(example),
        "failed": bool(example.failures),
    }
    return {name for name, held in holds.items() if held} | {example.prompt.split}


def _stages_of(example: Example) -> set[str]:
    names = {"sample": "sample", "refined": "refine"}
    found = {names.get(by, f"answer-{by}") for by in example.responses}
    found |= {f"evaluate-{name}" for name in example.evaluations}
    found |= {"denoise"} if example.verdict else set()
    return found | ({"pairs"} if example.pairs else set())


def _record(example: Example, reader: Reader) -> dict[str, Any]:
    record = example_record(example, reader.objectives)
    for response in record["responses"]:
        system = response.pop("details").get("system_prompt")
        if system:
            response["system"] = str(system)
        response["scores"] = {
            name: [score["value"], score["reason"]] for name, score in response["scores"].items()
        }
    title = " ".join(example.prompt.text.split())
    record["title"] = title if len(title) <= _LONG else title[: _LONG - 1] + "…"
    record["told"] = _told(example, reader, record["changes"])
    for name in ("kind", "round"):
        del record[name]
    return record


def _told(example: Example, reader: Reader, change: Mapping[str, float | None]) -> str:
    """What became of it, in a word or two."""
    if is_regression(example, reader):
        return "fell"
    if change:
        known = [each for each in change.values() if each is not None]
        return "rose" if any(known) else "the same" if known else "unscored"
    if example.verdict is not None and not example.verdict.keep:
        return example.verdict.reason
    count = len(example.pairs)
    if count:
        return f"{count} pair{'' if count == 1 else 's'}"
    return "no pair" if example.unpaired else ""
