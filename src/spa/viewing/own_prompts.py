"""The prompts that an evaluator brings, as examples: what each policy responded, and was it right.

They are read like the run's own held-out prompts. In the place of a judge's scores stands the one
objective `RIGHT`, where the evaluator says of its rows which responses were right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias, cast

from spa.engine.rows import EvaluationRow
from spa.engine.stages.evaluate import numbered
from spa.engine.stored_evaluator import stored_evaluator
from spa.engine.stored_run import StoredRun
from spa.errors import UsageError
from spa.types import JsonValue, Objective, Prompt, Score, Scored
from spa.viewing.examples import BASE, Example, Failure, JudgedResponses, Reader

__all__ = ["RIGHT", "EvaluatorReader"]

RIGHT = "right"
"""How right a response was, from 0 to 1."""

_PROMPTS = "prompts-"
_Right: TypeAlias = Callable[[Mapping[str, JsonValue]], Mapping[str, float]]


class EvaluatorReader(Reader):
    """Reads the prompts of one evaluator of a run."""

    def __init__(self, run: StoredRun, evaluator: str, number: int | None = None) -> None:
        """Finds out what there is.

        Args:
            run: As of `Reader`.
            evaluator: Its name, as stages and figures have it.
            number: The round whose trained policy is shown; None: the last one that sampled.

        Raises:
            UsageError: If there is no such round, or no prompts of such an evaluator.
            RunError: If not even the run's own prompts were read.
        """
        super().__init__(run, number)
        records = run.manifest.get("stages") or ()
        names = [str(each["name"]) for each in records]
        known = [name.removeprefix(_PROMPTS) for name in names if name.startswith(_PROMPTS)]
        if evaluator not in known:
            valid = (
                f"Valid: {', '.join(dict.fromkeys(known))}."
                if known
                else (
                    "None of its evaluators brings prompts; leave --evaluator out to read its own."
                )
            )
            raise UsageError(f"{run.folder} has no prompts of an evaluator {evaluator!r}. {valid}")
        self.evaluator = evaluator
        self.prompts_stage = f"{_PROMPTS}{evaluator}"
        self.listing = f"--evaluator {evaluator}"

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """`RIGHT` alone; nothing where the evaluator does not say what is."""
        return () if self._right is None else (Objective(RIGHT, "Was the response right?"),)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The policies that responded: the untrained one and that of the round."""
        names = (BASE, f"round-{self.round}")
        return tuple(name for name in names if self._record(self._responses(name)) is not None)

    @property
    def stages(self) -> tuple[str, ...]:
        """Those of this evaluator that have rows to read, in order."""
        names = [self.prompts_stage, *map(self._responses, self.models)]
        return tuple(each for each in (*names, self._notes) if self._record(each) is not None)

    def examples(self, ids: Collection[str] | None = None) -> Iterator[Example]:
        """Yields the examples in the order of the evaluator's prompts.

        Args:
            ids: Of the prompts to read; None: all.

        Raises:
            RunError: If a stage is not in the store any more.
        """
        answers = {
            model: JudgedResponses(self, self._responses(model), "", ids) for model in self.models
        }
        notes = self._stage(self._notes, EvaluationRow, lambda each: each.prompt_id, ids)
        for prompt in self._rows(self.prompts_stage, Prompt, ids, "id"):
            failures: list[Failure] = []
            responses = {model: each.of(prompt, failures) for model, each in answers.items()}
            record: Mapping[str, JsonValue] | None = None
            if notes is not None:
                failures += notes.failed(prompt.id)
                row = next(iter(notes.rows.of(prompt.id)), None)
                record = None if row is None else row.record
            yield Example(
                prompt,
                self.round,
                {name: self._scored(name, own, record) for name, own in responses.items() if own},
                evaluations={} if record is None else {self.evaluator: record},
                failures=tuple(failures),
            )

    def _scored(
        self, model: str, responses: tuple[Scored, ...], record: Mapping[str, JsonValue] | None
    ) -> tuple[Scored, ...]:
        if record is None or self._right is None:
            return responses
        value = self._right(record).get(model)
        reason = None if value is not None else str(record.get("failure") or "missing")
        return tuple(replace(each, scores={RIGHT: Score(value, reason)}) for each in responses)

    @cached_property
    def _right(self) -> _Right | None:
        sections = self.run.recipe.get("evaluate") or ()
        names = numbered(str(each["use"]).rpartition("/")[2] for each in sections)
        section = dict(zip(names, sections, strict=True))[self.evaluator]
        return cast("_Right | None", getattr(stored_evaluator(self.run, section), "right", None))

    @property
    def _notes(self) -> str:
        return f"evaluate-{self.evaluator}"

    def _responses(self, model: str) -> str:
        return f"respond-{model}-{self.evaluator}"

    def _record(self, name: str) -> Mapping[str, str] | None:
        """A stage of whichever round: its name says of which policy it is."""
        record = self.run.stage(name)
        return record if record is not None and "folder" in record else None
