"""Draws what ``train_vs_trl.py --growth`` measured: ``plot_growth.py GROWTH.json PICTURE.svg``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

COLOURS = {"spa": "#00897b", "trl": "#e65100"}
NAMES = {"spa": "spa", "trl": "TRL CPOTrainer"}
AXES = {
    "responses": ("responses a prompt (all pairs, prompt of 64 tokens)", "-", "o"),
    "prompt_tokens": ("tokens of the prompt (6 responses, all pairs)", "--", "s"),
}


def main(source: str, target: str) -> None:
    """Two panels a measure: time a pair and peak memory, against each of the two sizes."""
    points = json.loads(Path(source).read_text(encoding="utf-8"))["points"]
    mpl.rcParams["svg.hashsalt"] = "train-growth"  # the same figures give the same file
    figure, panels = plt.subplots(2, 2, figsize=(10, 7), sharex="col", sharey="row")
    for column, axis in enumerate(AXES):
        _draw(panels[0][column], points, axis, "seconds_a_pair")
        _draw(panels[1][column], points, axis, "peak_mb")
        panels[1][column].set_xlabel(AXES[axis][0])
    panels[0][0].set_ylabel("seconds a pair")
    panels[1][0].set_ylabel("peak memory of the process, MB")
    panels[0][0].legend()
    figure.tight_layout()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})


def _draw(panel: Any, points: list[dict[str, Any]], axis: str, measure: str) -> None:
    _, line, marker = AXES[axis]
    for side, colour in COLOURS.items():
        found = [p for p in points if p["axis"] == axis and p["side"] == side and p[measure]]
        values = [p["value"] for p in found]
        figures = [p[measure] for p in found]
        panel.plot(values, figures, line, marker=marker, color=colour, label=NAMES[side])
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sorted({p["value"] for p in points if p["axis"] == axis}))
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.grid(visible=True, which="both", alpha=0.25)


if __name__ == "__main__":
    main(*sys.argv[1:])
