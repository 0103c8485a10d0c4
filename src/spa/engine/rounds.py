"""One round of the method: sample, judge, refine, denoise, pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spa.engine.advice import advice, settings_to_try
from spa.engine.assembly import assemble
from spa.engine.context import RunContext
from spa.engine.funnel import FunnelStep, funnel
from spa.engine.outcome import NothingToTrainOn
from spa.engine.policy import Policy
from spa.engine.rows import VerdictRow
from spa.engine.stages.base import StageRows
from spa.engine.stages.denoise import denoise_stage, without
from spa.engine.stages.judge import judge_stage, objectives_on_scale
from spa.engine.stages.pairs import pairs_stage
from spa.engine.stages.refine import refine_stage
from spa.engine.stages.sample import sample_stage
from spa.types import Group, Objective, PreferencePair, Prompt

__all__ = ["RoundPairs", "make_pairs"]


@dataclass(frozen=True, slots=True)
class RoundPairs:
    """What a round can train on.

    Attributes:
        groups: The groups that denoising kept, by prompt id.
        pairs: The preference pairs among their responses.
        objectives: With the judge's scale.
        steps: The funnel.
    """

    groups: Mapping[str, Group]
    pairs: StageRows[PreferencePair]
    objectives: tuple[Objective, ...]
    steps: tuple[FunnelStep, ...]


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
    entries = assemble(prompts, samples, judged, refined, objectives)
    verdicts = denoise_stage(context, entries, objectives, tuple(reads))
    kept = {row.prompt_id: row for row in verdicts.rows if row.keep}
    groups = {
        entry.prompt.id: without(entry.group, kept[entry.prompt.id].drop)
        for entry in entries
        if entry.group is not None and entry.prompt.id in kept
    }
    pairs = pairs_stage(context, groups, objectives, (*reads, verdicts.key))
    broken = [
        VerdictRow(name, False, "denoise", failure.reason)
        for name, failure in verdicts.failures.items()
    ]
    denoisers = [spec.registered.qualified for spec in recipe.denoise]
    steps = tuple(funnel([*verdicts.rows, *broken], denoisers, pairs.rows, pairs.failures))
    if not pairs.rows:
        raise NothingToTrainOn(
            advice(steps), steps, settings_to_try(recipe, steps, verdicts.rows, groups.values())
        )
    return RoundPairs(groups, pairs, objectives, steps)
