"""Collecting garbage less often, for a while."""

from __future__ import annotations

import gc

import pytest

from spa.engine.collection import rare_collection


def inside() -> None:
    with rare_collection():
        raise KeyError(gc.get_threshold()[0])


def test_the_threshold_is_put_back_whatever_happens() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError) as caught:
        inside()
    assert caught.value.args[0] > before[0]
    assert gc.get_threshold() == before
