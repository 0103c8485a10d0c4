"""The values that flow from stage to stage: prompts, responses, scores, groups, pairs, requests.

Frozen dataclasses of plain Python values. Nothing here imports torch, so listing plugins,
validating a recipe and reading a finished run stay fast.

The flow, with the type that each arrow carries::

    Prompt -> Response (samples) -> Scored -> Response (refined) -> Scored
           -> Group -> Verdict (denoise) -> PreferencePair -> training
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from typing_extensions import TypeAliasType

__all__ = [
    "ChatRequest",
    "ChatResult",
    "EvaluationItem",
    "FinishReason",
    "Group",
    "JsonValue",
    "LabelRequest",
    "LabelResult",
    "Message",
    "Metric",
    "Objective",
    "Origin",
    "PreferencePair",
    "Prompt",
    "Request",
    "RequestFailure",
    "Response",
    "Result",
    "Role",
    "RunEvent",
    "Score",
    "Scored",
    "Split",
    "Verdict",
]

JsonValue = TypeAliasType(
    "JsonValue", "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
Role = Literal["system", "user", "assistant"]
Split = Literal["train", "heldout"]
FinishReason = Literal["stop", "length"]
Origin = Literal["sample", "refined", "answer"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of the recipe; the recipe's order is the priority, most important first.

    Attributes:
        name: Unique in the recipe, for example ``"harmlessness"``.
        definition: The constitution: the written definition that a judge scores against.
        threshold: A score at or above it counts as met, so that the next objective decides.
            ``None``: no threshold.
        minimum: Lowest score the judge can give, ``None`` when the judge declares no scale.
        maximum: Highest score the judge can give, ``None`` when the judge declares no scale.
    """

    name: str
    definition: str
    threshold: float | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that ends with a user turn, to be answered by the policy.

    Attributes:
        id: Unique in a run and stable between runs of the same source.
        messages: The turns, the last of them from the user.
        split: ``"train"`` prompts make pairs; ``"heldout"`` prompts are for evaluation only.
        meta: Whatever else the source says of the prompt (category, origin, labels).
    """

    id: str
    messages: tuple[Message, ...]
    split: Split = "train"
    meta: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content of the last user turn."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered to a prompt.

    A generator or refiner fills in ``text``, ``token_ids``, ``finish_reason`` and ``details``;
    the engine stamps ``id``, ``prompt_id``, ``origin`` and ``index``.

    Attributes:
        text: The decoded answer without special tokens.
        token_ids: The ids that the model really produced, the end token included when it ended
            by itself. Training uses these and never tokenises ``text`` again.
        finish_reason: ``"stop"``: ended by itself; ``"length"``: cut at the token limit.
        details: How it came about (system prompt, seed, temperature).
        id: Unique in the run, for example ``"p0007/s2"`` or ``"p0007/r"``.
        prompt_id: The prompt that it answers.
        origin: Sampled for training, refined from samples, or an answer to a held-out prompt.
        index: Its place among the responses of one prompt and origin, from 0.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    id: str = ""
    prompt_id: str = ""
    origin: Origin = "sample"
    index: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's score of one response on one objective, or the reason why there is none.

    Attributes:
        value: On the judge's scale, higher is better; ``None`` when unscored. An unscored
            response is never counted as 0 and never as a tie.
        reason: A stable code for a missing score, for example ``"unparsable"`` or
            ``"low_label_mass"``; ``None`` when scored.
        details: What the judge wants kept: label mass, entropy, most likely label.
    """

    value: float | None
    reason: str | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """A response with its score on every objective."""

    response: Response
    scores: Mapping[str, Score]

    @property
    def id(self) -> str:
        """The response's id."""
        return self.response.id

    def is_complete(self, objectives: Sequence[Objective]) -> bool:
        """Whether every objective has a score."""
        return all(
            o.name in self.scores and self.scores[o.name].value is not None for o in objectives
        )

    def vector(self, objectives: Sequence[Objective]) -> tuple[float, ...]:
        """The K scores in the order of the objectives.

        Raises:
            ValueError: If an objective is unscored.
        """
        return tuple(self._value(o.name) for o in objectives)

    def _value(self, name: str) -> float:
        score = self.scores.get(name)
        if score is None or score.value is None:
            raise ValueError(f"response {self.id!r} has no score for objective {name!r}")
        return score.value


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt with its scored samples and, where there is one, its scored refined response."""

    prompt: Prompt
    samples: tuple[Scored, ...]
    refined: Scored | None = None

    def __iter__(self) -> Iterator[Scored]:
        """All responses: the samples, then the refined one."""
        yield from self.samples
        if self.refined is not None:
            yield self.refined


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a denoiser says of a group.

    Attributes:
        keep: Whether the group stays.
        reason: A stable code; the funnel counts groups under it.
        drop: Ids of responses to leave out of a group that stays.
        details: The figures behind the verdict (determinant, limit, best sample score).
    """

    keep: bool
    reason: str
    drop: tuple[str, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A preference between two responses to one prompt.

    Attributes:
        prompt_id: The prompt that both answer.
        chosen: Id of the preferred response.
        rejected: Id of the other.
        chosen_scores: K scores, in the order of the objectives.
        rejected_scores: K scores, in the order of the objectives.
        margin: ``sum_k |s_k(chosen) - s_k(rejected)|``, what the builder's ``margin`` bounds.
        gap: ``|sum_k s_k(chosen) - sum_k s_k(rejected)|``, what the SPA loss weighs by. It can
            be 0 for a valid pair.
    """

    prompt_id: str
    chosen: str
    rejected: str
    chosen_scores: tuple[float, ...]
    rejected_scores: tuple[float, ...]
    margin: float
    gap: float


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Asks a model to answer a conversation.

    Attributes:
        messages: The conversation. Empty: there is none, and the model goes on with ``prefill`` as
            plain text, without a chat template.
        max_tokens: Most tokens to generate, the end token included.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling; 1 keeps the whole distribution.
        seed: Seed of this row alone. ``None``: the engine derives one from the run's seed, the
            row and the request's place in it.
        prefill: Beginning of the assistant turn, continued by the model and not part of the
            result's text.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    prefill: str = ""


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """Asks for the probability of each of a few labels as the next token.

    Attributes:
        messages: The conversation. Empty: there is none, and ``prefill`` is plain text, without a
            chat template.
        labels: Each must be a single token right after ``prefill``; the backend refuses others.
        prefill: Beginning of the assistant turn, for example ``"Score: "``.
    """

    messages: tuple[Message, ...]
    labels: tuple[str, ...]
    prefill: str = ""


Request: TypeAlias = ChatRequest | LabelRequest


@dataclass(frozen=True, slots=True)
class ChatResult:
    """The answer to a `ChatRequest`.

    Attributes:
        text: Decoded, without special tokens, without the prefill and without ``reasoning``.
        token_ids: All that was generated, reasoning and, when ``finish_reason`` is ``stop``, the
            end token included. Empty when the backend does not learn them.
        finish_reason: ``"stop"`` or ``"length"``.
        prompt_tokens: Tokens of the rendered conversation, prefill included.
        reasoning: What a thinking model wrote before its answer; ``""`` when nothing.
        new_tokens: Tokens generated, for a backend that counts them but does not learn their ids;
            None: as many as ``token_ids``.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    reasoning: str = ""
    new_tokens: int | None = None

    @property
    def generated(self) -> int:
        """Tokens that were generated."""
        return len(self.token_ids) if self.new_tokens is None else self.new_tokens


@dataclass(frozen=True, slots=True)
class LabelResult:
    """The answer to a `LabelRequest`.

    Attributes:
        logprobs: Natural log-probability of each label, in the order of the request's labels,
            under the model's whole vocabulary at temperature 1.
        mass: Total probability of the labels, in [0, 1].
        prompt_tokens: Tokens of the rendered conversation, prefill included.
    """

    logprobs: tuple[float, ...]
    mass: float
    prompt_tokens: int


Result: TypeAlias = ChatResult | LabelResult


@dataclass(frozen=True, slots=True)
class RequestFailure:
    """Why one request could not be answered; the others of its batch still are.

    Attributes:
        reason: A stable code, for example ``"too_long"``.
        message: What was wrong and what to do about it, for people.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class EvaluationItem:
    """A held-out prompt with the judged answers of every model under comparison.

    Attributes:
        prompt: The held-out prompt.
        answers: Model name (``"base"``, ``"round-1"``, ...) to its scored answers, the untrained
            model first.
    """

    prompt: Prompt
    answers: Mapping[str, tuple[Scored, ...]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of an evaluation, with its uncertainty.

    Attributes:
        name: For example ``"harmlessness"`` or ``"win_rate"``.
        value: The estimate; ``None`` when nothing could be computed.
        n: How many prompts it rests on.
        model: The model that it describes, or ``"round-1 - base"`` for a paired difference.
        low: Lower end of the interval, ``None`` where there is none.
        high: Upper end of the interval.
        missing: Prompts that belong to the denominator but could not be counted in ``value``.
    """

    name: str
    value: float | None
    n: int
    model: str
    low: float | None = None
    high: float | None = None
    missing: int = 0


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run, for observers (hook ``spa_run_event``).

    Attributes:
        kind: What happened.
        run: Name of the run.
        stage: The stage it concerns; ``None`` for events of the run itself.
        done: Rows finished so far in this stage.
        total: Rows that the stage will have, ``None`` when unknown.
        failed: Rows that could not be done.
        details: Further figures, for example ``tokens_per_second``, ``cached`` or ``seconds``.
    """

    kind: Literal[
        "run_started",
        "stage_started",
        "stage_progress",
        "stage_finished",
        "run_finished",
        "run_failed",
    ]
    run: str
    stage: str | None = None
    done: int = 0
    total: int | None = None
    failed: int = 0
    details: Mapping[str, JsonValue] = field(default_factory=dict)
