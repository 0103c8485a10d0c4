"""spa-rubric, installed as a stranger's package would be."""

from __future__ import annotations

import pytest

from spa.plugins.catalogue import build_catalogue

pytest.importorskip("spa_rubric", reason="pip install -e plugins/spa-rubric")


def test_it_is_found_through_its_entry_point() -> None:
    catalogue = build_catalogue()
    assert catalogue.resolve("judge", "rubric").qualified == "spa-rubric/rubric"
    assert catalogue.resolve("loss", "spa-rubric/slic").load_class().__name__ == "SlicLoss"
    (plugin,) = [each for each in catalogue.plugins if each.distribution == "spa-rubric"]
    assert (plugin.status, plugin.warnings) == ("ok", ())
