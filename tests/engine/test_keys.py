"""Keys change with what changes results, and with nothing else."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spa.engine.keys import SeedsBelow, canonical_json, derive_seed, key_config, stage_key
from spa.fields import ComponentConfig, NotInKey


class Inner(ComponentConfig):
    rank: int = 4
    workers: Annotated[int, NotInKey("changes speed only")] = 1


class Outer(ComponentConfig):
    beta: float = 1.0
    batch: Annotated[int | None, NotInKey("changes speed only")] = Field(default=8, ge=1)
    inner: Inner = Inner()


def test_fields_that_only_change_speed_are_left_out() -> None:
    assert key_config(Outer()) == {"beta": 1.0, "inner": {"rank": 4}}
    assert key_config(Outer(batch=2, inner=Inner(workers=7))) == key_config(Outer())
    assert key_config(Outer(inner=Inner(rank=5))) != key_config(Outer())


def test_the_order_of_a_mapping_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert stage_key("sample", {"a": 1, "b": 2}) == stage_key("sample", {"b": 2, "a": 1})


def test_every_part_changes_the_key() -> None:
    keys = {
        stage_key("sample", {"a": 1}),
        stage_key("sample", {"a": 2}),
        stage_key("judge", {"a": 1}),
        stage_key("sample", {"a": 1, "b": None}),
    }
    assert len(keys) == 4


def test_seeds_are_stable_and_differ_by_place() -> None:
    assert derive_seed(0, "sample", "p1", 0) == derive_seed(0, "sample", "p1", 0)
    places = [
        (s, stage, p, i) for s in (0, 1) for stage in "ab" for p in ("p1", "p11") for i in range(20)
    ]
    seeds = {derive_seed(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_that_share_a_place_are_those_of_their_places() -> None:
    below = SeedsBelow(3, "sample", "ü/1", 0)
    assert [below.seed(i) for i in range(12)] == [
        derive_seed(3, "sample", "ü/1", 0, i) for i in range(12)
    ]
