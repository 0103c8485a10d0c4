from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Self

import pytest
from pydantic import Field, model_validator

from spa.api import ComponentConfig, RecipeFacts
from spa.plugins.catalogue import Catalogue
from spa.plugins.component import Component
from spa.plugins.discovery import Entry, Plugin

Mistakes = Callable[..., list[str]]

LOSSES = "cpo, dpo, hinge, ipo, orpo, reward-soup, safedpo, sft, simpo, spa, wpo"


class Raising(ComponentConfig):
    @model_validator(mode="after")
    def _raise(self) -> Self:
        raise RuntimeError("out of order")


class RaisingCheck(ComponentConfig):
    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        del facts
        raise KeyError("n")


class Picky(ComponentConfig):
    scores: dict[str, float] = Field(default_factory=dict)

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        names = ", ".join(facts.objectives)
        yield "scores.low", f"facts are {names}; {facts.samples}; {facts.refines}; {facts.rounds}"


def test_no_mistake(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  backend: null\n",
            "  temprature: 0\n",
            "recipe.yaml:18:3  judge.temprature: unknown key for judge 'constitution' (built in). "
            "Did you mean 'temperature'?",
        ),
        (
            "path: prompts.jsonl",
            "path: prompts.jsonl\n  limt: 3",
            "recipe.yaml:11:3  prompts.limt: unknown key for source 'jsonl' (built in). "
            "Did you mean 'limit'?",
        ),
        (
            "train:\n",
            "zzz: 1\ntrain:\n",
            "recipe.yaml:32:1  zzz: unknown key. Valid keys: extends, name, seed, requires, "
            "objectives, train, answer, iterations, model, prompts, generate, judge, refine, "
            "denoise, pairs, loss, evaluate",
        ),
        (
            "name: example",
            "nam: example",
            "recipe.yaml:1:1  nam: unknown key. Did you mean 'name'?",
        ),
        (
            "{heldout: 4}",
            "{heldout: 4, heldot: 5}",
            "recipe.yaml:11:23  prompts.split.heldot: unknown key. Did you mean 'heldout'?",
        ),
        (
            "lora: {r: 4}",
            "lora: {rank: 4}",
            "recipe.yaml:34:10  train.lora.rank: unknown key. "
            "Valid keys: r, alpha, dropout, target_modules",
        ),
        (
            "beta: 3",
            "beta: abc",
            "recipe.yaml:30:9  loss.beta: expected a number, got 'abc'",
        ),
        (
            "beta: 3",
            "beta: '3'",
            "recipe.yaml:30:9  loss.beta: expected a number, got '3', which is text. "
            "Leave the quotes out",
        ),
        (
            "beta: 3",
            "beta: true",
            "recipe.yaml:30:9  loss.beta: expected a number, got true",
        ),
        (
            "beta: 3",
            "beta:",
            "recipe.yaml:30:3  loss.beta: expected a number, got null",
        ),
        (
            "beta: 3",
            "beta: .inf",
            "recipe.yaml:30:9  loss.beta: must be a finite number, got .inf",
        ),
        (
            "beta: 3",
            "beta: -3",
            "recipe.yaml:30:9  loss.beta: must be greater than 0, got -3",
        ),
        ("n: 4", "n: 4.5", "recipe.yaml:14:6  generate.n: expected a whole number, got 4.5"),
        (
            "epochs: 2",
            "gradient_checkpointing: yes",
            "recipe.yaml:33:27  train.gradient_checkpointing: expected true or false, got 'yes', "
            "which is text in YAML 1.2",
        ),
        (
            "epochs: 2",
            "schedule: cosin",
            "recipe.yaml:33:13  train.schedule: expected 'cosine', 'linear' or 'constant', "
            "got 'cosin'",
        ),
        (
            "lora: {r: 4}",
            "lora: 4",
            "recipe.yaml:34:9  train.lora: expected a mapping (key: value), got 4",
        ),
        (
            "lora: {r: 4}",
            "lora: {target_modules: 4}",
            "recipe.yaml:34:26  train.lora.target_modules: expected text or a list, got 4",
        ),
        (
            "name: safety, ",
            "name: 7, ",
            "recipe.yaml:3:12  objectives.0.name: expected text, got 7. Put it in quotes",
        ),
        (
            "name: example",
            "name: ../up",
            "recipe.yaml:1:7  name: '../up' is not a name: use letters, digits, '-', '_' and '.', "
            "beginning with a letter or digit",
        ),
        (
            "  path: prompts.jsonl\n",
            "",
            "recipe.yaml:9:3  prompts.path: this key is missing",
        ),
        (
            "{heldout: 4}",
            "{}",
            "recipe.yaml:11:10  prompts.split.heldout: this key is missing",
        ),
        (
            "use: spa\n",
            "use: smpo\n",
            "recipe.yaml:29:8  loss.use: unknown loss 'smpo'. Did you mean 'simpo'? "
            f"Valid names: {LOSSES}.",
        ),
        (
            "  use: spa\n",
            "  use: 3\n",
            "recipe.yaml:29:8  loss.use: expected the name of a loss, got 3",
        ),
        (
            "  use: spa\n",
            "",
            "recipe.yaml:29:3  loss.use: this key is missing: it names a loss. "
            f"Installed: {LOSSES}",
        ),
        (
            "use: spa\n",
            "use: os:system\n",
            "recipe.yaml:29:8  loss.use: 'os:system' is not a component's name. Recipes take "
            "registered names only, no import paths. "
            f"Installed: {LOSSES}",
        ),
        (
            "evaluate: [{use: judge-scores}]",
            "evaluate: {use: judge-scores}",
            "recipe.yaml:35:11  evaluate: expected a list of evaluators, got a mapping. "
            "Write: [{use: NAME}]",
        ),
        (
            "evaluate: [{use: judge-scores}]",
            "evaluate: [judge-scores]",
            "recipe.yaml:35:12  evaluate.0: expected a mapping with the key 'use', "
            "got 'judge-scores'. Write: {use: judge-scores}",
        ),
        (
            "pairs:\n  use: lexicographic\n  margin: 0.5\n",
            "",
            "recipe.yaml:1:1  pairs: this section is missing: it names a pair builder. Installed: "
            "lexicographic",
        ),
        (
            "name: use, ",
            "name: safety, ",
            "recipe.yaml:4:12  objectives.1.name: objective 0 has the name 'safety' already",
        ),
        (
            ', definition: "Is of use."',
            "",
            "recipe.yaml:4:12  objectives.1.definition: this key is missing, and no constitution "
            "'use' ships with spa (those that do: harmlessness, helpfulness, honesty). "
            "Write what the judge is to score",
        ),
        (
            "  use: self-refine\n",
            "  use: self-refine\n  backend: {use: hf, path: x, dtyp: auto}\n",
            "recipe.yaml:21:31  refine.backend.dtyp: unknown key for backend 'hf' (built in). "
            "Did you mean 'dtype'?",
        ),
        (
            "  backend: null\n",
            "  backend: {use: hff}\n",
            "recipe.yaml:18:18  judge.backend.use: unknown backend 'hff'. Did you mean 'hf'? "
            "Valid names: hf.",
        ),
        (
            "name: example",
            "name: example\nrequires: [no-such-plugin>=0.2]",
            "recipe.yaml:2:12  requires.0: no-such-plugin is not installed. "
            "Try: pip install 'no-such-plugin>=0.2'",
        ),
        (
            "name: example",
            "name: example\nrequires: [pydantic<1]",
            f"recipe.yaml:2:12  requires.0: pydantic {version('pydantic')} is installed, the "
            "recipe needs <1. Try: pip install --upgrade 'pydantic<1'",
        ),
        (
            "name: example",
            "name: example\nrequires: ['what is this']",
            "recipe.yaml:2:12  requires.0: 'what is this' is not a requirement. "
            "Write a distribution and versions: spa-rubric>=0.2",
        ),
        (
            "name: example",
            "name: example\nanswer: {n: 3, temperature: 0}",
            "recipe.yaml:2:9  answer: n is 3 with temperature 0, which gives one answer 3 times. "
            "Set one of them",
        ),
    ],
)
def test_one_mistake(mistakes: Mistakes, text: str, old: str, new: str, expected: str) -> None:
    assert text.count(old) == 1
    assert mistakes(text.replace(old, new)) == [expected]


def test_no_objectives(mistakes: Mistakes, text: str) -> None:
    lines = text.splitlines()
    empty = "\n".join(["objectives: []", *lines[4:]])
    assert mistakes(empty) == ["recipe.yaml:1:13  objectives: needs at least 1, got 0"]
    assert mistakes("\n".join(lines[4:])) == ["recipe.yaml:1:1  objectives: this key is missing"]


def test_requirements_that_are_met(mistakes: Mistakes, text: str) -> None:
    met = "requires: [spa-align, 'pydantic>=2', 'no-such; python_version < \"3\"']\n"
    assert mistakes(met + text) == []


def test_two_samples_with_informativeness(mistakes: Mistakes, text: str) -> None:
    found = mistakes(text.replace("n: 4", "n: 2"))
    assert found == [
        "recipe.yaml:23:10  denoise.1: needs at least 3 samples a prompt for 2 objectives, and "
        "the generator makes 2: with fewer, the determinant of the covariance of their scores "
        "says nothing or is always 0, and every group would be dropped. Set generate.n to 3 or "
        "more, or remove this denoiser"
    ]
    assert mistakes(text.replace("n: 4", "n: 3")) == []


def test_a_copying_refiner_is_told_by_the_denoiser(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, swaps=("refine=best-of-n",)) == [
        "recipe.yaml:22:10  denoise.0: the refiner copies the best sample, and a copy is never "
        "strictly better than what it is copied from: no group could pass. Remove this denoiser, "
        "or refine with `self-refine`"
    ]
    assert mistakes(text, swaps=("refine=critique-refine",)) == []


def test_a_missing_refiner_is_told_by_the_denoiser(mistakes: Mistakes, text: str) -> None:
    found = mistakes(text, swaps=("refine=none",))
    assert found == [
        "recipe.yaml:22:10  denoise.0: there is no refined response to compare the samples with. "
        "Add a `refine` section, or remove this denoiser"
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file(mistakes: Mistakes, text: str) -> None:
    wrong = (
        text.replace("threshold: 7", "threshold: high")
        .replace("use: hf\n", "use: hff\n")
        .replace("{heldout: 4}", "{heldout: -4}")
        .replace("n: 4", "n: 2")
        .replace("  backend: null\n", "  temprature: 0\n")
        .replace("margin: 0.5", "margin: 0.5\n  margin: 0.7")
        .replace("beta: 3", "beta: abc")
        .replace("epochs: 2", "epoch: 2")
        .replace("[{use: judge-scores}]", "[{use: judge-score}]")
    )
    found = mistakes(wrong, sets=("loss.alpah=2", "loss"), swaps=("los=spa",))
    places = [line.split("  ")[0] + " " + line.split("  ")[1].split(":")[0] for line in found]
    assert places == [
        "recipe.yaml:3:60 objectives.0.threshold",
        "recipe.yaml:6:8 model.use",
        "recipe.yaml:11:20 prompts.split.heldout",
        "recipe.yaml:18:3 judge.temprature",
        "recipe.yaml:23:10 denoise.1",
        "recipe.yaml:28:3 pairs.margin",
        "recipe.yaml:31:9 loss.beta",
        "recipe.yaml:34:3 train.epoch",
        "recipe.yaml:36:18 evaluate.0.use",
        "--swap los=spa no section 'los'. Did you mean 'loss'?",
        "--set loss.alpah=2 loss.alpah",
        "--set loss write it as KEY=VALUE, for example",
    ]


def test_duplicate_key(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text + "seed: 1\nseed: 2\n") == [
        "recipe.yaml:37:1  seed: duplicate key, already on line 36. Keep one of them"
    ]


def test_missing_file(mistakes: Mistakes, text: str) -> None:
    assert mistakes(f"extends: base.yaml\n{text}") == [
        "recipe.yaml:1:10  extends: no such recipe: base.yaml. The path is relative to the file "
        "that it is written in"
    ]


def test_bad_set(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, sets=("loss.alpah=2", "denoise.1.max_determinant=-1")) == [
        "--set loss.alpah=2  loss.alpah: unknown key for loss 'spa' (built in). "
        "Did you mean 'alpha'?",
        "--set denoise.1.max_determinant=-1  denoise.1.max_determinant: must be greater than 0, "
        "got -1",
    ]


def test_undone_values_get_their_default(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, sets=("loss.beta=null", "train=null", "denoise.1=null")) == [
        "--set denoise.1=null  denoise.1: expected a mapping with the key 'use', got null. "
        "Installed: consistency, informativeness"
    ]


def test_an_item_of_a_list_cannot_be_undone(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, sets=("objectives.0=null",)) == [
        "--set objectives.0=null  objectives.0: expected a mapping (key: value), got null"
    ]


def with_plugins(catalogue: Catalogue, *plugins: Plugin) -> Catalogue:
    return Catalogue([*catalogue.plugins, *plugins])


def plugin(**values: object) -> Plugin:
    fixed = {"name": "rules", "distribution": "spa-rules", "version": "0.3", "target": "spa_rules"}
    return Plugin(**{**fixed, **values})  # type: ignore[arg-type]


def entry(config: str) -> Entry:
    record = Component(name="rules", impl="spa_rules:Judge", config=config, summary="Rules")
    return Entry("judge", record)


def test_plugin_that_failed_to_load(mistakes: Mistakes, text: str, catalogue: Catalogue) -> None:
    failed = plugin(status="failed", problems=("failed to load: ImportError: no spa_core",))
    found = mistakes(
        text.replace("use: constitution", "use: rules"), among=with_plugins(catalogue, failed)
    )
    assert found == [
        "recipe.yaml:17:8  judge.use: unknown judge 'rules'. Valid names: constitution, ensemble. "
        "Plugin 'rules' (spa-rules 0.3) failed to load: ImportError: no spa_core."
    ]


def test_config_that_fails_to_import(mistakes: Mistakes, text: str, catalogue: Catalogue) -> None:
    broken = plugin(entries=(entry("spa_rules_missing.config:Config"),))
    found = mistakes(
        text.replace("use: constitution", "use: rules"), among=with_plugins(catalogue, broken)
    )
    assert found == [
        "recipe.yaml:17:8  judge.use: judge 'rules' (spa-rules 0.3): there is no module "
        "'spa_rules_missing.config'."
    ]


def test_config_of_a_plugin_that_raises(
    mistakes: Mistakes, text: str, catalogue: Catalogue
) -> None:
    among = with_plugins(catalogue, plugin(entries=(entry(f"{__name__}:Raising"),)))
    found = mistakes(text.replace("use: constitution", "use: rules"), among=among)
    assert found == [
        "recipe.yaml:17:3  judge: checking this failed in the config class Raising: "
        "RuntimeError: out of order"
    ]
    among = with_plugins(catalogue, plugin(entries=(entry(f"{__name__}:RaisingCheck"),)))
    found = mistakes(text.replace("use: constitution", "use: rules"), among=among)
    assert found == ["recipe.yaml:17:8  judge: its check of the recipe failed: KeyError: 'n'"]


def test_check_of_a_config_points_at_its_key(
    mistakes: Mistakes, text: str, catalogue: Catalogue
) -> None:
    among = with_plugins(catalogue, plugin(entries=(entry(f"{__name__}:Picky"),)))
    wrong = text.replace("use: constitution", "use: rules\n  scores: {low: 1}")
    assert mistakes(wrong, among=among) == [
        "recipe.yaml:18:17  judge.scores.low: facts are safety, use; 4; True; 1"
    ]


UNTRUSTED = (
    "trust_remote_code: code that comes with the model would run. If you trust it, "
    "set SPA_TRUST_REMOTE_CODE=1 and run again"
)


def test_code_of_a_model_runs_only_where_the_user_allows_it(
    mistakes: Mistakes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPA_TRUST_REMOTE_CODE", raising=False)
    text = text.replace("path: weights", "path: weights\n  trust_remote_code: true")
    text = text.replace("backend: null", "backend: {use: hf, path: j, trust_remote_code: true}")
    expected = [
        f"recipe.yaml:8:22  model.{UNTRUSTED}",
        f"recipe.yaml:19:50  judge.backend.{UNTRUSTED}",
    ]
    assert mistakes(text) == expected
    monkeypatch.setenv("SPA_TRUST_REMOTE_CODE", "true")
    assert mistakes(text) == expected
    monkeypatch.setenv("SPA_TRUST_REMOTE_CODE", "1")
    assert mistakes(text) == []
    monkeypatch.delenv("SPA_TRUST_REMOTE_CODE")
    assert mistakes(text.replace("trust_remote_code: true", "trust_remote_code: false")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "path: weights",
            "path: weights\n  dtype: float16",
            "recipe.yaml:8:10  model.dtype: training in float16 is not supported: small gradients "
            "become 0 in it. Set model.dtype, or train.dtype alone, to bfloat16 (newer GPUs) or "
            "float32",
        ),
        (
            "epochs: 2",
            "epochs: 2\n  dtype: float16",
            "recipe.yaml:34:10  train.dtype: training in float16 is not supported: small gradients "
            "become 0 in it. Set train.dtype to bfloat16 (newer GPUs) or float32",
        ),
    ],
)
def test_float16_is_refused_for_training(
    mistakes: Mistakes, text: str, old: str, new: str, expected: str
) -> None:
    assert mistakes(text.replace(old, new)) == [expected]


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        (
            "soup: [9, 1, 1]",
            "",
            "the number of weights is 3, that of objectives 2. Give one for each, in their order",
        ),
        (
            "soup: [9, 1]",
            "iterations: 2\n",
            "adapters are mixed after one round, and iterations is 2. Set it to 1, or soup to null",
        ),
    ],
)
def test_adapters_that_cannot_be_mixed_are_refused(
    mistakes: Mistakes, text: str, given: str, more: str, expected: str
) -> None:
    (found,) = mistakes(text.replace("epochs: 2", f"epochs: 2\n  {given}") + more)
    assert found.startswith("recipe.yaml:34:9  train.soup: ")
    assert found.endswith(expected)


def test_float16_is_for_sampling_where_training_has_a_format_of_its_own(
    mistakes: Mistakes, text: str
) -> None:
    text = text.replace("path: weights", "path: weights\n  dtype: float16")
    assert mistakes(text.replace("epochs: 2", "epochs: 2\n  dtype: float32")) == []
