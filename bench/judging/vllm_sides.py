"""The two ways to judge on vLLM's engine: expected scores, and written judgements of 64 tokens.

To have judgements of 64 tokens, the engine gets a copy of the model whose end token is one that is
hardly ever written. Every judgement is counted, and a shorter one is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from judging.expected_side import measure_expected
from judging.scoring import Asked
from judging.settings import NEW_TOKENS, Measured, Order
from judging.timing import timed
from spa.components.judges.configs import ConstitutionConfig
from spa.contracts import Backend
from spa.models.loading import local_path

__all__ = ["SIDES", "missing", "opened"]

_NEVER = "<reponame>"
_ENGINE = {"max_model_len": 2048}


def missing() -> str | None:
    """Why nothing can be measured here; None if it can."""
    absent = [name for name in ("vllm", "spa_vllm") if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@contextmanager
def opened(order: Order) -> Iterator[Backend]:
    """The backend, whose engine starts with the first request."""
    from spa_vllm.backend import VLLMBackend
    from spa_vllm.config import VLLMConfig

    with TemporaryDirectory() as folder:
        path = _endless(Path(local_path(order.model)), Path(folder))
        config = VLLMConfig.model_validate({"path": str(path), "dtype": order.dtype, **_ENGINE})
        backend = VLLMBackend(config)
        try:
            yield backend
        finally:
            backend.close()


def _measure_generate(rows: Sequence[Asked], backend: Backend) -> Measured:
    """Judges all rows by written text."""
    settings = ConstitutionConfig(mode="generate", max_tokens=NEW_TOKENS)
    return timed("generate", rows, backend, settings, new_tokens=NEW_TOKENS)


SIDES = (measure_expected, _measure_generate)


def _endless(model: Path, folder: Path) -> Path:
    """A copy of the model, its weights linked, with another end token."""
    for each in model.iterdir():
        (folder / each.name).symlink_to(each)
    vocabulary = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    number = next(each["id"] for each in vocabulary["added_tokens"] if each["content"] == _NEVER)
    for name, token in (
        ("config.json", number),
        ("generation_config.json", number),
        ("tokenizer_config.json", _NEVER),
    ):
        facts = json.loads((model / name).read_text(encoding="utf-8"))
        facts["eos_token_id" if isinstance(token, int) else "eos_token"] = token
        (folder / name).unlink()
        (folder / name).write_text(json.dumps(facts), encoding="utf-8")
    return folder
