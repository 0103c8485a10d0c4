"""Stands in for the model of the tiny recipe: answers at once, fails where told, trains nothing.

Answers depend on the request alone, as stored answers do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from spa.engine.answers import request_key
from spa.types import ChatRequest, ChatResult, LabelResult, RequestFailure

__all__ = ["QuickModel"]


class QuickModel:
    """What a test sees of it.

    Attributes:
        fails: From the last message of a request to the reason why it fails; None: it does not.
        asked: The last message of every request, in order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Takes the place of the backend ``hf`` and of training."""
        from spa.components.backends.hf import HFBackend
        from spa.engine.stages import train

        self.fails: Callable[[str], str | None] = lambda _: None
        self.asked: list[str] = []
        patch.setattr(HFBackend, "answer", lambda _, requests: self.answer(requests))
        patch.setattr(HFBackend, "stream", None, raising=False)
        patch.setattr(train, "_train", _train)

    def answer(self, requests: Sequence[Any]) -> Iterator[Any]:
        """Answers or fails each."""
        for place, request in enumerate(requests):
            text = request.messages[-1].content
            self.asked.append(text)
            reason = self.fails(text)
            if reason is not None:
                yield place, RequestFailure(reason, f"it said no to {text[:20]!r}")
                continue
            digest = hashlib.sha256(request_key(request).encode()).digest()
            if isinstance(request, ChatRequest):
                ids = tuple(5 + byte % 8 for byte in digest[:6])
                yield place, ChatResult(f"answer {digest.hex()[:8]}", ids, "stop", 9)
            else:
                weights = [1 + byte for byte in digest[: len(request.labels)]]
                logs = tuple(math.log(each / sum(weights)) for each in weights)
                yield place, LabelResult(logs, 1.0, 9)


def _train(*given: Any) -> Any:
    """Writes an adapter whose content says what it was trained on."""
    from spa.training.outcome import TrainResult

    folder: Path = given[-1]
    pairs = given[2]
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    (folder / "adapter" / "adapter_model.safetensors").write_text(pairs.key + folder.name)
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    step = {"step": 1, "loss": 0.5}
    result = TrainResult(folder / "adapter", "adapter", 1, (step,), {}, 0, (), 0.1)
    (folder / "result.json").write_text(result.to_json(folder))
    return result
