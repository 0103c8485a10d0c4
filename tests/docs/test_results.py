"""The tables of the page of results come from runs, and from nothing else."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evaluated_run import make_evaluated_run

from spa.ablation.record import AblationRecord, CellRecord, write_record
from spa.engine.rows import JudgedRow, NamedVerdict, VerdictRow
from spa.engine.store import RowWriter, StageFolder
from spa.errors import UsageError
from spa.types import Score

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results.md"
PROMPTS = [f"p{number}" for number in range(12)]
SAMPLES = [(0.0, 2.0), (1.0, 1.0), (2.0, 0.0), (3.0, 4.0)]
ORDERS = {"reversed": ["useful", "safe"]}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", ROOT / "docs" / "tools" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_rows(runs: Path, folder: str, rows: Sequence[Any]) -> None:
    writer = RowWriter(StageFolder(runs / "store" / folder, type(rows[0])))
    writer.rows(0, "all", rows)
    writer.commit({"stage": folder})


def make_run(runs: Path, setting: str, method: str, seed: int, after: float) -> CellRecord:
    """A run whose answers score 2 before training, and about `after` then; `useful` stays."""
    name = f"{setting}-{method}-{seed}"
    names = ORDERS.get(method, ["safe", "useful"])
    objectives = [{"name": each, "definition": "?", "threshold": None} for each in names]
    folder = make_evaluated_run(
        runs,
        name,
        {prompt: [2.0] for prompt in PROMPTS},
        {prompt: [after + 0.02 * place + 0.1 * seed] for place, prompt in enumerate(PROMPTS)},
        objectives=objectives,
        seed=seed,
    )
    rows = [
        JudgedRow(f"t/s{place}", "t", {"safe": Score(safe), "useful": Score(useful)})
        for place, (safe, useful) in enumerate(SAMPLES)
    ]
    write_rows(runs, f"judge-{name}", rows)
    verdicts = [NamedVerdict("spa-align/consistency", True, "consistent")]
    write_rows(runs, f"denoise-{name}", [VerdictRow("t", True, "", "kept", (), tuple(verdicts))])
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["stages"] += [
        {"name": stage, "round": 1, "folder": f"{stage}-{name}"} for stage in ("judge", "denoise")
    ]
    last = {"name": "paired", "prompts": 3 + seed, "lost": {}, "pairs": 10}
    manifest["funnels"] = [[last]] * (2 if method == "second-iteration" else 1)
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return CellRecord(name, f"{setting}-{method}", f"seed={seed}", [], [], status="done")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    scores = {"spa": 5.0, "sft": 3.0, "no-denoise": 5.0, "second-iteration": 5.0, "reversed": 1.0}
    for setting in ("agree", "conflict"):
        cells = [
            make_run(runs, setting, method, seed, score)
            for seed in (0, 1, 2)
            for method, score in scores.items()
            if setting == "conflict" or method != "reversed"
        ]
        (runs / setting).mkdir()
        write_record(runs / setting, AblationRecord(setting, "r.yaml", "", [], [], cells))
    return runs


def test_the_page_is_written_from_the_runs(tool: ModuleType, runs: Path) -> None:
    page = tool.rewritten(PAGE.read_text(encoding="utf-8"), tool.blocks(runs))
    before, _, section = page.partition("## Objectives that get on")
    assert before == PAGE.read_text(encoding="utf-8").partition("## Objectives that get on")[0]
    section, _, conflict = section.partition("## Objectives that conflict")
    assert "| vanilla | 2.00 ± 0.00 | 5.00 ± 0.00 | 3 |\n| SFT | 3.21 ± 0.10 |" in section
    assert "| vanilla | **+3.21 [" in section
    assert "| SFT | **+2.00 [+2.00, +2.00]** | +0.00 [+0.00, +0.00] |" in section
    assert (
        "- **safe**: SPA is significantly above vanilla and SFT; no significant difference "
        "to SPA without denoising and SPA, second iteration.\n"
        "- **useful**: no significant difference to vanilla, SFT, "
    ) in section
    assert "| safe | 1.50 | 1.17 | 25% |" in section
    assert "12 samples of the untrained model" in section
    # Of the six pairs of a seed three go in opposite directions.
    assert "Of 18 pairs of samples of one prompt that differ in both scores, 50% have" in section
    assert "| SPA without denoising | 4 | 10 |\n" in section
    assert "| SPA, second iteration | 4 and 4 | 10 and 10 |" in section
    assert "for 3 of 3 prompts of all seeds." in section
    missing = "Not run to the end yet: SPA-DPO, SPA-SimPO and reward soup 9:1."
    assert missing in section
    assert missing in conflict
    assert "reversed" not in conflict
    assert "| SPA, safe > useful | 5.21 ± 0.10 |" in conflict
    assert "| the former less the latter | **+4.00 [+4.00, +4.00]** |" in conflict
    assert tool.rewritten(page, tool.blocks(runs)) == page


def test_a_page_without_a_place_is_refused(tool: ModuleType) -> None:
    with pytest.raises(UsageError, match=r"must hold <!-- a --> and <!-- end of a --> once, not 0"):
        tool.rewritten("nothing", {"a": "table"})


def test_a_seed_that_not_every_method_has_is_left_out(
    tool: ModuleType, runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "agree-sft-2" / "run.json").unlink()
    section = tool.blocks(tmp_path)["agree: figures"]
    assert "| vanilla | 2.00 ± 0.00 | 5.00 ± 0.00 | 2 |\n| SFT | 3.16 ± 0.07 |" in section
    for seed in (0, 1, 2):
        (tmp_path / f"conflict-reversed-{seed}" / "run.json").unlink()
    assert tool.blocks(tmp_path)["conflict: order"] == "Not run yet."
    assert "reward soup 9:1 and reversed." in tool.blocks(tmp_path)["conflict: figures"]
    for seed in (0, 1):
        (tmp_path / f"agree-sft-{seed}" / "run.json").unlink()
        (tmp_path / f"agree-spa-{seed}" / "run.json").unlink()
    (tmp_path / "agree-spa-2" / "run.json").unlink()
    with pytest.raises(UsageError, match="no seed of SPA and all other methods is finished"):
        tool.blocks(tmp_path)


def test_a_folder_without_the_ablation_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="agree holds no ablation"):
        tool.blocks(tmp_path)
