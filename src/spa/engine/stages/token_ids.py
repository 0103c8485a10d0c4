"""Whether the token ids of responses are kept when another model than the policy wrote them.

Training takes the ids that a model really produced. Those of another tokenizer mean other text, so
ids are dropped unless both backends say that their tokenizers are one; training then tokenises the
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spa.engine.context import RunContext
from spa.engine.models import same_model
from spa.engine.policy import Policy
from spa.recipe import ComponentSpec
from spa.types import Response

__all__ = ["TokenIds", "token_ids"]


@dataclass(frozen=True, slots=True)
class TokenIds:
    """What becomes of the token ids of a stage.

    Attributes:
        ids: ``"kept"`` or ``"dropped"``; None if the policy itself writes.
    """

    ids: Literal["kept", "dropped"] | None

    def of(self, responses: Sequence[Response]) -> list[Response]:
        """The responses as rows hold them."""
        if self.ids == "dropped":
            return [replace(response, token_ids=()) for response in responses]
        return list(responses)

    @property
    def settings(self) -> dict[str, str]:
        """What of it goes into the stage's key and the manifest; nothing for the policy itself."""
        return {} if self.ids is None else {"token_ids": self.ids}


def token_ids(context: RunContext, backend: ComponentSpec, policy: Policy) -> TokenIds:
    """What becomes of the ids that a backend gives, while this is the policy."""
    if same_model(backend, policy.backend):
        return TokenIds(None)
    one = context.models.tokenizer_fingerprint(backend)
    other = context.models.tokenizer_fingerprint(policy.backend)
    return TokenIds("kept" if one is not None and one == other else "dropped")
