"""The best sample as it is, in place of a rewritten response: what refining adds, left out.

For ablation, at step 3 of SPA (arXiv 2511.06222). It asks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import Group, Objective, Response, lexicographic_key
from spa.components.refiners.configs import BestOfNConfig

__all__ = ["BestOfN"]


class BestOfN:
    """Copies the lexicographically best sample, text and token ids; the first of equals.

    Scores are compared as judged: thresholds of objectives are for the pair builder.
    """

    def __init__(self, config: BestOfNConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def refine(self, group: Group, objectives: Sequence[Objective]) -> Response | None:
        """Returns a copy of the best sample, named in ``details``; None if none is scored."""
        complete = [scored for scored in group.samples if scored.is_complete(objectives)]
        if not complete:
            return None
        best = max(
            complete,
            key=lambda scored: lexicographic_key(
                scored.vector(objectives), objectives, tie_tolerance=self._config.tie_tolerance
            ),
        ).response
        return Response(
            text=best.text,
            token_ids=best.token_ids,
            finish_reason=best.finish_reason,
            details={"sample": best.id, "samples": len(complete)},
        )
