"""Trackers get the figures of every step, once; a tracker in trouble does not end a training."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spa.components.losses.configs import SpaConfig
from spa.components.losses.spa import SpaLoss
from spa.errors import RunError
from spa.models.spec import ModelSpec
from spa.recipe.sections import LoraSettings, TrainConfig
from spa.training.outcome import TrainingStopped, TrainResult
from spa.training.run import train

Run = Callable[..., TrainResult]


@pytest.fixture
def run(spec: ModelSpec, make: SimpleNamespace, tmp_path: Path) -> Run:
    def start(
        report_to: Any = "tensorboard",
        out: str = "out",
        should_stop: Callable[[], bool] = lambda: False,
        **more: Any,
    ) -> TrainResult:
        settings: dict[str, Any] = {"batch_pairs": 7, "micro_groups": 1, "epochs": 2}
        settings |= {"lora": LoraSettings(r=4), "report_to": report_to}
        return train(
            make.random_groups(6),
            make.objectives,
            model=spec,
            settings=TrainConfig(**{**settings, **more}),
            loss=SpaLoss(SpaConfig()),
            output_dir=tmp_path / out,
            seed=1,
            on_progress=lambda _progress: None,
            should_stop=should_stop,
            run_name="named",
        )

    return start


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name of a figure to its steps and values, read as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        name.removeprefix("train/"): [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def expected(result: TrainResult) -> dict[str, list[tuple[int, Any]]]:
    """The same from the history of a training; events hold single precision."""
    names = {name for entry in result.history for name in entry} - {"step", "epoch"}
    return {
        name: [
            (int(entry["step"]), pytest.approx(entry[name], rel=1e-6, abs=1e-30))
            for entry in result.history
            if name in entry
        ]
        for name in names
    }


def test_tensorboard_gets_the_figures_of_every_step(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-of-mine")
    monkeypatch.setenv("WANDB_API_KEY", "key-secret-of-mine")
    before = dict(os.environ)
    result = run()
    assert dict(os.environ) == before
    found = events(tmp_path / "out" / "tensorboard")
    epochs = found.pop("epoch")
    assert found == expected(result)
    assert {
        "loss", "grad_norm", "learning_rate", "rewards/margins", "rewards/margins/safety",
        "lengths/chosen", "weight", "decides/safety", "decides/help",
    } <= found.keys()  # fmt: skip
    assert epochs == [
        (step, pytest.approx(2 * step / result.steps)) for step in range(1, result.steps + 1)
    ]
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert any(b"run_name" in file.read_bytes() for file in files)
    assert not [file for file in files if b"secret-of-mine" in file.read_bytes()]


def test_one_training_that_was_stopped_and_gone_on_with_has_every_step_once(
    run: Run, tmp_path: Path
) -> None:
    asked = iter([False] * 7 + [True])
    with pytest.raises(TrainingStopped) as stopped:
        run(should_stop=lambda: next(asked))
    folder = tmp_path / "out" / "tensorboard"
    assert len(events(folder)["loss"]) == stopped.value.step == 3
    result = run()
    found = events(folder)
    del found["epoch"]
    assert found == expected(result)


def test_steps_done_again_after_a_crash_are_shown_once(run: Run, tmp_path: Path) -> None:
    """The process dies after step 3, the last checkpoint is that of step 2."""
    calls = iter(range(100))

    def die() -> bool:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(should_stop=die, save_steps=2)
    folder = tmp_path / "out" / "tensorboard"
    assert [step for step, _ in events(folder)["loss"]] == [1, 2, 3]
    result = run(save_steps=2)
    assert len(list(folder.iterdir())) == 2
    found = events(folder)
    del found["epoch"]
    assert found == expected(result)


def test_nothing_is_reported_unless_asked_for(run: Run, tmp_path: Path) -> None:
    run(report_to=())
    assert not (tmp_path / "out" / "tensorboard").exists()


def test_reporting_changes_no_result(run: Run) -> None:
    plain, reported = run(report_to=(), out="plain"), run(out="reported")
    assert [dict(e) for e in plain.history] == [dict(e) for e in reported.history]
    assert run(report_to=(), out="reported") == reported


FAKE_WANDB = """
run = None
logged, began = [], []

class Run:
    id = name = "r"
    summary = {}
    def _label(self, code): pass

class Config(dict):
    def update(self, values, allow_val_change): super().update(values)

config = Config()

def init(project, name=None):
    global run
    if broken == "init":
        raise RuntimeError("no key: run wandb login")
    run = Run()
    began.append(name)

def log(figures):
    if broken == "log" and len(logged) == 2:
        raise ConnectionError("the network is down")
    logged.append(figures)

def finish():
    global run
    run = None

broken = None
"""

FAKE_TRACKIO = """
from types import SimpleNamespace
logged, began, ended = [], [], []

class Config(dict):
    def update(self, values, allow_val_change): super().update(values)

config = Config()
context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))

def init(name, **settings): began.append(name)
def log(figures): logged.append(figures["train/loss"])
def finish(): ended.append(True)
"""

FAKE_MLFLOW = """
from types import SimpleNamespace
__version__ = "3.0"
utils = SimpleNamespace(
    validation=SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
)
logged, began, ended = [], [], []

def is_tracking_uri_set(): return True
def get_tracking_uri(): return "here"
def active_run():
    info = SimpleNamespace(run_id="r")
    return SimpleNamespace(info=info) if len(began) > len(ended) else None
def start_run(run_name, nested): began.append(run_name)
def end_run(): ended.append(True)
def log_params(values, synchronous): pass
def log_metrics(metrics, step, synchronous): logged.append(metrics["loss"])
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes a package with what transformers' callback asks of it, and imports it."""
    made = []

    def make_package(name: str, text: str, **modules: str) -> Any:
        root = tmp_path / "packages"
        for module, content in {"__init__": text, **modules}.items():
            file = root / name / f"{module.replace('.', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        monkeypatch.syspath_prepend(root)
        made.append(name)
        return importlib.import_module(name)

    yield make_package
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.fixture
def wandb(package: Callable[..., Any]) -> Any:
    error = {"sdk.lib.config_util": "class ConfigError(Exception): pass"}
    return package("wandb", FAKE_WANDB, **error)


def test_each_training_is_a_run_of_its_own(run: Run, wandb: Any) -> None:
    first, second = run("wandb", out="one"), run(["wandb", "tensorboard"], out="two")
    assert wandb.began == ["named", "named"]
    assert wandb.run is None
    losses = [figures["train/loss"] for figures in wandb.logged]
    assert losses == [e["loss"] for r in (first, second) for e in r.history]
    assert wandb.config["run_name"] == "named"


def test_a_run_that_is_stopped_is_ended(run: Run, wandb: Any) -> None:
    asked = iter([False] * 7 + [True])
    with pytest.raises(TrainingStopped):
        run("wandb", should_stop=lambda: next(asked))
    assert wandb.began == ["named"]
    assert wandb.run is None


def test_a_run_around_the_training_is_left_open(run: Run, wandb: Any) -> None:
    mine = wandb.run = wandb.Run()
    run("wandb")
    assert wandb.began == []
    assert wandb.run is mine


def test_a_tracker_that_does_not_start_ends_the_training_before_its_first_step(
    run: Run, wandb: Any
) -> None:
    wandb.broken = "init"
    with pytest.raises(RunError) as caught:
        run("wandb")
    assert str(caught.value) == (
        "the tracker wandb did not start: RuntimeError: no key: run wandb login\n"
        "Set it up, or run again without it (train.report_to). "
        "Finished stages and the last checkpoint are kept."
    )
    wandb.broken = None
    assert run("wandb").steps == len(wandb.logged)


def test_a_tracker_that_fails_later_is_left_out(
    run: Run, wandb: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.broken = "log"
    with caplog.at_level(logging.WARNING, "spa.training.trackers"):
        result = run(["wandb", "tensorboard"])
    assert [r.getMessage() for r in caplog.records if r.name == "spa.training.trackers"] == [
        "training goes on without wandb: ConnectionError: the network is down"
    ]
    assert len(wandb.logged) == 2 < result.steps
    assert wandb.run is None
    assert len(events(tmp_path / "out" / "tensorboard")["loss"]) == result.steps


@pytest.mark.parametrize(("name", "text"), [("trackio", FAKE_TRACKIO), ("mlflow", FAKE_MLFLOW)])
def test_the_others_get_the_same_figures_and_are_ended(
    run: Run, package: Callable[..., Any], name: str, text: str
) -> None:
    tracker = package(name, text)
    result = run(name)
    assert tracker.logged == [entry["loss"] for entry in result.history]
    assert tracker.began == ["named"]
    assert tracker.ended == [True]
    asked = iter([False] * 7 + [True])
    with pytest.raises(TrainingStopped):
        run(name, out="stopped", should_stop=lambda: next(asked))
    assert tracker.ended == [True, True]
