"""Runs a recipe: all rounds, then the evaluation of every policy; keeps the manifest current."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from spa.engine.ahead import check_ahead
from spa.engine.changes import recipe_changes, told
from spa.engine.components import check_components
from spa.engine.context import RunContext
from spa.engine.editions import Retry
from spa.engine.failing import FailureLimit
from spa.engine.files import disk_errors, write_json
from spa.engine.inputs import refuse_missing
from spa.engine.interrupt import Interrupt
from spa.engine.kept_check import find_check
from spa.engine.keys import stage_key
from spa.engine.kinship import kin_judges
from spa.engine.lock import writer_lock
from spa.engine.manifest import git_state, hardware, read_manifest, versions
from spa.engine.models import ModelPool
from spa.engine.outcome import NothingToTrainOn, RunResult
from spa.engine.policy import Policy, untrainable
from spa.engine.rounds import make_pairs
from spa.engine.stages.evaluate import evaluate_stage, evaluator_names
from spa.engine.stages.judge import judge_stage, scored
from spa.engine.stages.own_prompts import OwnPrompts, own_prompts, prompted_names
from spa.engine.stages.prompts import count_split, prompts_stage
from spa.engine.stages.sample import answer_stage
from spa.engine.stages.stage import StageRows
from spa.engine.stages.train import train_stage
from spa.engine.uses import UseLog
from spa.errors import RecipeError, RunError
from spa.models.identity import model_type, parameter_count
from spa.models.spec import ModelSpec
from spa.plugins.catalogue import load_catalogue
from spa.plugins.provenance import plugin_records
from spa.recipe import ComponentSpec, Recipe
from spa.types import JsonValue, Prompt, RunEvent, Scored

__all__ = ["default_run_name", "plan_stages", "planned_stages", "run_recipe"]

Status = Literal["running", "done", "failed", "interrupted"]


def default_run_name(recipe: Recipe) -> str:
    """The recipe's name and a hash of all it says: the same recipe goes on in the same folder."""
    return f"{recipe.name}-{stage_key('run', recipe.resolved())[:8]}"


def planned_stages(recipe: Recipe) -> list[str]:
    """Titles of the stages that a run will have, in order, as events name them."""
    heldout = recipe.prompts.split is not None and recipe.prompts.split.heldout > 0
    refine = ["refine", *_judging("judge-refined", recipe)] if recipe.refine is not None else []
    prompted = prompted_names(recipe)
    titles = ["prompts", *(f"prompts-{name}" for name in prompted)]
    first = len(titles)
    for number in range(1, recipe.iterations + 1):
        names = ["sample", *_judging("judge", recipe), *refine, "denoise", "pairs"]
        if number == 1:
            names += [f"respond-base-{name}" for name in prompted]
        if heldout and number == 1:
            names += ["answer-base", *_judging("judge-answers-base", recipe)]
        names += ["train", *(f"respond-round-{number}-{name}" for name in prompted)]
        if heldout:
            judging = _judging(f"judge-answers-round-{number}", recipe)
            names += [f"answer-round-{number}", *judging]
        titles += names if recipe.iterations == 1 else [f"{number}/{name}" for name in names]
    measured = [name for name in evaluator_names(recipe) if heldout or name in prompted]
    evaluators = [f"evaluate-{name}" for name in measured]
    last = recipe.iterations
    titles += evaluators if last == 1 else [f"{last}/{name}" for name in evaluators]
    return titles if last == 1 else [*(f"1/{t}" for t in titles[:first]), *titles[first:]]


def _judging(name: str, recipe: Recipe) -> list[str]:
    """A judging stage, after those of the judge's members."""
    return [*(f"{name}/{number}" for number, _ in enumerate(recipe.judge.members, 1)), name]


def run_recipe(
    recipe: Recipe,
    *,
    runs: Path,
    name: str | None = None,
    first: int | None = None,
    training: bool = True,
    listen: Callable[[RunEvent], None] = lambda _: None,
    interrupt: Interrupt | None = None,
    limit: FailureLimit | None = None,
    retry: Retry | None = None,
) -> RunResult:
    """Runs a recipe from its first stage that is not in the store yet.

    Args:
        recipe: What to run.
        runs: Folder for runs and for the store that they share.
        name: Name of the run; `default_run_name` if None.
        first: Use only so many training prompts and as many held-out ones, for a trial.
        training: False: stop before the first training; the run then makes no model.
        listen: Told of everything that happens.
        interrupt: Tells training when to stop.
        limit: How many rows of a stage may fail; None: all but the last.
        retry: Tries rows again that failed, in the folder of a run of this recipe. What came of it
            is noted there.

    Raises:
        NothingToTrainOn: If no preference pair is left.
        TooManyFailures: If more rows failed in a stage than the limit allows.
        RecipeError: If a file that it names is not there, or a later stage could not be run on this
            model, and nothing was done; or if a row of the prompts is not right.
        SpaError: If the run cannot go on; what was computed is kept.
        KeyboardInterrupt: If the user asked to stop.
    """
    refuse_missing(recipe)  # before components are imported, which takes seconds
    check_components(recipe)
    if (problem := untrainable(recipe)) is not None:
        raise RecipeError([problem])
    with closing(ModelPool()) as models:
        context = RunContext(
            name=name or default_run_name(recipe),
            recipe=recipe,
            first=first,
            runs=runs,
            models=models,
            interrupt=interrupt or Interrupt(),
            listen=listen,
            limit=limit,
            retry=retry,
        )
        run = _Run(context, training=training)
        run.claim()
        if not run.finished_before:  # what was carried out once needs no libraries to be loaded
            check_ahead(recipe, models)
        with writer_lock(run.folder):
            run.claim()  # once more: another process may have gone on with it, or tried rows again
            return _carry_out(run)


def plan_stages(context: RunContext) -> None:
    """Goes the way of a run through its stages with a planner; nothing is done and nothing written.

    Raises:
        RunError: If the run's folder is another recipe's, or what it says cannot be read.
        SpaError: If a source, a component or a model cannot be read.
    """
    run = _PlannedRun(context)
    run.claim()
    run.all()


def _carry_out(run: _Run) -> RunResult:
    context, listen = run.context, run.context.listen

    def noting(event: RunEvent) -> None:
        """A run that is under way, or was killed, can be read up to its last finished stage."""
        if event.kind == "stage_started":
            run.note("running")
        listen(event)

    context.listen = noting
    listen(RunEvent("run_started", context.name))
    try:
        run.note("running")
        run.all()
    except KeyboardInterrupt:
        run.note("interrupted")
        listen(RunEvent("run_failed", context.name, details={"status": "interrupted"}))
        raise
    except BaseException as error:
        details: dict[str, JsonValue] = {"status": "failed", "error": str(error)}
        if isinstance(error, NothingToTrainOn):
            run.funnels.append([asdict(step) for step in error.steps])
            details["funnel"] = run.funnels[-1]
        run.failed(error)
        listen(RunEvent("run_failed", context.name, details=details))
        raise
    manifest = run.note("done")
    listen(RunEvent("run_finished", context.name))
    return RunResult(run.folder, manifest)


class _Run:
    """A run under way, and its manifest."""

    def __init__(self, context: RunContext, *, training: bool = True) -> None:
        self.context = context
        self.training = training
        self.folder = context.runs / context.name
        self.uses = UseLog(self.folder)
        context.use = self.uses.add
        self.started = time.time()
        self._began = time.monotonic()  # other clocks may be set meanwhile
        self.funnels: list[list[dict[str, Any]]] = []
        self.metrics: list[dict[str, Any]] = []
        self.outputs: dict[str, Any] = {}
        self.judge_check: dict[str, Any] | None = None
        self.error: str | None = None
        self.finished_before = False
        self._facts: dict[str, Any] = {}

    def claim(self) -> None:
        """Makes sure that the folder is this recipe's, and takes up what is noted there.

        Raises:
            RunError: If it holds a run of another recipe, or a manifest that cannot be read.
        """
        file = self.folder / "run.json"
        if not file.is_file():
            return
        try:
            before = read_manifest(file)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{file} cannot be read: {error}. Choose another --name, or move the folder away; "
                "what the stages made lies in the store and is found again."
            ) from error
        different = recipe_changes(before["recipe"], self.context.recipe)
        if different:
            raise RunError(
                f"{self.folder} holds a run of another recipe ({before['recipe_file']}):\n"
                f"{told(different)}\n"
                "Choose another --name, or move the folder away; what the stages made lies in the "
                "store and is found again."
            )
        self.finished_before = before["status"] == "done"
        self.context.editions.clear()
        self.context.editions.update(before.get("editions", {}))
        if self.context.retry is not None:
            self.context.retry.recorded = {
                (stage["round"], stage["name"]): stage["key"] for stage in before.get("stages", ())
            }

    def all(self) -> None:
        """Runs all stages."""
        context = self.context
        prompts = prompts_stage(context)
        own = own_prompts(context)
        base = Policy("base", context.recipe.model)
        policies = [base]
        judged_at_all = count_split(prompts, "heldout") > 0
        answers: dict[str, _Answers] = {}
        for number in range(1, context.recipe.iterations + 1):
            context.round = number
            policy = policies[-1]
            data = make_pairs(context, prompts, policy)
            self.funnels.append([asdict(step) for step in data.steps])
            self.note("running")
            if number == 1:
                for each in own.values():
                    each.ask(context, base)
            if number == 1 and judged_at_all:
                answers["base"] = _answers(context, prompts, base, base)
            if not self.training:
                return
            result = train_stage(
                context, data.groups, data.pairs, data.objectives, policy, data.reads
            )
            trained = policy.trained(f"round-{number}", result.path, result.kind)
            policies.append(trained)
            # Relative to the run's folder, so that the folder of runs can be moved.
            path = os.path.relpath(result.path, self.folder)
            self.outputs = {
                "kind": result.kind,
                "path": path,
                "rounds": [*self.outputs.get("rounds", []), path],
                "warnings": [*self.outputs.get("warnings", []), *result.warnings],
            }
            self.note("running")
            for each in own.values():
                each.ask(context, trained)
            if judged_at_all:
                answers[trained.name] = _answers(context, prompts, trained, base)
        self.evaluate(prompts if judged_at_all else None, answers, own, base)
        self.judge_check = find_check(context)  # by now the judge's model is known to the pool

    def evaluate(
        self,
        prompts: StageRows[Prompt] | None,
        answers: Mapping[str, _Answers],
        own: Mapping[str, OwnPrompts],
        judge: Policy,
    ) -> None:
        """Runs the recipe's evaluators on what all policies answered.

        Args:
            prompts: All prompts of the run; None if none is held out.
            answers: Of every policy to the held-out ones.
            own: Evaluators that bring prompts of their own, with what policies responded.
            judge: Whose model answers what evaluators ask.
        """
        reads = tuple(key for each in answers.values() for key in each.keys)
        of_policy = {name: each.scored for name, each in answers.items()}
        context, recipe = self.context, self.context.recipe
        for section, name in zip(recipe.evaluate, evaluator_names(recipe), strict=True):
            if name in own:
                asked = own[name]
                keys = (asked.prompts.key, *asked.keys)
                self.metrics += evaluate_stage(
                    context,
                    section,
                    name,
                    asked.prompts,
                    asked.responses,
                    judge,
                    keys,
                    len(asked.prompts.rows),
                )
            elif prompts is not None:
                self.metrics += evaluate_stage(
                    context, section, name, prompts, of_policy, judge, (prompts.key, *reads)
                )

    def failed(self, error: BaseException) -> None:
        """Notes why the run failed, if the disk still takes it."""
        self.error = str(error)
        try:
            self.note("failed")
        except Exception:  # the first error is the one to show
            return

    def note(self, status: Status) -> dict[str, Any]:
        """Writes the manifest, but keeps that of a finished run until it is finished again.

        Raises:
            RunError: If the folder cannot be written.
        """
        context = self.context
        if not self._facts:
            with disk_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self.uses.begin()
            self._facts = {
                "versions": versions(),
                "hardware": hardware(),
                **_models(context.recipe),
                "kin_judges": [asdict(each) for each in kin_judges(context.recipe)],
                "git": git_state(Path(context.recipe.source).resolve().parent),
                "plugins": plugin_records(
                    load_catalogue(), [spec.registered for spec in context.recipe.components]
                ),
            }
        manifest: dict[str, Any] = {
            "format": 1,
            "name": context.name,
            "status": status,
            "error": self.error,
            "started_at": self.started,
            "seconds": time.monotonic() - self._began,
            "recipe_file": context.recipe.source,
            "recipe": context.recipe.resolved(),
            "stages": [asdict(stage) for stage in context.stages],
            "editions": dict(context.editions),
            "funnels": self.funnels,
            "metrics": self.metrics,
            "outputs": self.outputs,
            "judge_check": self.judge_check,
            **self._facts,
        }
        if status == "done" or not self.finished_before:
            write_json(self.folder / "run.json", manifest)
        return manifest


class _PlannedRun(_Run):
    """The same way through the stages, without a manifest."""

    def note(self, status: Status) -> dict[str, Any]:
        """Writes nothing."""
        del status
        return {}


def _models(recipe: Recipe) -> dict[str, Any]:
    """Size and architecture of the policy and of other models, where backends tell.

    ``judge_*`` are of the section's own backend; ``roles`` has a record for every component that
    asks another model than the policy.
    """
    facts: dict[str, Any] = {}
    for name, backend in (("policy", recipe.model), ("judge", recipe.judge.backend)):
        told = _told(backend)
        facts[f"{name}_parameters"], facts[f"{name}_type"] = told["parameters"], told["type"]
    facts["roles"] = {
        asker.path: {"backend": asker.backend.registered.qualified, **_told(asker.backend)}
        for asker in recipe.askers
        if asker.backend is not None
    }
    return facts


def _told(backend: ComponentSpec | None) -> dict[str, int | str | None]:
    spec = None if backend is None else _weights(backend)
    return {
        "parameters": None if spec is None else parameter_count(spec),
        "type": None if spec is None else model_type(spec),
    }


def _weights(backend: ComponentSpec) -> ModelSpec | None:
    """Where a backend's weights lie; None if it only serves them."""
    told = hasattr(backend.config, "adapter") and hasattr(backend.config, "path")
    return Policy("base", backend).spec() if told else None


class _Answers:
    """The judged answers of one policy to the held-out prompts."""

    def __init__(self, keys: tuple[str, str], of_prompt: Mapping[str, Sequence[Scored]]) -> None:
        self.keys = keys
        self.scored = of_prompt


def _answers(
    context: RunContext, prompts: StageRows[Prompt], policy: Policy, judge: Policy
) -> _Answers:
    """Has a policy answer, and the judge of the first round score, so that figures compare."""
    answers = answer_stage(context, prompts, policy)
    judged = judge_stage(context, f"judge-answers-{policy.name}", prompts, answers, judge)
    return _Answers((answers.key, judged.key), scored(answers, judged))
