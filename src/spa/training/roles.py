"""Which part this process plays in a training, by what its launcher put into the environment.

Imports nothing, so that commands can ask before torch is read.
"""

from __future__ import annotations

import os

__all__ = ["STARTER", "is_first", "is_follower", "is_launched"]

STARTER = "SPA_TRAINING_STARTER"
"""Environment variable that holds the process id of who waits for the result of a training; only
processes that spa itself started have it."""


def is_launched() -> bool:
    """Whether a launcher started several processes of spa.

    Some clusters set ``WORLD_SIZE`` alone, for programs that they start once.
    """
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ
    return several and STARTER not in os.environ


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def is_follower() -> bool:
    """Whether this one waits for trainings that the first announces."""
    return is_launched() and not is_first()
