"""The `hf` backend: a transformers model in this process, loaded at the first request."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from spa.api import ChatRequest, LabelRequest, Request, RequestFailure, Result, SpaError
from spa.components.backends.hf_chat import ChatRow, generate_batches
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.hf_labels import LabelRow, label_batches
from spa.models import identity
from spa.models.chat import render
from spa.models.loading import load_policy, load_tokenizer
from spa.models.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["HFBackend"]


class HFBackend:
    """Generates and judges with transformers.

    Chat rows run in left-padded batches, longest first; label rows in one forward pass each,
    their common beginning only once. A row that does not fit the context is answered by a
    `RequestFailure`, and the others go on.
    """

    Config = HFConfig

    def __init__(self, config: HFConfig) -> None:
        """Keeps the settings; nothing is loaded yet."""
        self.config = config
        self._label_tokens: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self.spec = ModelSpec(
            path=config.path,
            dtype=config.dtype,
            adapter=config.adapter,
            trust_remote_code=config.trust_remote_code,
            device=config.device,
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, loaded at first use."""
        return load_tokenizer(self.spec)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model with its adapter, loaded at first use.

        Defaults of the checkpoint's generation_config (repetition penalty, top_k, ...) are set
        aside: a request says all there is to say about sampling.
        """
        from transformers import GenerationConfig

        model = load_policy(self.spec)
        model.generation_config = GenerationConfig(
            eos_token_id=sorted(self._end_tokens(model)), pad_token_id=self.tokenizer.pad_token_id
        )
        return model

    @cached_property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit else 1 << 30

    def fingerprint(self) -> str:
        """Hash of weights, adapter, tokenizer, chat template and dtype."""
        return identity.fingerprint(self.spec)

    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        """Why requests like these cannot be answered; reads the tokenizer alone.

        Raises:
            SpaError: If the tokenizer cannot be loaded.
        """
        tokenizer = self.tokenizer
        problems: list[str] = []
        for request in requests:
            try:
                ids = render(tokenizer, request.messages, request.prefill)
                if isinstance(request, LabelRequest):
                    self._label_ids(request, ids)
            except SpaError as error:
                problems.append(str(error))
        return problems

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields results as their batches finish; failures first."""
        chats: list[ChatRow] = []
        labels: list[LabelRow] = []
        for place, request in enumerate(requests):
            row = self._prepare(place, request)
            if isinstance(row, RequestFailure):
                yield place, row
            elif isinstance(row, ChatRow):
                chats.append(row)
            else:
                labels.append(row)
        if chats:
            stops = frozenset(self.model.generation_config.eos_token_id)
            yield from generate_batches(
                self.model, self.tokenizer, chats, self.config.batch_size, stops
            )
        if labels:
            pad = int(self.tokenizer.pad_token_id)
            yield from label_batches(self.model, pad, labels, self.config.label_batch_size)

    def close(self) -> None:
        """Drops the model and frees the accelerator's memory."""
        self.__dict__.pop("model", None)
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prepare(self, place: int, request: Request) -> ChatRow | LabelRow | RequestFailure:
        try:
            ids = render(self.tokenizer, request.messages, request.prefill)
        except SpaError as error:
            return RequestFailure("template", str(error))
        room = request.max_tokens if isinstance(request, ChatRequest) else 1
        if len(ids) + room > self.context:
            return RequestFailure(
                "too_long",
                f"the prompt has {len(ids):,} tokens and {room:,} are to be generated, but the "
                f"model's context is {self.context:,}. Shorten the prompt or lower max_tokens.",
            )
        if isinstance(request, ChatRequest):
            return ChatRow(place, request, ids)
        return LabelRow(place, ids, self._label_ids(request, ids))

    def _label_ids(self, request: LabelRequest, ids: list[int]) -> tuple[int, ...]:
        """The token of every label as it stands right after the prompt.

        Raises:
            SpaError: If a label is not one token of its own there.
        """
        known = self._label_tokens.get((request.prefill, request.labels))
        if known is not None:
            return known
        found: list[int] = []
        for label in request.labels:
            longer = render(self.tokenizer, request.messages, request.prefill + label)
            if len(longer) != len(ids) + 1 or longer[:-1] != ids or longer[-1] in found:
                raise SpaError(
                    f"label {label!r} is not one token after {request.prefill!r} for the tokenizer "
                    f"of {self.config.path!r}. Use labels of one token each, for example the "
                    "digits 1 to 9 or the letters A to E, or a prefill that does not end in a "
                    "space."
                )
            found.append(longer[-1])
        self._label_tokens[request.prefill, request.labels] = tuple(found)
        return tuple(found)

    def _end_tokens(self, model: PreTrainedModel) -> set[int]:
        """Every token that ends an answer: the checkpoint's own list and the tokenizer's."""
        configured = getattr(model.generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        return {int(t) for t in (*listed, self.tokenizer.eos_token_id) if t is not None}
