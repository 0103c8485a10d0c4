"""Which setting changes which keys: those that depend on it, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from stage_keys import keys_without_running, write_model_files

from spa.engine.keys import key_config
from spa.fields import Members, NotInKey
from spa.plugins.catalogue import build_catalogue
from spa.recipe import ComponentSpec, Recipe, TrainConfig, load_recipe

RECIPE = """
name: table
objectives:
  - {name: harmlessness, definition: Is it safe?}
  - {name: helpfulness, definition: Does it help?}
model: {use: hf, path: policy, dtype: float32}
prompts: {use: jsonl, path: prompts.jsonl, split: {heldout: 2}}
generate: {use: diverse, n: 3, system_prompts: [Be kind.]}
judge: {use: constitution, backend: {use: hf, path: judge, dtype: float32}}
refine: {use: self-refine}
denoise: [{use: consistency}]
pairs: {use: lexicographic}
loss: {use: spa}
train: {lora: {r: 2}}
evaluate: [{use: judge-scores}]
"""

READS = {
    "prompts": [],
    "sample": ["prompts"],
    "judge": ["prompts", "sample"],
    "refine": ["prompts", "sample", "judge"],
    "judge-refined": ["prompts", "refine"],
    "denoise": ["judge", "judge-refined"],
    "pairs": ["denoise"],
    "train": ["pairs"],
    "answer-base": ["prompts"],
    "judge-answers-base": ["answer-base"],
    "answer-round-1": ["train"],
    "judge-answers-round-1": ["answer-round-1"],
    "evaluate-judge-scores": ["judge-answers-base", "judge-answers-round-1"],
}
"""What each stage of the recipe reads; the trained model is what training made."""

POLICY = {"sample", "refine", "train", "answer-base", "answer-round-1"}
"""Stages that the policy has a part in."""

JUDGE = {"judge", "judge-refined", "judge-answers-base", "judge-answers-round-1"}
"""Stages that score."""

EVALUATION = {"evaluate-judge-scores"}
"""Stages that the judge's model answers for an evaluator, or that read objectives."""

Change = Callable[[Path, Callable[..., Recipe]], Recipe]


def settings(*sets: str, swaps: tuple[str, ...] = ()) -> Change:
    return lambda _, load: load(sets, swaps)


def model_file(model: str, name: str) -> Change:
    def change(folder: Path, load: Callable[..., Recipe]) -> Recipe:
        (folder / model / name).write_text('{"another": 1}', encoding="utf-8")
        return load()

    return change


def with_adapter(section: str) -> Change:
    def change(folder: Path, load: Callable[..., Recipe]) -> Recipe:
        adapter = folder / "adapter"
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_text("adapter", encoding="utf-8")
        return load([f"{section}.adapter={adapter}"])

    return change


def with_soup(folder: Path, load: Callable[..., Recipe]) -> Recipe:
    adapters = [folder / name for name in ("first", "second")]
    for adapter in adapters:
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_text(adapter.name, encoding="utf-8")
    listed = ",".join(map(str, adapters))
    return load([f"train.soup.adapters=[{listed}]", "train.soup.weights=[6,4]"])


def prompt_file(folder: Path, load: Callable[..., Recipe]) -> Recipe:
    with (folder / "prompts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "more", "prompt": "One more?"}\n')
    return load()


def raised(section: str) -> Change:
    """Another revision of a component, as its plugin would announce it."""

    def change(_: Path, load: Callable[..., Recipe]) -> Recipe:
        recipe = load()
        spec = getattr(recipe, section)
        if isinstance(spec, tuple):
            return replace(recipe, **{section: (_raised(spec[0]), *spec[1:])})
        return replace(recipe, **{section: _raised(spec)})

    return change


def _raised(spec: Any) -> Any:
    component = replace(spec.registered.component, revision=spec.registered.component.revision + 1)
    return replace(spec, registered=replace(spec.registered, component=component))


def judge_backend_raised(_: Path, load: Callable[..., Recipe]) -> Recipe:
    recipe = load()
    backend = recipe.judge.backend
    assert isinstance(backend, ComponentSpec)
    return replace(recipe, judge=replace(recipe.judge, backend=_raised(backend)))


def objectives_turned(folder: Path, load: Callable[..., Recipe]) -> Recipe:
    recipe = load()
    del folder
    return replace(recipe, objectives=tuple(reversed(recipe.objectives)))


TABLE: dict[str, tuple[Change, set[str]]] = {
    # The policy's identity.
    "weights": (model_file("policy", "model.safetensors"), POLICY),
    "architecture": (model_file("policy", "config.json"), POLICY),
    "tokenizer": (model_file("policy", "tokenizer.json"), POLICY),
    "chat template": (model_file("policy", "chat_template.jinja"), POLICY),
    "adapter": (with_adapter("model"), POLICY),
    "dtype": (settings("model.dtype=bfloat16"), POLICY),
    "revision of the backend": (raised("model"), POLICY),
    # The judge's.
    "weights of the judge": (model_file("judge", "model.safetensors"), JUDGE | EVALUATION),
    "template of the judge's model": (
        model_file("judge", "chat_template.jinja"),
        JUDGE | EVALUATION,
    ),
    "adapter of the judge": (with_adapter("judge.backend"), JUDGE | EVALUATION),
    "revision of the judge's backend": (judge_backend_raised, JUDGE | EVALUATION),
    # The rubric.
    "rubric": (settings("judge.template=Of {prompt}, score {response} on {definition}."), JUDGE),
    "labels": (settings("judge.labels=[a, b, c]", "judge.values=[1, 2, 3]"), JUDGE),
    "revision of the judge": (raised("judge"), JUDGE),
    "definition": (settings("objectives.0.definition=Is it kind?"), JUDGE | EVALUATION),
    "order of objectives": (objectives_turned, JUDGE | {"denoise", "pairs"} | EVALUATION),
    "threshold": (settings("objectives.0.threshold=3"), {"denoise", "pairs"} | EVALUATION),
    # Everything that is drawn.
    "seed": (settings("seed=1"), set(READS)),
    "n": (settings("generate.n=4"), {"sample"}),
    "temperature": (settings("generate.temperature=0.5"), {"sample"}),
    "system prompts": (settings("generate.system_prompts=[Be brief.]"), {"sample"}),
    "revision of the generator": (raised("generate"), {"sample"}),
    "answers' temperature": (settings("answer.temperature=0.5"), {"answer-base", "answer-round-1"}),
    "answers' length": (settings("answer.max_tokens=9"), {"answer-base", "answer-round-1"}),
    # The rest, in the order of the flow.
    "prompts": (prompt_file, {"prompts"}),
    "limit of prompts": (settings("prompts.limit=6"), {"prompts"}),
    "held-out prompts": (settings("prompts.split.heldout=3"), {"prompts"}),
    "refiner's temperature": (settings("refine.temperature=0.1"), {"refine"}),
    "refiner": (settings(swaps=("refine=critique-refine",)), {"refine"}),
    "revision of the refiner": (raised("refine"), {"refine"}),
    "denoiser": (settings(swaps=("denoise=informativeness",)), {"denoise"}),
    "tolerance": (settings("denoise.0.ceiling_tolerance=0.2"), {"denoise"}),
    "revision of a denoiser": (raised("denoise"), {"denoise"}),
    "margin": (settings("pairs.margin=0.5"), {"pairs"}),
    "revision of the pair builder": (raised("pairs"), {"pairs"}),
    "loss": (settings(swaps=("loss=simpo",)), {"train"}),
    "beta": (settings("loss.beta=3"), {"train"}),
    "revision of the loss": (raised("loss"), {"train"}),
    "learning rate": (settings("train.learning_rate=1e-5"), {"train"}),
    "batch of the optimizer": (settings("train.batch_pairs=5"), {"train"}),
    "rank": (settings("train.lora.r=4"), {"train"}),
    "soup": (with_soup, {"train"}),
    "resamples": (settings("evaluate.0.resamples=300"), EVALUATION),
    "revision of the evaluator": (raised("evaluate"), EVALUATION),
    # What changes nothing but speed, memory or what is shown.
    "name": (settings("name=another"), set()),
    "batch size": (settings("model.batch_size=3"), set()),
    "batch tokens": (settings("model.batch_tokens=99"), set()),
    "batch size of labels": (settings("model.label_batch_size=3"), set()),
    "device": (settings("model.device=cpu"), set()),
    "batch size of the judge": (settings("judge.backend.batch_size=3"), set()),
    "micro-batches": (settings("train.micro_tokens=99"), set()),
    "groups of micro-batches": (settings("train.micro_groups=2"), set()),
    "packing": (settings("train.packing=dense"), set()),
    "two phases": (settings("train.two_phase=true"), set()),
    "checkpointing": (settings("train.gradient_checkpointing=true"), set()),
    "processes": (settings("train.processes=2"), set()),
    "checkpoints": (settings("train.save_steps=7"), set()),
    "trackers": (settings("train.report_to=[tensorboard]"), set()),
}


def test_a_soup_is_known_by_what_its_adapters_hold_and_by_their_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "cache"))
    keys_of = keys_without_running(monkeypatch, tmp_path / "runs")
    load = loading(tmp_path)

    def key(weights: str) -> str:
        place = f"train.soup.adapters=[{tmp_path / 'first'},{tmp_path / 'second'}]"
        return keys_of(load([place, f"train.soup.weights={weights}"]))["train"]

    with_soup(tmp_path, load)
    first = key("[6,4]")
    assert key("[60,40]") == first
    assert key("[4,6]") != first
    (tmp_path / "second" / "adapter_model.safetensors").write_text("other", encoding="utf-8")
    assert key("[6,4]") != first


def loading(folder: Path) -> Callable[..., Recipe]:
    """Writes all that the recipe names, and gives what loads it."""
    write_model_files(folder / "policy")
    write_model_files(folder / "judge", {"model.safetensors": "other weights"})
    lines = (json.dumps({"id": f"p{i}", "prompt": f"Question {i}?"}) + "\n" for i in range(8))
    (folder / "prompts.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "table.yaml").write_text(RECIPE, encoding="utf-8")
    catalogue = build_catalogue("none")
    return lambda sets=(), swaps=(): load_recipe(
        folder / "table.yaml", sets=sets, swaps=swaps, catalogue=catalogue
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The keys of the recipe as it is, in a folder of its own: no path is in a key."""
    folder = tmp_path_factory.mktemp("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPA_CACHE", str(folder / "cache"))
        found = keys_without_running(patch, folder / "runs")(loading(folder)())
    assert set(found) == set(READS)
    return found


def below(changed: set[str]) -> set[str]:
    """The stages and all that reads them."""
    found = set(changed)
    while more := {stage for stage, reads in READS.items() if found & set(reads)} - found:
        found |= more
    return found


@pytest.mark.parametrize("setting", TABLE)
def test_a_setting_changes_the_keys_that_depend_on_it(
    setting: str, before: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "cache"))
    keys_of = keys_without_running(monkeypatch, tmp_path / "runs")
    change, changed = TABLE[setting]
    after = keys_of(change(tmp_path, loading(tmp_path)))
    assert set(after) == set(READS)
    assert {stage for stage in READS if after[stage] != before[stage]} == below(changed)


NOT_IN_KEYS = {
    ("hf", "path"): "the content is hashed",
    ("hf", "adapter"): "the content is hashed",
    ("hf", "device"): "changes speed only",
    ("hf", "batch_size"): "changes speed and memory only",
    ("hf", "batch_tokens"): "changes speed and memory only",
    ("hf", "label_batch_size"): "changes speed and memory only",
    ("multiple-choice", "path"): "the prompts are hashed",
    ("refusal", "path"): "the prompts are hashed",
    ("exact-answer", "path"): "the prompts are hashed",
    ("ensemble", "members"): "each has a stage of its own, whose key is read",
    ("train", "soup"): "the adapters' contents and their shares are in the key",
    ("train", "micro_tokens"): "changes memory and speed only",
    ("train", "micro_groups"): "changes memory and speed only",
    ("train", "packing"): "changes memory and speed only",
    ("train", "two_phase"): "changes memory and speed only",
    ("train", "gradient_checkpointing"): "changes memory and speed only",
    ("train", "processes"): "changes speed only, up to rounding",
    ("train", "accelerate"): "changes speed only, up to rounding",
    ("train", "save_steps"): "changes what is kept on disk while training only",
    ("train", "report_to"): "changes what is shown only",
}
"""Every field that is in no key, with the reason. A new one must be added here by hand."""


def configs() -> Iterator[tuple[str, type[BaseModel]]]:
    for registered in build_catalogue("none").components():
        yield registered.name, registered.load_config_class()
    yield "train", TrainConfig


CONFIGS = dict(configs())


def left_out(config: type[BaseModel]) -> dict[str, str]:
    """Field to the reason why it is in no key."""
    return {
        name: mark.why if isinstance(mark, NotInKey) else "members"
        for name, field in config.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, NotInKey | Members)
    }


def test_fields_that_are_in_no_key_are_those_of_the_table() -> None:
    found = {(name, each) for name, config in CONFIGS.items() for each in left_out(config)}
    prompts = {(name, "path") for name in CONFIGS if name in _sources() and (name, "path") in found}
    assert found - prompts == set(NOT_IN_KEYS)
    for name, field in prompts:  # files of prompts: the stage has their content in its key
        assert left_out(CONFIGS[name])[field] == "its content is fingerprinted"


def _sources() -> set[str]:
    every = build_catalogue("none").components()
    return {registered.name for registered in every if registered.kind == "source"}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_other_field_of_a_config_is_in_the_key(name: str) -> None:
    config = CONFIGS[name]
    without = left_out(config)
    required = [each for each, field in config.model_fields.items() if field.is_required()]
    if "dataset" in config.model_fields:  # it or path must be given
        required.append("dataset")
    some = config.model_construct(**dict.fromkeys(required, "given")) if required else config()
    plain = key_config(some)
    assert set(plain) == set(config.model_fields) - set(without)
    for each in config.model_fields:
        other = key_config(some.model_copy(update={each: "something else"}))
        assert (other == plain) == (each in without), each
