"""Has a recipe's judge score labelled probes, and says whether its scores carry signal.

It goes through the same stages as a run, so that answers lie in the store and a second check asks
nothing: ``judge-probes`` scores every answer on every objective, exactly as a run would, and
``compare-probes`` asks the judge's model which of two answers is better, in both orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any, cast

from spa.contracts import Evaluator
from spa.engine.ahead import refuse_unanswerable
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.interrupt import Interrupt
from spa.engine.kept_check import keep_check
from spa.engine.keys import stage_key
from spa.engine.models import ModelPool, same_model
from spa.engine.policy import Policy
from spa.engine.rows import EvaluationRow, JudgedRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.judge import judge_stage, objectives_on_scale
from spa.engine.stages.stage import Stage, StageRows
from spa.errors import RecipeError
from spa.evaluation.discrimination import Answer
from spa.evaluation.probes import Probe, ProbeSet
from spa.evaluation.verdict import Figures, figures_of
from spa.jsonable import finite
from spa.models.identity import parameter_count
from spa.plugins.catalogue import load_catalogue
from spa.recipe import ComponentSpec, Recipe
from spa.types import EvaluationItem, JsonValue, Prompt, Response, RunEvent, Score, Scored

__all__ = ["STAGES", "run_judge_check"]

STAGES = ("judge-probes", "compare-probes")
"""Titles of its stages; the second is left out for a judge that asks no model, or several."""

_SIDES = ("worse", "better")  # by label
_PAIRWISE = "spa-align/pairwise"


def run_judge_check(
    recipe: Recipe,
    probes: ProbeSet,
    *,
    runs: Path,
    listen: Callable[[RunEvent], None] = lambda _: None,
) -> dict[str, Any]:
    """Checks a recipe's judge and keeps the result in the store.

    Args:
        recipe: Whose judge, objectives and model are taken.
        probes: What is judged.
        runs: Folder of runs and of the store that they share.
        listen: Told of everything that happens.

    Returns:
        JSON values: ``verdict``; ``overall`` and ``objectives``, figures as `Figures` has them;
        ``probes``, ``skipped``, ``sources``; ``asks``, whether the judge asks a model, and that
        model's ``parameters``, None where they are not known.

    Raises:
        RecipeError: If the judge's model could not answer what is asked.
        SpaError: If the check cannot go on; what was computed is kept.
    """
    recipe = replace(recipe, iterations=1)
    policy = Policy("base", recipe.model)
    backend = recipe.judge.backend or recipe.model
    compare = _pairwise(recipe)
    with closing(ModelPool()) as models:
        context = RunContext(
            name="judge-check",
            recipe=recipe,
            runs=runs,
            models=models,
            interrupt=Interrupt(),
            listen=listen,
        )
        judges = [each for each in recipe.askers if each.path.split(".")[0] == "judge"]
        asked = [(each.path, each.section, each.backend or recipe.model) for each in judges]
        refuse_unanswerable(recipe, asked, models)
        prompts, responses = _rows(probes.probes)
        judged = judge_stage(context, STAGES[0], prompts, responses, policy)
        asks = _asks(context)
        answers = list(_answers(probes.probes, judged))
        flips: dict[str, list[bool]] = {}
        if asks and all(same_model(each, backend) for _, _, each in asked):
            flips = _flips(context, compare, backend, probes.probes)
        overall, single = _figures(answers, flips, _scale(context))
        result = {
            "format": 1,
            "verdict": overall.verdict,
            "overall": finite(asdict(overall)),
            "objectives": [finite(asdict(each)) for each in single],
            "probes": len(probes.probes),
            "skipped": dict(probes.skipped),
            "sources": list(probes.sources),
            "asks": asks,
            "parameters": _parameters(recipe, backend) if asks else None,
        }
        keep_check(context, result, asked=asks)
    return result


def _asks(context: RunContext) -> bool:
    """Whether the judge asks a model, after its stages.

    A stage that was interrupted at its end has nothing left to ask when it goes on, so the judge's
    code is looked at as well.
    """
    if any(stage.details["asked"] + stage.details["replayed"] for stage in context.stages):
        return True
    judge = context.recipe.judge
    scoring = [create(each) for each in judge.members or (judge,)]
    return any(isgeneratorfunction(each.score) for each in scoring)


def _rows(probes: Sequence[Probe]) -> tuple[StageRows[Prompt], StageRows[Response]]:
    """The probes as stages hand on prompts and responses; their keys are of their content."""
    prompts = {p.prompt_id: Prompt(p.prompt_id, p.messages, "heldout") for p in probes}
    places = {name: place for place, name in enumerate(prompts)}
    responses = [
        Response(text, id=_response_id(probe, side, place), prompt_id=probe.prompt_id)
        for probe in sorted(probes, key=lambda probe: places[probe.prompt_id])
        for side, place, text in _sides(probe)
    ]
    content = [[asdict(each) for each in rows] for rows in (prompts.values(), responses)]
    keys = [stage_key("probes", {"rows": rows}) for rows in content]
    return (
        StageRows(keys[0], tuple(prompts.values()), {}),
        StageRows(keys[1], tuple(responses), {}),
    )


def _sides(probe: Probe) -> Iterator[tuple[int, int, str]]:
    """Label, place and text of every answer of a probe."""
    for label, texts in ((1, probe.better), (0, probe.worse)):
        for place, text in enumerate(texts):
            yield label, place, text


def _response_id(probe: Probe, label: int, place: int) -> str:
    return f"{probe.prompt_id}/{probe.objective}/{_SIDES[label]}-{place}"


def _answers(probes: Sequence[Probe], judged: StageRows[JudgedRow]) -> Iterator[Answer]:
    """Every labelled answer with its score; one that could not be judged is unscored."""
    scores = {row.response_id: row.scores for row in judged.rows}
    for probe in probes:
        for label, place, text in _sides(probe):
            of_answer = scores.get(_response_id(probe, label, place), {})
            score = of_answer.get(probe.objective, Score(None))
            masses = list(_masses(score.details))
            yield Answer(
                prompt_id=probe.prompt_id,
                objective=probe.objective,
                label=label,
                length=len(text),
                score=score.value,
                label_mass=sum(masses) / len(masses) if masses else None,
            )


def _masses(details: JsonValue) -> Iterator[float]:
    """The label masses that a judge noted, those of its single readings included."""
    if isinstance(details, Mapping):
        for key, value in details.items():
            if key == "label_mass" and isinstance(value, int | float):
                yield float(value)
            else:
                yield from _masses(value)
    elif isinstance(details, Sequence) and not isinstance(details, str):
        for value in details:
            yield from _masses(value)


def _pairwise(recipe: Recipe) -> ComponentSpec:
    """The recipe's pairwise evaluator, or that with its defaults, asked about one objective."""
    for spec in recipe.evaluate:
        if spec.registered.qualified == _PAIRWISE:
            return replace(spec, config=spec.config.model_copy(update={"per_objective": False}))
    registered = load_catalogue().resolve("evaluator", _PAIRWISE)
    return ComponentSpec("evaluator", "pairwise", registered, registered.load_config_class()())


def _flips(
    context: RunContext, section: ComponentSpec, backend: ComponentSpec, probes: Sequence[Probe]
) -> dict[str, list[bool]]:
    """Of each pairwise question that was answered, whether it flipped, by objective."""
    evaluator = cast("Evaluator", create(section))
    objectives = {o.name: o for o in objectives_on_scale(context)}
    paired = {f"{p.prompt_id}/{p.objective}": p for p in probes if p.better and p.worse}

    def jobs() -> Iterator[Job[Mapping[str, JsonValue]]]:
        for name, probe in paired.items():
            start = partial(evaluator.evaluate, _item(probe), [objectives[probe.objective]])
            yield Job(name, start)

    if not paired:
        return {}
    try:
        refuse_unanswerable(context.recipe, [("judge", section, backend)], context.models)
    except RecipeError:  # a model without these labels has no flips; its scores stand
        return {}
    done = run_stage(
        context,
        Stage(
            name=STAGES[1],
            row_type=EvaluationRow,
            components=(section,),
            jobs=jobs,
            total=len(paired),
            rows=lambda job, record: [EvaluationRow(job.id, _PAIRWISE, record)],
            reads=tuple(rows.key for rows in _rows(probes)),
            backend=backend,
            settings={"objectives": [[o.name, o.definition] for o in objectives.values()]},
        ),
    )
    found: dict[str, list[bool]] = {}
    for row in done.rows:
        counts = {
            name: int(cast("int", row.record.get(f"better:{name}", 0)))
            for name in ("wins", "ties", "losses", "flips")
        }
        answered = counts["wins"] + counts["ties"] + counts["losses"]
        flipped = counts["flips"]
        found.setdefault(paired[row.prompt_id].objective, []).extend(
            [True] * flipped + [False] * (answered - flipped)
        )
    return found


def _item(probe: Probe) -> EvaluationItem:
    """The answers of a probe as those of two models: the worse first, as the untrained one's."""
    sides = {"worse": probe.worse, "better": probe.better}
    return EvaluationItem(
        Prompt(probe.prompt_id, probe.messages, "heldout"),
        {
            name: tuple(
                Scored(Response(text, id=f"{name}-{at}"), {}) for at, text in enumerate(texts)
            )
            for name, texts in sides.items()
        },
    )


def _scale(context: RunContext) -> tuple[float, float] | None:
    first = objectives_on_scale(context)[0]
    if first.minimum is None or first.maximum is None:
        return None
    return first.minimum, first.maximum


def _figures(
    answers: Sequence[Answer],
    flips: Mapping[str, Sequence[bool]],
    scale: tuple[float, float] | None,
) -> tuple[Figures, list[Figures]]:
    names = dict.fromkeys(each.objective for each in answers)
    single = [
        figures_of(name, [a for a in answers if a.objective == name], flips.get(name, ()), scale)
        for name in names
    ]
    every = [flipped for of_objective in flips.values() for flipped in of_objective]
    return figures_of(None, answers, every, scale), single


def _parameters(recipe: Recipe, backend: ComponentSpec) -> int | None:
    """The size of the model; None where it serves without its weights, or where several judge."""
    if getattr(recipe.judge, "members", ()):
        return None
    told = hasattr(backend.config, "adapter") and hasattr(backend.config, "path")
    return parameter_count(Policy("base", backend).spec()) if told else None
