"""Announces the default components, through the same hooks and records as any plugin."""

from __future__ import annotations

from spa.api import Component, hookimpl

__all__ = [
    "spa_backends",
    "spa_denoisers",
    "spa_evaluators",
    "spa_generators",
    "spa_judges",
    "spa_losses",
    "spa_pair_builders",
    "spa_refiners",
    "spa_sources",
]


def _component(
    folder: str, name: str, impl: str, config: str, summary: str, *, revision: int = 1
) -> Component:
    """A record whose ``impl`` and ``config`` are given relative to the folder of its kind."""
    package = f"spa.components.{folder}"
    return Component(
        name=name,
        impl=f"{package}.{impl}",
        config=f"{package}.{config}",
        summary=summary,
        revision=revision,
    )


@hookimpl
def spa_backends() -> list[Component]:
    """Announces what runs a model."""
    return [
        _component(
            "backends",
            "hf",
            "hf:HFBackend",
            "hf_config:HFConfig",
            "Runs a Hugging Face model in this process, on a CPU or one accelerator",
            revision=3,
        )
    ]


@hookimpl
def spa_sources() -> list[Component]:
    """Announces where prompts come from."""
    kind = "sources"
    return [
        _component(
            kind, "jsonl", "jsonl:JsonlSource", "configs:JsonlConfig", "Reads a JSON Lines file"
        ),
        _component(kind, "csv", "csv:CsvSource", "configs:CsvConfig", "Reads a CSV file"),
        _component(
            kind,
            "parquet",
            "parquet:ParquetSource",
            "configs:ParquetConfig",
            "Reads a Parquet file",
        ),
        Component(
            name="datasets",
            impl="spa.components.sources.datasets:DatasetsSource",
            config="spa.components.sources.configs:DatasetsConfig",
            summary="Reads a Hugging Face data set by name, when online",
            install_hint="pip install datasets",
        ),
    ]


@hookimpl
def spa_generators() -> list[Component]:
    """Announces what samples responses."""
    return [
        _component(
            "generators",
            "diverse",
            "diverse:DiverseGenerator",
            "configs:DiverseConfig",
            "Samples at a temperature and under alternative system prompts",
        )
    ]


@hookimpl
def spa_judges() -> list[Component]:
    """Announces what scores responses."""
    kind = "judges"
    return [
        _component(
            kind,
            "constitution",
            "constitution:ConstitutionJudge",
            "configs:ConstitutionConfig",
            "Asks a model to score against the definition of each objective",
            revision=2,
        ),
        _component(
            kind,
            "ensemble",
            "ensemble:EnsembleJudge",
            "ensemble_config:EnsembleConfig",
            "Combines the scores of several judges, each with a model of its own if need be",
        ),
    ]


@hookimpl
def spa_refiners() -> list[Component]:
    """Announces what writes a better response."""
    kind = "refiners"
    return [
        _component(
            kind,
            "self-refine",
            "self_refine:SelfRefiner",
            "configs:SelfRefineConfig",
            "Asks for one improved response from all samples and their scores",
        ),
        _component(
            kind,
            "critique-refine",
            "critique_refine:CritiqueRefiner",
            "configs:CritiqueRefineConfig",
            "Asks for a critique of all samples first, then for a response that heeds it",
        ),
        _component(
            kind,
            "best-of-n",
            "best_of_n:BestOfN",
            "configs:BestOfNConfig",
            "Takes the best sample as it is, to see what rewriting adds",
        ),
    ]


@hookimpl
def spa_denoisers() -> list[Component]:
    """Announces what drops prompts whose judgement cannot be trusted."""
    kind = "denoisers"
    return [
        _component(
            kind,
            "consistency",
            "consistency:ConsistencyDenoiser",
            "configs:ConsistencyConfig",
            "Keeps prompts whose refined response beats every sample on every objective",
        ),
        _component(
            kind,
            "informativeness",
            "informativeness:InformativenessDenoiser",
            "configs:InformativenessConfig",
            "Keeps prompts whose scores vary, but not too wildly (determinant of the covariance)",
        ),
    ]


@hookimpl
def spa_pair_builders() -> list[Component]:
    """Announces what builds preference pairs."""
    return [
        _component(
            "pair_builders",
            "lexicographic",
            "lexicographic:LexicographicPairBuilder",
            "configs:LexicographicConfig",
            "Pairs by strict priority: a later objective decides only where earlier ones tie",
            revision=2,
        )
    ]


@hookimpl
def spa_losses() -> list[Component]:
    """Announces what training minimises."""
    kind = "losses"
    return [
        _component(
            kind,
            "spa",
            "spa:SpaLoss",
            "configs:SpaConfig",
            "SimPO weighted by the score gap of each pair, as in Self-Priority Alignment",
        ),
        _component(
            kind,
            "simpo",
            "simpo:SimpoLoss",
            "configs:SimpoConfig",
            "SimPO: margin of length-normalised log-probabilities, without a reference model",
        ),
        _component(
            kind,
            "dpo",
            "dpo:DpoLoss",
            "configs:DpoConfig",
            "DPO against the model at the start of the round",
        ),
        _component(
            kind,
            "sft",
            "sft:SftLoss",
            "configs:SftConfig",
            "Supervised fine-tuning on the chosen responses",
        ),
        _component(
            kind,
            "ipo",
            "ipo:IpoLoss",
            "ratio_configs:IpoConfig",
            "IPO: pulls the margin of log ratios to a fixed value",
        ),
        _component(
            kind,
            "hinge",
            "hinge:HingeLoss",
            "ratio_configs:HingeConfig",
            "Hinge on DPO's margin: pairs that are far enough apart cost nothing",
        ),
        _component(
            kind,
            "wpo",
            "wpo:WpoLoss",
            "ratio_configs:WpoConfig",
            "DPO weighted by how likely the policy is to write the responses today",
        ),
        _component(
            kind,
            "cpo",
            "cpo:CpoLoss",
            "likelihood_configs:CpoConfig",
            "CPO: margin of log-probabilities, and the likelihood of the chosen response",
        ),
        _component(
            kind,
            "orpo",
            "orpo:OrpoLoss",
            "likelihood_configs:OrpoConfig",
            "ORPO: likelihood of the chosen response, and the odds against the rejected one",
        ),
        _component(
            kind,
            "safedpo",
            "safedpo:SafeDpoLoss",
            "score_configs:SafeDpoConfig",
            "DPO on pairs ordered by safety, with a wider margin between safe and unsafe",
        ),
        _component(
            kind,
            "reward-soup",
            "reward_soup:RewardSoupLoss",
            "score_configs:RewardSoupConfig",
            "SimPO on pairs ordered by one weighted sum of all scores",
        ),
    ]


@hookimpl
def spa_evaluators() -> list[Component]:
    """Announces what measures models on held-out prompts, or on prompts of its own."""
    kind = "evaluators"
    return [
        _component(
            kind,
            "judge-scores",
            "judge_scores:JudgeScoresEvaluator",
            "configs:JudgeScoresConfig",
            "Mean judge scores of every model, and what training changed by priority",
            revision=2,
        ),
        _component(
            kind,
            "pairwise",
            "pairwise:PairwiseEvaluator",
            "configs:PairwiseConfig",
            "Win, tie or lose against the untrained model, judged in both orders",
        ),
        _component(
            kind,
            "multiple-choice",
            "multiple_choice:MultipleChoiceEvaluator",
            "data_configs:MultipleChoiceConfig",
            "Accuracy on questions with choices, by the likeliest letter",
        ),
        _component(
            kind,
            "refusal",
            "refusal:RefusalEvaluator",
            "data_configs:RefusalConfig",
            "Over-refusal of safe prompts, and compliance with unsafe ones",
        ),
        _component(
            kind,
            "exact-answer",
            "exact_answer:ExactAnswerEvaluator",
            "data_configs:ExactAnswerConfig",
            "Accuracy on questions with one right answer, written freely",
        ),
        _component(
            kind,
            "mt-bench",
            "mt_bench:MtBenchEvaluator",
            "mt_bench_config:MtBenchConfig",
            "Answers in two turns, each graded from 1 to 10 by a judge",
        ),
    ]
