"""One of several processes that train: reads its job, and tells the starter how it goes.

Run by a launcher as ``python -m spa.training.worker job.json``. The first process writes lines to
stdout that begin with `PREFIX`; everything else that any of them says goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn, cast

from spa.contracts import Loss
from spa.errors import RunError, SpaError
from spa.models.devices import too_few_accelerators
from spa.models.spec import ModelSpec
from spa.training.encoding import EncodedGroup, Encoding
from spa.training.job import Job
from spa.training.outcome import TrainingStopped, TrainProgress, TrainResult
from spa.training.roles import STARTER, is_first
from spa.types import Objective

__all__ = [
    "PREFIX",
    "WORKER",
    "carry_out",
    "error_file",
    "main",
    "placed",
    "read_job",
    "stop_file",
]

WORKER = "spa.training.worker"
PREFIX = "spa-training "


def stop_file(folder: Path) -> Path:
    """The file whose presence asks the processes to stop."""
    return folder / "stop"


def error_file(folder: Path) -> Path:
    """The file that holds why they failed, where they can tell."""
    return folder / "error.txt"


def main(arguments: list[str]) -> NoReturn:
    """Carries out the job that the only argument names, and ends this process."""
    _quiet()
    file = Path(arguments[0])
    try:
        job = placed(read_job(file))
        result = carry_out(job, speak=is_first())
        _wait_for_others()
        _say("result", json.dumps(json.loads(result.to_json(job.output_dir))))
        _end(0)
    except TrainingStopped as stopped:
        _wait_for_others()
        _say("stopped", json.dumps({"step": stopped.step, "steps": stopped.steps}))
        _end(0)
    except SpaError as error:
        error_file(file.parent).write_text(str(error), encoding="utf-8")
        _end(1)


def carry_out(job: Job, *, speak: bool) -> TrainResult:
    """Trains as one of several processes.

    Args:
        job: The training.
        speak: Whether to tell the starter of progress.
    """
    from spa.training.failures import readable_failures
    from spa.training.fit import fit

    stop = stop_file(job.output_dir)

    def should_stop() -> bool:
        return is_first() and (stop.exists() or _starter_is_gone())

    def on_progress(progress: TrainProgress) -> None:
        if speak:
            _say("progress", json.dumps(asdict(progress)))

    with readable_failures(job.output_dir):
        return fit(job, on_progress, should_stop)


def read_job(file: Path) -> Job:
    """The job that another process wrote down."""
    from spa.plugins.catalogue import load_catalogue
    from spa.recipe.sections import TrainConfig

    facts = json.loads(file.read_text(encoding="utf-8"))
    named = facts["loss"]
    registered = load_catalogue().resolve("loss", named["name"])
    config = registered.load_config_class().model_validate(named["config"])
    encoding = facts["encoding"]
    return Job(
        objectives=tuple(Objective(**objective) for objective in facts["objectives"]),
        model=ModelSpec(**facts["model"]),
        settings=TrainConfig.model_validate(facts["settings"]),
        loss=cast("Loss", registered.load_class()(config)),
        output_dir=Path(facts["output_dir"]),
        reference_dir=Path(facts["reference_dir"]),
        run_name=facts["run_name"],
        askers=facts["askers"],
        seed=facts["seed"],
        encoding=Encoding(
            groups=tuple(_group(group) for group in encoding["groups"]),
            dropped=encoding["dropped"],
            retokenised=encoding["retokenised"],
        ),
        identity=facts["identity"],
    )


def _group(record: Mapping[str, Any]) -> EncodedGroup:
    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    return EncodedGroup(**{name: frozen(value) for name, value in record.items()})


def placed(job: Job) -> Job:
    """The job on this process's accelerator.

    Raises:
        RunError: If there are fewer accelerators than processes.
    """
    import torch

    if job.model.device == "cpu" or not torch.cuda.is_available():
        return job
    place = int(os.environ.get("LOCAL_RANK", "0"))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", place + 1))
    if problem := too_few_accelerators(job.model, processes):
        raise RunError(f"{problem}.")
    torch.cuda.set_device(place)
    return replace(job, model=replace(job.model, device=f"cuda:{place}"))


def _wait_for_others() -> None:
    """Returns when all processes have come here, so that none ends while another needs it."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


def _end(code: int) -> NoReturn:
    """Ends this process at once.

    Taken down object by object, what connects the processes may wait for ever: gloo's thread for
    Python's lock, to free a tensor, and its owner, who has the lock, for that thread.
    """
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _starter_is_gone() -> bool:
    """Whether nobody is left who waits for the result."""
    starter = os.environ.get(STARTER)
    if starter is None:
        return False
    try:
        os.kill(int(starter), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _say(kind: str, rest: str) -> None:
    # A broken pipe: nobody listens any more. `carry_out` stops at the next step, with a checkpoint.
    with suppress(BrokenPipeError):
        if is_first():
            print(f"{PREFIX}{kind} {rest}", flush=True)


def _quiet() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        _end(1)
