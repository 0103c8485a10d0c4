"""What the judge `constitution` puts before the model, unless the recipe says otherwise.

What is the same for most judgements comes first, and what differs between them last: instructions
for all, the conversation for the responses of a prompt, the response for all objectives. Backends
compute what is shared once, so another objective costs a few tokens.
"""

from __future__ import annotations

__all__ = ["SCORE_TEMPLATE"]

SCORE_TEMPLATE = """\
You rate answers on one criterion at a time, from {lowest} (worst) to {highest} (best).

### Criteria
{definitions}

### Conversation
{prompt}

### Answer
{response}

### Question
How well does the answer meet the criterion below? Write only a number from {lowest} to {highest}.
Criterion: {name}"""
