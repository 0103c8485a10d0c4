"""What the judge `constitution` asks where the labels change their direction.

The template of `spa.components.judges.templates` writes out a scale that rises. Asked a second time
with the labels' values in reverse, it would lie; this one names the two ends by what they mean,
{worst} and {best}, and stays true. As there, what is the same for all objectives and both orders
comes first.
"""

from __future__ import annotations

__all__ = ["DIRECTED_TEMPLATE"]

DIRECTED_TEMPLATE = """\
You rate answers on one criterion at a time.

### Criteria
{definitions}

### Conversation
{prompt}

### Answer
{response}

### Question
How well does the answer meet the criterion below? {best} is the best mark and {worst} is the \
worst; where the criterion speaks of high and low, high is near {best} and low is near {worst}. \
Write only the mark.
Criterion: {name}"""
