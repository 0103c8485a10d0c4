"""The `hf` backend: a transformers model in this process, loaded at the first request."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LoadedModel,
    Request,
    RequestFailure,
    Result,
    SpaError,
)
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.hf_work import (
    generate_in_batches,
    generate_in_slots,
    label_batches,
    longest_in_slots,
)
from spa.components.backends.inference_dtype import inference_dtype
from spa.models import identity
from spa.models.chat import Rendered, render_text
from spa.models.labels import label_token_ids
from spa.models.loading import load_policy, load_tokenizer
from spa.models.reasoning import ReasoningTags, find_tags, part
from spa.models.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from spa.components.backends.hf_chat import ChatRow, Ended, Room
    from spa.components.backends.hf_labels import LabelRow

__all__ = ["HFBackend"]


class HFBackend:
    """Generates and judges with transformers.

    Chat rows run side by side as far as there is room, longest first, and what prompts share is
    computed once; label rows take one forward pass each, their common beginning only once. A row
    that does not fit the context, or for which memory does not suffice, is answered by a
    `RequestFailure`, and the others go on.
    """

    Config = HFConfig

    def __init__(self, config: HFConfig) -> None:
        """Keeps the settings; nothing is loaded yet."""
        self.config = config
        self._label_tokens: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self._configured = ModelSpec(
            path=config.path,
            dtype=config.dtype,
            adapter=config.adapter,
            trust_remote_code=config.trust_remote_code,
            device=config.device,
            chat_template_kwargs=config.chat_template_kwargs,
        )

    @cached_property
    def spec(self) -> ModelSpec:
        """The model as it is run: with the dtype that ``auto`` means for inference here."""
        return replace(self._configured, dtype=inference_dtype(self._configured))

    @cached_property
    def room(self) -> Room:
        """How much runs side by side."""
        from spa.components.backends.hf_chat import Room

        return Room(self.config.batch_size, self.config.batch_tokens)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, loaded at first use."""
        return load_tokenizer(self._configured)

    @cached_property
    def tags(self) -> ReasoningTags | None:
        """What stands around the model's reasoning; None if it does not think."""
        return find_tags(self.tokenizer)

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

    @cached_property
    def longest_in_slots(self) -> int:
        """Most tokens of prompt and answer that may be decoded in slots; 0 for none."""
        return longest_in_slots(self.model)

    def fingerprint(self) -> str:
        """Hash of weights, adapter, tokenizer, chat template and dtype."""
        return identity.fingerprint(self.spec)

    def fingerprint_parts(self) -> Mapping[str, str]:
        """A hash of each thing that the fingerprint covers."""
        return identity.fingerprint_parts(self.spec)

    def tokenizer_fingerprint(self) -> str:
        """Hash of tokenizer and chat template alone."""
        return identity.tokenizer_fingerprint(self._configured)

    def loaded(self) -> LoadedModel:
        """The model and its tokenizer, loaded at first use."""
        return LoadedModel(self.model, self.tokenizer)

    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        """Why requests like these cannot be answered; reads the tokenizer alone.

        Raises:
            SpaError: If the tokenizer cannot be loaded.
        """
        tokenizer = self.tokenizer
        problems: list[str] = []
        for request in requests:
            try:
                ids = _ids(tokenizer, self._rendered(request))
                if isinstance(request, LabelRequest):
                    self._label_ids(request, ids)
            except SpaError as error:
                problems.append(str(error))
        return problems

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields results as rows end; failures first."""
        from spa.components.backends.hf_chat import ChatRow

        chats: list[ChatRow] = []
        labels: list[LabelRow] = []
        # The samples of a prompt are asked for with the same messages.
        known: dict[tuple[object, ...], tuple[Rendered, list[int]]] = {}
        for place, request in enumerate(requests):
            row = self._prepare(place, request, known)
            if isinstance(row, RequestFailure):
                yield place, row
            elif isinstance(row, ChatRow):
                chats.append(row)
            else:
                labels.append(row)
        if chats:
            yield from self._chat(chats)
        if labels:
            pad = int(self.tokenizer.pad_token_id)
            yield from label_batches(self.model, pad, labels, self.config.label_batch_size)

    def _chat(self, rows: Sequence[ChatRow]) -> Iterator[tuple[int, Result | RequestFailure]]:
        from spa.components.backends.decoding import Ended

        stops = frozenset(self.model.generation_config.eos_token_id)
        for generate, fits in ((generate_in_slots, True), (generate_in_batches, False)):
            chosen = [row for row in rows if (row.tokens <= self.longest_in_slots) == fits]
            for ended in generate(self.model, chosen, self.room, stops) if chosen else ():
                if isinstance(ended, Ended):
                    yield ended.row.place, self._result(ended, stops)
                else:
                    row, failure = ended
                    yield row.place, failure

    def _result(self, ended: Ended, stop_ids: frozenset[int]) -> ChatResult:
        parted = part(self.tokenizer, ended.token_ids, self.tags, begun=ended.row.reasoning)
        return ChatResult(
            text=parted.answer,
            token_ids=ended.token_ids,
            finish_reason="stop" if ended.token_ids[-1] in stop_ids else "length",
            prompt_tokens=len(ended.row.prompt_ids),
            reasoning=parted.reasoning,
        )

    def close(self) -> None:
        """Drops the model and frees the accelerator's memory."""
        if "model" not in self.__dict__:  # a backend that only said who it is has no torch
            return
        for name in ("model", "longest_in_slots"):
            self.__dict__.pop(name, None)
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rendered(self, request: Request) -> Rendered:
        return render_text(
            self.tokenizer,
            request.messages,
            request.prefill,
            direct=isinstance(request, LabelRequest),
            options=self.config.chat_template_kwargs,
        )

    def _prepare(
        self,
        place: int,
        request: Request,
        known: dict[tuple[object, ...], tuple[Rendered, list[int]]],
    ) -> ChatRow | LabelRow | RequestFailure:
        from spa.components.backends.hf_chat import ChatRow
        from spa.components.backends.hf_labels import LabelRow

        key = (type(request), request.messages, request.prefill)
        if key not in known:
            try:
                rendered = self._rendered(request)
            except SpaError as error:
                return RequestFailure("template", str(error))
            known[key] = rendered, _ids(self.tokenizer, rendered)
        rendered, ids = known[key]
        room = request.max_tokens if isinstance(request, ChatRequest) else 1
        if len(ids) + room > self.context:
            return RequestFailure(
                "too_long",
                f"the prompt has {len(ids):,} tokens and {room:,} are to be generated, but the "
                f"model's context is {self.context:,}. Shorten the prompt or lower max_tokens.",
            )
        if isinstance(request, ChatRequest):
            return ChatRow(place, request, tuple(ids), rendered.reasoning)
        return LabelRow(place, ids, self._label_ids(request, ids))

    def _label_ids(self, request: LabelRequest, ids: list[int]) -> tuple[int, ...]:
        """The token of every label as it stands right after the prompt.

        Raises:
            SpaError: If a label is not one token of its own there.
        """
        known = self._label_tokens.get((request.prefill, request.labels))
        if known is not None:
            return known
        found = label_token_ids(
            self.tokenizer,
            request,
            ids,
            self.config.chat_template_kwargs,
            model=self.config.path,
        )
        self._label_tokens[request.prefill, request.labels] = found
        return found

    def _end_tokens(self, model: PreTrainedModel) -> set[int]:
        """Every token that ends an answer: the checkpoint's own list and the tokenizer's."""
        configured = getattr(model.generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        return {int(t) for t in (*listed, self.tokenizer.eos_token_id) if t is not None}


def _ids(tokenizer: PreTrainedTokenizerBase, rendered: Rendered) -> list[int]:
    # The template writes special tokens itself: adding them again doubles the first one.
    ids: list[int] = tokenizer(rendered.text, add_special_tokens=False)["input_ids"]
    return ids
