"""The picture of two judges' agreement: what is drawn, and that it fetches and runs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spa.comparison.judges import JudgesAgreement
from spa.comparison.judges_plot import plot_spec, write_plot
from spa.errors import UsageError
from spa.evaluation.agreement import Agreement, Bend, Step


def made(steps: int = 4, tau: float | None = 0.2) -> JudgesAgreement:
    def agreement(place: int) -> Agreement:
        return Agreement(0.9 - 0.1 * place, 0.8 - 0.1 * place, 1.0 - 0.1 * place, 0.05)

    curve = tuple(
        Step(0.1 * (n + 1), (n + 1) / steps, 5 * (n + 1), 20, agreement(n), agreement(n + 1))
        for n in range(steps)
    )
    bend = Bend(curve[1], 0.8, 0.5, 0.1, 0.4) if curve else None
    first = "weak</script><script>alert(1)"
    return JudgesAgreement(first, "strong", 30, {}, curve, bend, tau, 10 if tau else None)


def test_each_panel_has_curve_interval_chance_and_both_taus() -> None:
    (row,) = plot_spec([made()])["vconcat"]
    for panel, kind in zip(row["hconcat"], ("overall", "within"), strict=True):
        values = panel["data"]["values"]
        assert [each["share"] for each in values] == [0.25, 0.5, 0.75, 1.0]
        assert values[0]["rv"] == (0.9 if kind == "overall" else 0.8)
        drawn = [layer["encoding"].get("color", {}).get("datum") for layer in panel["layer"]]
        assert drawn == [
            None,
            "by chance",
            "RV, 95 % interval",
            "tau of the recipe",
            "suggested tau",
        ]
        rules = [layer["data"]["values"] for layer in panel["layer"][3:]]
        assert rules == [[{"share": 0.5}], [{"share": 0.5}]]
    doubtful = replace(made(tau=None), bend=made().bend and replace(made().bend, low=-0.1))
    (row,) = plot_spec([doubtful])["vconcat"]
    assert len(row["hconcat"][0]["layer"]) == 3, "a bend that is not supported suggests no tau"


def test_html_is_whole_and_names_run_nothing(tmp_path: Path) -> None:
    write_plot([made()], tmp_path / "curve.html")
    text = (tmp_path / "curve.html").read_text(encoding="utf-8")
    assert "weak(/script)(script)alert(1)" in text
    assert "<script>alert" not in text
    assert "<script src" not in text
    assert "<link" not in text


def test_png_and_what_cannot_be_drawn(tmp_path: Path) -> None:
    write_plot([made()], tmp_path / "curve.PNG")
    assert (tmp_path / "curve.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="so there is no curve to draw"):
        write_plot([made(steps=0)], tmp_path / "curve.svg")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(UsageError, match=r"taken\.svg cannot be written: Is a directory"):
        write_plot([made()], tmp_path / "taken.svg")
