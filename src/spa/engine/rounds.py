"""One round of the method: sample, judge, refine, denoise, pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from spa.engine.advice import advice, settings_to_try
from spa.engine.assembly import Assembled, assemble
from spa.engine.context import RunContext
from spa.engine.funnel import FunnelStep, funnel
from spa.engine.joining import Beside
from spa.engine.outcome import NothingToTrainOn
from spa.engine.policy import Policy
from spa.engine.rows import VerdictRow
from spa.engine.stages.denoise import denoise_stage, without
from spa.engine.stages.judge import judge_stage, objectives_on_scale
from spa.engine.stages.pairs import pairs_stage
from spa.engine.stages.refine import refine_stage
from spa.engine.stages.sample import sample_stage
from spa.engine.stages.stage import StageRows
from spa.types import Group, Objective, PreferencePair, Prompt

__all__ = ["RoundPairs", "make_pairs"]


@dataclass(frozen=True, slots=True)
class RoundPairs:
    """What a round can train on.

    Attributes:
        groups: Gives the groups that denoising kept, in the order of the prompts; they are read
            from disk each time.
        pairs: The preference pairs among their responses.
        objectives: With the judge's scale.
        steps: The funnel.
        reads: Keys of the stages that groups and pairs come from.
    """

    groups: Callable[[], Iterator[Group]]
    pairs: StageRows[PreferencePair]
    objectives: tuple[Objective, ...]
    steps: tuple[FunnelStep, ...]
    reads: tuple[str, ...]


def make_pairs(context: RunContext, prompts: StageRows[Prompt], policy: Policy) -> RoundPairs:
    """Runs the stages of a round up to its pairs.

    Raises:
        NothingToTrainOn: If no pair is left.
        RunError: If a stage fails.
    """
    recipe = context.recipe
    objectives = objectives_on_scale(context)
    samples = sample_stage(context, prompts, policy)
    judged = judge_stage(context, "judge", prompts, samples, policy)
    reads = [prompts.key, samples.key, judged.key]
    refined = None
    if recipe.refine is not None:
        responses = refine_stage(context, recipe.refine, prompts, samples, judged, policy)
        scores = judge_stage(context, "judge-refined", prompts, responses, policy)
        refined = (responses, scores)
        reads += [responses.key, scores.key]
    assembled = partial(assemble, prompts, samples, judged, refined, objectives)
    verdicts = denoise_stage(context, assembled, samples.jobs, objectives, tuple(reads))
    groups = partial(_kept, assembled, verdicts)
    kept = sum(verdicts.column("keep"))
    pairs = pairs_stage(context, groups, kept, objectives, (*reads, verdicts.key))
    every = (*reads, verdicts.key, pairs.key)
    if pairs.planned:
        return RoundPairs(groups, pairs, objectives, (), every)
    denoisers = [spec.registered.qualified for spec in recipe.denoise]
    steps = tuple(funnel(_all_verdicts(verdicts), denoisers, pairs))
    if not pairs.rows:
        raise NothingToTrainOn(
            advice(steps), steps, settings_to_try(recipe, steps, verdicts.rows, groups())
        )
    return RoundPairs(groups, pairs, objectives, steps, every)


def _kept(
    assembled: Callable[[], Iterator[Assembled]], verdicts: StageRows[VerdictRow]
) -> Iterator[Group]:
    """The groups that denoising kept, without what it dropped of them."""
    beside = Beside(verdicts.rows, lambda row: row.prompt_id)
    for entry in assembled():
        for verdict in beside.of(entry.prompt.id):
            if verdict.keep and entry.group is not None:
                yield without(entry.group, verdict.drop)
    beside.end()


def _all_verdicts(verdicts: StageRows[VerdictRow]) -> Iterator[VerdictRow]:
    """One for every training prompt, those on which a denoiser broke included."""
    yield from verdicts.rows
    for name, failure in verdicts.failures.items():
        yield VerdictRow(name, False, "denoise", failure.reason)
