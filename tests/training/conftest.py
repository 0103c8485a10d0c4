"""A tiny random Llama with a byte-level tokenizer, and prompt groups for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_llama import make_model, make_tokenizer, save_tiny_llama

from spa.components.losses.configs import SpaConfig
from spa.components.losses.spa import SpaLoss
from spa.contracts import Loss
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.encoding import EncodedGroup
from spa.training.forward import Forward, forwarding
from spa.training.groups import TrainingGroup
from spa.training.layout import whole
from spa.training.outcome import TrainProgress, TrainResult
from spa.training.run import train
from spa.types import Message, Objective, PreferencePair, Prompt, Response, Score, Scored

torch.set_num_threads(1)

OBJECTIVES = (Objective("safety", "is safe"), Objective("help", "is helpful"))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture
def spec(model_folder: Path) -> ModelSpec:
    return ModelSpec(str(model_folder), dtype="float32", device="cpu")


@pytest.fixture
def tiny() -> Any:
    return make_model()


def scored(name: str, ids: Sequence[int], scores: Sequence[float], **changes: Any) -> Scored:
    values = {o.name: Score(s) for o, s in zip(OBJECTIVES, scores, strict=True)}
    return Scored(
        Response(text="", token_ids=tuple(ids), id=name, **changes),
        values,
    )


def pair(prompt: str, chosen: Scored, rejected: Scored) -> PreferencePair:
    a, b = chosen.vector(OBJECTIVES), rejected.vector(OBJECTIVES)
    return PreferencePair(
        prompt_id=prompt,
        chosen=chosen.id,
        rejected=rejected.id,
        chosen_scores=a,
        rejected_scores=b,
        margin=sum(abs(x - y) for x, y in zip(a, b, strict=True)),
        gap=abs(sum(a) - sum(b)),
    )


def group(name: str, text: str, responses: Sequence[Scored]) -> TrainingGroup:
    """All pairs that the order of the scores gives."""
    pairs = [
        pair(name, a, b)
        for a in responses
        for b in responses
        if a.vector(OBJECTIVES) > b.vector(OBJECTIVES)
    ]
    prompt = Prompt(name, (Message("user", text),))
    return TrainingGroup(prompt, tuple(responses), tuple(pairs))


def random_groups(count: int, seed: int = 0, responses: int = 3) -> list[TrainingGroup]:
    """Groups with prompts and responses of many lengths."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, size: int) -> list[int]:
        return torch.randint(low, high, (size,), generator=generator).tolist()

    groups = []
    for number in range(count):
        text = "".join(chr(97 + c) for c in draw(0, 26, draw(1, 12, 1)[0]))
        items = [
            scored(f"p{number}/s{i}", [*draw(0, 256, draw(1, 9, 1)[0]), 256], draw(1, 10, 2))
            for i in range(responses)
        ]
        made = group(f"p{number}", text, items)
        if made.pairs:
            groups.append(made)
    return groups


def encoded(
    prompt: Sequence[int],
    responses: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int]],
    name: str = "p",
) -> EncodedGroup:
    """A group with scores (R, 2) made up from the places of its responses."""
    scores = tuple((float(len(responses) - i), float(i * i)) for i in range(len(responses)))
    return EncodedGroup(
        prompt_id=name,
        prompt=tuple(prompt),
        responses=tuple(tuple(r) for r in responses),
        response_ids=tuple(f"{name}/{i}" for i in range(len(responses))),
        scores=scores,
        chosen=tuple(a for a, _ in pairs),
        rejected=tuple(b for _, b in pairs),
        gap_sum=tuple(abs(sum(scores[a]) - sum(scores[b])) for a, b in pairs),
        gap_l1=tuple(
            sum(abs(x - y) for x, y in zip(scores[a], scores[b], strict=True)) for a, b in pairs
        ),
    )


def logprobs(
    model: Any, groups: Sequence[EncodedGroup], pad_id: int = 260, kernel: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(R, T) log-probabilities and mask of all responses of some groups."""
    forward = Forward(pad_id, kernel)
    with forwarding(model, forward):
        found = forward(model, whole(groups))
    return found.logprobs, found.mask


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The helpers of this file."""
    return SimpleNamespace(
        model=make_model,
        tokenizer=make_tokenizer,
        scored=scored,
        pair=pair,
        group=group,
        random_groups=random_groups,
        encoded=encoded,
        logprobs=logprobs,
        objectives=OBJECTIVES,
    )


@pytest.fixture
def run(spec: ModelSpec, make: SimpleNamespace, tmp_path: Path) -> Callable[..., TrainResult]:
    """Trains with sensible values for whatever a test does not care about."""

    def start(
        *,
        out: str = "out",
        groups: Sequence[TrainingGroup] | None = None,
        model: ModelSpec | None = None,
        loss: Loss | None = None,
        seed: int = 1,
        on_progress: Callable[[TrainProgress], None] = lambda _progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        reference_dir: Path | None = None,
        **settings: Any,
    ) -> TrainResult:
        given = {"batch_pairs": 4, "learning_rate": 1e-2, "epochs": 2, "lora": LoraSettings(r=4)}
        return train(
            make.random_groups(6) if groups is None else groups,
            make.objectives,
            model=model or spec,
            settings=TrainConfig(**{**given, **settings}),
            loss=loss or SpaLoss(SpaConfig()),
            output_dir=tmp_path / out,
            seed=seed,
            on_progress=on_progress,
            should_stop=should_stop,
            reference_dir=reference_dir,
        )

    return start
