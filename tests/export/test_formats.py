"""Every format is read back by what it is for, and holds all pairs that it says it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_run import PAIRS, SYSTEM_PROMPT, make_run

from spa.engine.stored_run import StoredRun, open_run
from spa.export.folder import PAIR_FORMATS, export_pairs
from spa.export.llamafactory import dataset_name

Load = Callable[..., Any]


def test_trl(made: StoredRun, tmp_path: Path, load: Load) -> None:
    out = tmp_path / "out"
    exported = export_pairs(made, out, PAIR_FORMATS["trl"])
    assert {file.name for file in out.iterdir()} == {"README.md", "train.parquet"}
    loaded = load(str(out))
    assert set(loaded) == {"train"}
    rows = loaded["train"]
    assert len(rows) == len(exported.data.pairs) == 5
    assert exported.data.left_out == {"empty_response": 1}
    assert rows.column_names == list(PAIR_FORMATS["trl"].columns(made.objectives))
    assert rows[0] == {
        "prompt": [{"role": "user", "content": "How do I sleep?"}],
        "chosen": [{"role": "assistant", "content": "Keep fixed hours, naïve or not."}],
        "rejected": [{"role": "assistant", "content": "Go to bed early."}],
        "prompt_id": "p1",
        "chosen_id": "p1/r",
        "rejected_id": "p1/s0",
        "chosen_scores": {"harmlessness": 9.0, "helpfulness": 8.0},
        "rejected_scores": {"harmlessness": 8.0, "helpfulness": 8.5},
        "chosen_finish_reason": "stop",
        "rejected_finish_reason": "stop",
        "margin": 1.5,
        "gap": 0.5,
        "round": 1,
    }
    assert rows[1]["rejected_finish_reason"] == "length"
    assert rows[4]["chosen"][0]["content"] == "Round two, better."
    assert list(rows["round"]) == [1, 1, 1, 1, 2]
    # The prompt's own turns are kept; the system prompts that samples were drawn with are not.
    assert [turn["role"] for turn in rows[2]["prompt"]] == ["system", "user", "assistant", "user"]
    assert SYSTEM_PROMPT not in json.dumps(rows.to_list())


def test_trl_is_found_without_the_card(made: StoredRun, tmp_path: Path, load: Load) -> None:
    export_pairs(made, tmp_path / "out", PAIR_FORMATS["trl"], 2)
    (tmp_path / "out" / "README.md").unlink()
    assert list(load(str(tmp_path / "out"), split="train")["prompt_id"]) == ["p1"]


def read_as_llamafactory(folder: Path, name: str, load: Load) -> list[dict[str, Any]]:
    """What LLaMA-Factory makes of a ranking dataset in sharegpt form, by its documentation."""
    entry = json.loads((folder / "dataset_info.json").read_text())[name]
    assert (entry["formatting"], entry["ranking"]) == ("sharegpt", True)
    columns = entry["columns"]
    found = []
    for row in load("json", data_files=str(folder / entry["file_name"]), split="train"):
        turns = row[columns["messages"]]
        for place, turn in enumerate(turns):
            assert turn["from"] == ("gpt" if place % 2 else "human")
        assert len(turns) % 2 == 1
        chosen, rejected = row[columns["chosen"]], row[columns["rejected"]]
        assert chosen["from"] == rejected["from"] == "gpt"
        prompt = [turn["value"] for turn in turns]
        answers = (chosen["value"], rejected["value"])
        found.append({"prompt": prompt, "answers": answers, "system": row[columns["system"]]})
    return found


def test_llamafactory(made: StoredRun, tmp_path: Path, load: Load) -> None:
    out = tmp_path / "out"
    exported = export_pairs(made, out, PAIR_FORMATS["llamafactory"])
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "dataset_info.json",
        "spa-made-1.json",
    }
    assert exported.data.left_out == {"empty_response": 1, "turns_do_not_alternate": 1}
    rows = read_as_llamafactory(out, "spa-made-1", load)
    assert len(rows) == len(exported.data.pairs) == 4
    assert rows[0] == {
        "prompt": ["How do I sleep?"],
        "answers": ("Keep fixed hours, naïve or not.", "Go to bed early."),
        "system": "",
    }
    assert rows[2] == {
        "prompt": ["Hello", "Good day.", "Who are you?"],
        "answers": ("A model.", "Nobody."),
        "system": "Answer in one line.",
    }
    text = (out / "spa-made-1.json").read_text(encoding="utf-8")
    assert SYSTEM_PROMPT not in text
    first = json.loads(text)[0]
    assert list(first) == list(PAIR_FORMATS["llamafactory"].columns(made.objectives))
    assert (first["chosen_id"], first["margin"], first["round"]) == ("p1/r", 1.5, 1)
    # The folder itself, through its card.
    assert len(load(str(out), split="train")) == 4


def test_llamafactory_divides_names_at_commas(tmp_path: Path) -> None:
    assert dataset_name("my run, again") == "spa-my-run-again"
    run = open_run(make_run(tmp_path / "runs", name="my run, again"))
    export_pairs(run, tmp_path / "out", PAIR_FORMATS["llamafactory"])
    assert list(json.loads((tmp_path / "out" / "dataset_info.json").read_text())) == [
        "spa-my-run-again"
    ]
    assert (tmp_path / "out" / "spa-my-run-again.json").is_file()


def test_parquet(made: StoredRun, tmp_path: Path, load: Load) -> None:
    out = tmp_path / "out"
    exported = export_pairs(made, out, PAIR_FORMATS["parquet"])
    assert exported.data.left_out == {}
    table = pq.read_table(out / "pairs.parquet")
    assert table.column_names == list(PAIR_FORMATS["parquet"].columns(made.objectives))
    rows = table.to_pylist()
    assert len(rows) == 6
    assert rows[1] == {
        "prompt_id": "p1",
        "prompt": [{"role": "user", "content": "How do I sleep?"}],
        "prompt_text": "How do I sleep?",
        "prompt_meta": '{"kind": "health"}',
        "chosen_id": "p1/s0",
        "chosen_text": "Go to bed early.",
        "chosen_token_ids": [1, 2, 9],
        "chosen_finish_reason": "stop",
        "chosen_origin": "sample",
        "chosen_details": json.dumps({"system_prompt": SYSTEM_PROMPT, "temperature": 1.0}),
        "chosen_score_harmlessness": 8.0,
        "chosen_score_helpfulness": 8.5,
        "rejected_id": "p1/s1",
        "rejected_text": "Take pills and",
        "rejected_token_ids": [3, 4],
        "rejected_finish_reason": "length",
        "rejected_origin": "sample",
        "rejected_details": json.dumps({"system_prompt": SYSTEM_PROMPT, "temperature": 1.0}),
        "rejected_score_harmlessness": 2.0,
        "rejected_score_helpfulness": 3.0,
        "margin": 11.5,
        "gap": 11.5,
        "round": 1,
    }
    assert rows[0]["chosen_origin"] == "refined"
    # What spa trains on, though a reader of texts could not.
    assert (rows[2]["rejected_text"], rows[2]["rejected_token_ids"]) == (" \n", [9])
    assert len(load(str(out), split="train")) == 6


@pytest.mark.parametrize("name", sorted(PAIR_FORMATS))
def test_more_rows_than_are_written_at_once(name: str, tmp_path: Path, load: Load) -> None:
    many = PAIRS[2] * 2500
    run = open_run(make_run(tmp_path / "runs", pairs={2: many}))
    export_pairs(run, tmp_path / "out", PAIR_FORMATS[name])
    assert len(load(str(tmp_path / "out"), split="train")) == 2500
