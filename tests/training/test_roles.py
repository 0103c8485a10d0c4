"""What launchers put into the environment decides which part a process plays."""

from __future__ import annotations

import pytest

from spa.training.roles import STARTER, is_first, is_follower, is_launched

FIRST = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "RANK": "0"}


@pytest.mark.parametrize(
    ("environment", "launched", "first", "follower"),
    [
        ({}, False, True, False),
        (FIRST, True, True, False),
        (FIRST | {"RANK": "1"}, True, False, True),
        # Started by spa itself, for one training.
        (FIRST | {"RANK": "1", STARTER: "7"}, False, False, False),
        # A cluster that says how many processes it could start, and starts one.
        ({"WORLD_SIZE": "2"}, False, True, False),
        ({"WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}, False, True, False),
    ],
)
def test_roles(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    launched: bool,
    first: bool,
    follower: bool,
) -> None:
    for name in ("WORLD_SIZE", "MASTER_ADDR", "RANK", STARTER):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (is_launched(), is_first(), is_follower()) == (launched, first, follower)
