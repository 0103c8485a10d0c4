"""A process that has imported everything, and forks one for each run: no run imports torch anew.

``python -m faulty.server RECIPE``; every line of its input is a command in JSON, and every line of
its output the answer::

    {"runs": .., "name": .., "report": .., "log": .., "plan": {..}}   -> {"pid": ..}
    {"wait": pid}                                           -> {"status": ..}
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faulty import plugin
from faulty.injection import Faults
from faulty.recipe import load
from spa.engine.pipeline import run_recipe
from spa.errors import SpaError
from spa.recipe import Recipe


def main(file: str, scratch: str) -> None:
    """Answers commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    recipe = load(Path(file))
    run_recipe(recipe, runs=Path(scratch), name="warm")  # imports all that is imported lazily
    gc.collect()
    gc.freeze()  # else every copy looks at all that is loaded whenever it frees a model
    children: set[int] = set()
    _say(answers, {"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            _, status = os.waitpid(command["wait"], 0)
            children.discard(command["wait"])
            _say(answers, {"status": os.waitstatus_to_exitcode(status)})
            continue
        child = os.fork()
        if child == 0:
            _run(recipe, command)
        children.add(child)
        _say(answers, {"pid": child})
    for child in children:
        os.kill(child, 9)


def _say(answers: Any, content: Mapping[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _run(recipe: Recipe, command: Mapping[str, Any]) -> None:
    """A run in a process of its own; ends it."""
    plugin.log = Path(command["log"])
    told = _Told()
    logging.getLogger("spa").addHandler(told)
    plugin.say = command["plan"].get("say", "")
    faults = Faults(Path(command["runs"]), command["plan"])
    report: dict[str, Any] = {"error": None}
    try:
        run_recipe(recipe, runs=Path(command["runs"]), name=command["name"], listen=faults.listen)
    except SpaError as error:
        report["error"] = str(error)
    except BaseException:
        report["error"] = traceback.format_exc()
    faults.stop()
    counts = [[stage, kind, count] for (stage, kind), count in faults.counts.items()]
    report |= {"counts": counts, "told": told.lines}
    Path(command["report"]).write_text(json.dumps(report), encoding="utf-8")
    os._exit(0)


class _Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


if __name__ == "__main__":
    main(*sys.argv[1:])
