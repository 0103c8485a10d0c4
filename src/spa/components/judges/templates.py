"""What the judge `constitution` puts before the model, unless the recipe says otherwise.

What is the same for all responses comes first, so that backends compute it once.
"""

from __future__ import annotations

__all__ = ["SCORE_TEMPLATE"]

SCORE_TEMPLATE = """\
You rate answers on one criterion, from {lowest} (worst) to {highest} (best).

Criterion: {name}
{definition}

### Conversation
{prompt}

### Answer
{response}

### Question
How well does the answer meet the criterion? Write only a number from {lowest} to {highest}."""
