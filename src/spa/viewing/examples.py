"""One prompt with all that a run made of it, read from the store without holding the run.

Rows of all stages are read side by side in the order of the prompts, so the first examples of a run
of any size are there at once. Where only some prompts are asked for, the rows of others are passed
over before they are made into Python values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from spa.engine.joining import Beside
from spa.engine.rows import EvaluationRow, JudgedRow, VerdictRow
from spa.engine.store import StageFolder
from spa.engine.stored_run import StoredRun, stage_rows, unreadable
from spa.engine.tables import CHUNK
from spa.errors import RunError, UsageError
from spa.order import lexicographic_key
from spa.types import (
    JsonValue,
    Objective,
    PreferencePair,
    Prompt,
    RequestFailure,
    Response,
    Score,
    Scored,
)

__all__ = [
    "BASE",
    "Example",
    "Failure",
    "JudgedResponses",
    "Reader",
    "ShownPair",
    "decided_by",
]

R = TypeVar("R")
BASE = "base"
_EVALUATE = "evaluate-"


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that could not be done.

    Attributes:
        stage: Where.
        job: Its id: of the prompt, or of the response that was judged.
        reason: A stable code.
        message: What was wrong, for people.
    """

    stage: str
    job: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A preference pair, and the objective that decided it.

    Attributes:
        pair: The pair.
        decided_by: The first objective on which the two do not tie; None if the order of the
            objectives does not prefer the chosen one, as the pair builder had a rule of its own.
    """

    pair: PreferencePair
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and what became of it in one round.

    Attributes:
        prompt: The prompt.
        round: The round.
        responses: What wrote them to responses in order: ``"sample"`` and ``"refined"`` for a
            training prompt, ``"base"`` and ``"round-1"`` for a held-out one. A response that was
            not judged yet has no scores; one that could not be judged is unscored with its reason.
        verdict: What denoising said; None where it did not come to that.
        pairs: The pairs among the responses.
        evaluations: Evaluator to what it noted of a held-out prompt.
        failures: What could not be done.
        unpaired: Whether its group was kept, and gave no pair.
    """

    prompt: Prompt
    round: int
    responses: Mapping[str, tuple[Scored, ...]]
    verdict: VerdictRow | None = None
    pairs: tuple[ShownPair, ...] = ()
    evaluations: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    unpaired: bool = False

    @property
    def all_responses(self) -> tuple[Scored, ...]:
        """All responses in order."""
        return tuple(each for group in self.responses.values() for each in group)

    @property
    def trained(self) -> str | None:
        """Name of the trained policy whose answers are there; None if there are none."""
        return next((n for n in self.responses if n not in (BASE, "sample", "refined")), None)


class Reader:
    """Reads the examples of a run.

    Attributes:
        run: The run.
        round: The round that is read.
        prompts_stage: The stage that the prompts are of.
        listing: The options of ``spa show`` that list all of them.
    """

    prompts_stage = "prompts"
    listing = "--stage prompts"

    def __init__(self, run: StoredRun, number: int | None = None) -> None:
        """Finds out what there is.

        Args:
            run: It need not be finished: stages that were not committed are left out.
            number: The round to read; None: the last one that sampled.

        Raises:
            UsageError: If there is no such round.
            RunError: If not even the prompts were read.
        """
        self.run = run
        rounds = sorted({record["round"] for record in run.manifest.get("stages") or ()})
        if run.stage("prompts") is None or not rounds:
            state = run.manifest.get("status", "started")
            raise RunError(
                f"{run.folder}: no stage of this run is done yet (it is {state}), so there is "
                "nothing to read. Wait for its first stages, or run the recipe again to go on."
            )
        if number is not None and number not in rounds:
            valid = ", ".join(map(str, rounds))
            raise UsageError(f"{run.folder} has no round {number}. Valid: {valid}.")
        self.round: int = number if number is not None else max(run.rounds("sample") or rounds)
        tolerance = (run.recipe.get("pairs") or {}).get("tie_tolerance")
        self._tie_tolerance = float(tolerance or 0)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """In the recipe's order, with their thresholds."""
        return tuple(
            Objective(str(each["name"]), str(each.get("definition")), each.get("threshold"))
            for each in self.run.recipe.get("objectives") or ()
        )

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The policies that answered held-out prompts: the untrained one and that of the round."""
        names = (BASE, f"round-{self.round}")
        return tuple(name for name in names if self.run.stage(f"answer-{name}") is not None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of the round that have rows to read, in order."""
        return tuple(
            record["name"]
            for record in self.run.manifest.get("stages") or ()
            if "folder" in record
            and record["name"] != "train"
            and not (record["name"].startswith("judge") and "/" in record["name"])
            and (record["round"] == self.round or record["name"] in _OF_THE_FIRST_ROUND)
        )

    def folder(self, name: str) -> StageFolder[object] | None:
        """Where the rows of a stage lie; None if it was not done."""
        record = self._record(name)
        return None if record is None else StageFolder(self.run.store / record["folder"], object)

    def prompt_ids(self) -> Iterator[str]:
        """The ids of all prompts, in order."""
        record = self._record(self.prompts_stage) or {}
        folder = StageFolder(self.run.store / record["folder"], Prompt)
        if not folder.is_committed:  # says what to do
            yield from (prompt.id for prompt in stage_rows(self.run, record, Prompt))
        yield from folder.column("id")

    def examples(self, ids: Collection[str] | None = None) -> Iterator[Example]:
        """Yields the examples in the order of the prompts.

        Args:
            ids: Of the prompts to read; None: all.

        Raises:
            RunError: If a stage is not in the store any more.
        """
        prompts = self._rows("prompts", Prompt, ids, "id")
        train, heldout = _TrainRows(self, ids), _HeldoutRows(self, ids)
        for prompt in prompts:
            yield train.of(prompt) if prompt.split == "train" else heldout.of(prompt)

    def decided_by(self, pair: PreferencePair) -> str | None:
        """See `decided_by`."""
        return decided_by(pair, self.objectives, self._tie_tolerance)

    def _record(self, name: str) -> Mapping[str, str] | None:
        number = None if name in _OF_THE_FIRST_ROUND else self.round
        record = self.run.stage(name, number)
        return record if record is not None and "folder" in record else None

    def _rows(
        self, name: str, row_type: type[R], ids: Collection[str] | None, column: str = "prompt_id"
    ) -> Iterator[R]:
        record = self._record(name)
        if record is None:
            return iter(())
        if ids is None:
            return stage_rows(self.run, record, row_type)
        return self._chosen(record, row_type, ids, column)

    def _chosen(
        self, record: Mapping[str, str], row_type: type[R], ids: Collection[str], column: str
    ) -> Iterator[R]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        folder = StageFolder(self.run.store / record["folder"], row_type)
        if not folder.is_committed:  # says what to do
            yield from stage_rows(self.run, record, row_type)
        wanted = pa.array(list(ids), type=pa.string())
        try:
            with pq.ParquetFile(folder.path / "data.parquet") as file:
                for batch in file.iter_batches(CHUNK):
                    found = batch.filter(pc.is_in(batch.column(column), value_set=wanted))
                    yield from folder.codec.rows(found)
        except (OSError, ValueError, LookupError) as error:
            raise unreadable(folder.path, error) from error

    def _stage(
        self,
        name: str,
        row_type: type[R],
        prompt_of: Callable[[R], str],
        ids: Collection[str] | None,
    ) -> _Stage[R] | None:
        record = self._record(name)
        if record is None:
            return None
        failed: Mapping[str, RequestFailure] = {}
        if record.get("failed"):
            failed = StageFolder(self.run.store / record["folder"], row_type).failures()
        return _Stage(name, Beside(self._rows(name, row_type, ids), prompt_of), failed)


_OF_THE_FIRST_ROUND = ("prompts", f"answer-{BASE}", f"judge-answers-{BASE}")


def decided_by(
    pair: PreferencePair, objectives: Sequence[Objective], tie_tolerance: float = 0.0
) -> str | None:
    """The objective that made one response of a pair the chosen one.

    Args:
        pair: The pair.
        objectives: Most important first, with their thresholds.
        tie_tolerance: That of the pair builder.

    Returns:
        None if the order of the objectives does not prefer the chosen one.
    """
    if len(pair.chosen_scores) != len(objectives):
        return None
    chosen, rejected = (
        lexicographic_key(scores, objectives, tie_tolerance=tie_tolerance)
        for scores in (pair.chosen_scores, pair.rejected_scores)
    )
    for objective, better, worse in zip(objectives, chosen, rejected, strict=True):
        if better != worse:
            return objective.name if better > worse else None
    return None


@dataclass(slots=True)
class _Stage(Generic[R]):
    """A committed stage, read beside the prompts."""

    name: str
    rows: Beside[R]
    failures: Mapping[str, RequestFailure]

    def failed(self, job: str) -> list[Failure]:
        found = self.failures.get(job)
        return [] if found is None else [Failure(self.name, job, found.reason, found.message)]


class JudgedResponses:
    """The responses of a stage with their scores."""

    def __init__(
        self, reader: Reader, responses: str, judged: str, ids: Collection[str] | None
    ) -> None:
        """Begins to read the stage of responses, and that in which they were judged."""
        self._responses = reader._stage(responses, Response, lambda each: each.prompt_id, ids)
        self._judged = reader._stage(judged, JudgedRow, lambda each: each.prompt_id, ids)
        self._objectives = reader.objectives

    def of(self, prompt: Prompt, failures: list[Failure]) -> tuple[Scored, ...]:
        """The responses to a prompt; what failed is added to ``failures``."""
        if self._responses is None:
            return ()
        failures += self._responses.failed(prompt.id)
        scores: dict[str, Mapping[str, Score]] = {}
        if self._judged is not None:
            scores = {row.response_id: row.scores for row in self._judged.rows.of(prompt.id)}
        found = []
        for response in self._responses.rows.of(prompt.id):
            own = scores.get(response.id)
            if own is None and self._judged is not None:
                failed = self._judged.failed(response.id)
                failures += failed
                reason = failed[0].reason if failed else "missing"
                own = {each.name: Score(None, reason) for each in self._objectives}
            found.append(Scored(response, own or {}))
        return tuple(found)


class _TrainRows:
    """All that belongs to training prompts."""

    def __init__(self, reader: Reader, ids: Collection[str] | None) -> None:
        self._reader = reader
        self._samples = JudgedResponses(reader, "sample", "judge", ids)
        self._refined = JudgedResponses(reader, "refine", "judge-refined", ids)
        self._verdicts = reader._stage("denoise", VerdictRow, lambda each: each.prompt_id, ids)
        self._pairs = reader._stage("pairs", PreferencePair, lambda each: each.prompt_id, ids)

    def of(self, prompt: Prompt) -> Example:
        failures: list[Failure] = []
        responses = {
            "sample": self._samples.of(prompt, failures),
            "refined": self._refined.of(prompt, failures),
        }
        verdict: VerdictRow | None = None
        if self._verdicts is not None:
            verdict = next(iter(self._verdicts.rows.of(prompt.id)), None)
            failures += self._verdicts.failed(prompt.id)
        pairs: tuple[ShownPair, ...] = ()
        unpaired = False
        if self._pairs is not None:
            rows = self._pairs.rows.of(prompt.id)
            pairs = tuple(ShownPair(pair, self._reader.decided_by(pair)) for pair in rows)
            failed = self._pairs.failed(prompt.id)
            failures += failed
            unpaired = verdict is not None and verdict.keep and not pairs and not failed
        return Example(
            prompt,
            self._reader.round,
            {name: each for name, each in responses.items() if each},
            verdict=verdict,
            pairs=pairs,
            failures=tuple(failures),
            unpaired=unpaired,
        )


class _HeldoutRows:
    """All that belongs to held-out prompts."""

    def __init__(self, reader: Reader, ids: Collection[str] | None) -> None:
        self._reader = reader
        self._answers = {
            model: JudgedResponses(reader, f"answer-{model}", f"judge-answers-{model}", ids)
            for model in reader.models
        }
        names = [name for name in reader.stages if name.startswith(_EVALUATE)]
        self._evaluations = {
            name.removeprefix(_EVALUATE): stage
            for name in names
            if (stage := reader._stage(name, EvaluationRow, lambda each: each.prompt_id, ids))
        }

    def of(self, prompt: Prompt) -> Example:
        failures: list[Failure] = []
        answers = {model: each.of(prompt, failures) for model, each in self._answers.items()}
        evaluations: dict[str, Mapping[str, JsonValue]] = {}
        for name, stage in self._evaluations.items():
            failures += stage.failed(prompt.id)
            for row in stage.rows.of(prompt.id):
                evaluations[name] = row.record
        return Example(
            prompt,
            self._reader.round,
            {name: each for name, each in answers.items() if each},
            evaluations=evaluations,
            failures=tuple(failures),
        )
