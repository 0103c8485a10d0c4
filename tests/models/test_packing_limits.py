"""How near to exact is exact."""

from __future__ import annotations

import math

import pytest
import torch

from spa.models.packing_limits import distance


def test_tokens_count_by_their_probability() -> None:
    own_V = torch.tensor([0.75, 0.25, 0.0]).log().clamp_min(-20.0)
    found_V = own_V + torch.tensor([0.0, 0.0, 0.5])
    assert distance(own_V[None], found_V[None]) < 1e-6
    found_V = torch.tensor([0.5, 0.5, 0.0]).log().clamp_min(-20.0)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(2)
    assert distance(own_V[None], found_V[None]) == pytest.approx(expected, abs=1e-5)


def test_the_worst_place_counts_and_what_is_no_number_is_told() -> None:
    own_NV = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    found_NV = torch.tensor([[2.0, 3.0], [0.0, 3.0]])
    assert distance(own_NV[:1], found_NV[:1]) == pytest.approx(0.0, abs=1e-6)
    assert distance(own_NV, found_NV) == pytest.approx(distance(own_NV[1:], found_NV[1:]))
    assert math.isnan(distance(own_NV, found_NV * float("nan")))
