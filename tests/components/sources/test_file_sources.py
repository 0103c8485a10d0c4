"""Prompt files are read as configured, and every mistake has its message."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spa.api import Message, NotInKey, Source, SpaError
from spa.components.sources.configs import CsvConfig, JsonlConfig, ParquetConfig
from spa.components.sources.csv import CsvSource
from spa.components.sources.jsonl import JsonlSource
from spa.components.sources.parquet import ParquetSource
from spa.components.sources.rows import prompts_from_rows


def jsonl(path: Path, text: str, **settings: Any) -> JsonlSource:
    file = path / "prompts.jsonl"
    file.write_text(text, encoding="utf-8")
    return JsonlSource(JsonlConfig(path=str(file), **settings))


def csv(path: Path, text: str, **settings: Any) -> CsvSource:
    file = path / "prompts.csv"
    file.write_text(text, encoding="utf-8")
    return CsvSource(CsvConfig(path=str(file), **settings))


def parquet(path: Path, columns: dict, **settings: Any) -> ParquetSource:
    file = path / "prompts.parquet"
    pq.write_table(pa.table(columns), file)
    return ParquetSource(ParquetConfig(path=str(file), **settings))


def failure(source: Source, path: Path) -> str:
    with pytest.raises(SpaError) as caught:
        list(source.prompts())
    return str(caught.value).replace(f"{path}/", "")


def test_jsonl_reads_ids_text_and_meta(tmp_path: Path) -> None:
    text = (
        '\ufeff{"id": 7, "prompt": "Hello\\u2028", "category": "x", "n": NaN}\n\n'
        '{"id": "b", "prompt": "Bye"}'
    )
    first, second = jsonl(tmp_path, text).prompts()
    assert (first.id, first.text, first.split) == ("7", "Hello\u2028", "train")
    assert first.meta == {"category": "x", "n": "nan"}
    assert (second.id, second.messages, second.meta) == ("b", (Message("user", "Bye"),), {})


def test_columns_can_be_named(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path,
        '{"key": "k", "question": "Q", "id": 3}',
        prompt_column="question",
        id_column="key",
    )
    (prompt,) = source.prompts()
    assert (prompt.id, prompt.text, prompt.meta) == ("k", "Q", {"id": 3})


def test_messages_column(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi", "name": "ignored"},
    ]
    expected = (Message("system", "Be kind."), Message("user", "Hi"))
    text = json.dumps({"messages": turns})
    (prompt,) = jsonl(tmp_path, text, messages_column="messages").prompts()
    assert prompt.messages == expected
    quoted = json.dumps(turns).replace('"', '""')
    (prompt,) = csv(tmp_path, f'messages\n"{quoted}"\n', messages_column="messages").prompts()
    assert prompt.messages == expected
    (prompt,) = parquet(tmp_path, {"m": [turns]}, messages_column="m").prompts()
    assert prompt.messages == expected


def test_csv_reads_quoted_text_and_long_fields(tmp_path: Path) -> None:
    long = "x" * 200_000
    source = csv(tmp_path, f'id;prompt\n1;"a;b\nc ""d"""\n2;{long}\n', delimiter=";")
    assert [(p.id, p.text) for p in source.prompts()] == [("1", 'a;b\nc "d"'), ("2", long)]


def test_parquet_keeps_meta_that_json_can_hold(tmp_path: Path) -> None:
    day = datetime.date(2024, 5, 1)
    (prompt,) = parquet(tmp_path, {"prompt": ["Q"], "day": [day], "tags": [["a", "b"]]}).prompts()
    assert prompt.meta == {"day": "2024-05-01", "tags": ["a", "b"]}


def test_every_source_gives_the_same_prompts(tmp_path: Path) -> None:
    rows = [("a", "One"), ("b", "Two")]
    from_jsonl = jsonl(tmp_path, "\n".join(json.dumps({"id": i, "prompt": p}) for i, p in rows))
    from_csv = csv(tmp_path, "id,prompt\n" + "".join(f"{i},{p}\n" for i, p in rows))
    from_parquet = parquet(tmp_path, {"id": ["a", "b"], "prompt": ["One", "Two"]})
    assert list(from_jsonl.prompts()) == list(from_csv.prompts()) == list(from_parquet.prompts())


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8), st.randoms())
def test_hashed_ids_are_unique_and_do_not_depend_on_the_place(
    texts: list[str], rng: random.Random
) -> None:
    def ids(order: Any) -> list[tuple[str, str]]:
        rows = [(f"row {i}", {"prompt": text, "extra": i}) for i, text in enumerate(order)]
        prompts = prompts_from_rows(rows, JsonlConfig(path="unused"), "it")
        return [(prompt.text, prompt.id) for prompt in prompts]

    before = ids(texts)
    assert len({own_id for _, own_id in before}) == len(texts)
    rng.shuffle(texts)
    assert set(ids(texts)) == set(before)


def test_hashed_ids_stay_between_versions(tmp_path: Path) -> None:
    prompts = jsonl(tmp_path, '{"prompt": "Hello"}\n{"prompt": "Hello"}').prompts()
    assert [prompt.id for prompt in prompts] == ["1d9f4feaa9db000b", "1d9f4feaa9db000b-2"]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "prompt file prompts.jsonl holds no prompts: it is empty. Add at least one row."),
        (
            "\n \n",
            {},
            "prompt file prompts.jsonl holds no prompts: it is empty. Add at least one row.",
        ),
        (
            '{"prompt": "a"}\n{"prompt": }',
            {},
            "prompts.jsonl:2: not valid JSON: Expecting value (column 12).",
        ),
        (
            '"a"',
            {},
            'prompts.jsonl:1: every line must be a JSON object, like {"prompt": "..."}.',
        ),
        (
            '{"question": "a", "kind": "b"}',
            {},
            "prompts.jsonl:1: there is no column 'prompt'. Present: 'question', 'kind'. Name the"
            " right one with prompt_column.",
        ),
        (
            "{}",
            {"messages_column": "turns"},
            "prompts.jsonl:1: there is no column 'turns'. Present: none. Name the right one with"
            " messages_column.",
        ),
        (
            '{"prompt": "a"}',
            {"id_column": "key"},
            "prompts.jsonl:1: there is no column 'key'. Present: 'prompt'. Name the right one with"
            " id_column.",
        ),
        (
            '{"prompt": "a"}\n\n{"prompt": " \\n"}',
            {},
            "prompts.jsonl:3: the prompt in column 'prompt' is empty. Fill in or remove it.",
        ),
        ('{"prompt": 5}', {}, "prompts.jsonl:1: the prompt in column 'prompt' must be a text."),
        (
            '{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}',
            {},
            "prompts.jsonl:2: id 'x' is there already, at prompts.jsonl:1. Ids must be unique:"
            " change one, or name another column with id_column.",
        ),
        (
            '{"prompt": "a", "id": null}',
            {},
            "prompts.jsonl:1: the id in column 'id' must be a text or a whole number.",
        ),
        (
            '{"m": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
            {"messages_column": "m"},
            "prompts.jsonl:1: the last turn of a prompt must be from the user, and here it is from"
            " the assistant. Remove the turns after the last user turn.",
        ),
        (
            '{"m": []}',
            {"messages_column": "m"},
            "prompts.jsonl:1: the conversation in column 'm' must be a list of at least one"
            ' {"role": ..., "content": ...}, or of texts, each a user turn.',
        ),
        (
            '{"m": "[1"}',
            {"messages_column": "m"},
            "prompts.jsonl:1: the conversation in column 'm' is not valid JSON: Expecting ','"
            " delimiter: line 1 column 3 (char 2).",
        ),
        (
            '{"m": [{"role": "human", "content": "a"}]}',
            {"messages_column": "m"},
            "prompts.jsonl:1: turn 1 must have a role (system, user, assistant) and a text as"
            " content.",
        ),
    ],
)
def test_mistakes_in_jsonl(tmp_path: Path, text: str, settings: Any, message: str) -> None:
    assert failure(jsonl(tmp_path, text, **settings), tmp_path) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "prompt file prompts.csv holds no prompts: it is empty. Add at least one row."),
        (
            "prompt\n",
            "prompt file prompts.csv holds no prompts: it is empty. Add at least one row.",
        ),
        (
            "prompt,kind\nHello, you,x\n",
            "prompts.csv:2: 3 fields, but the header names 2. Put quotes around texts that hold the"
            " delimiter, or set delimiter.",
        ),
        (
            "prompt,kind\na,b\nc\n",
            "prompts.csv:3: 1 fields, but the header names 2. Put quotes around texts that hold the"
            " delimiter, or set delimiter.",
        ),
        ('prompt\n"a"b\n', "prompts.csv:2: not valid CSV: ',' expected after '\"'."),
    ],
)
def test_mistakes_in_csv(tmp_path: Path, text: str, message: str) -> None:
    assert failure(csv(tmp_path, text), tmp_path) == message


def test_all_rows_with_mistakes_are_counted_and_ten_named(tmp_path: Path) -> None:
    """In a CSV file a row of the wrong width is one; where quotes are wrong, nothing after is."""
    text = "prompt,kind\nHi,x\nno kind\n" + " ,x\n" * 10 + '"a"b,x\nnever,read,this\n'
    first, *rows = failure(csv(tmp_path, text), tmp_path).splitlines()
    assert first == "prompt file prompts.csv: 12 rows cannot be used:"
    assert len(rows) == 11
    assert rows[0].startswith("  prompts.csv:3: 1 fields, but the header names 2.")
    assert rows[1] == (
        "  prompts.csv:4: the prompt in column 'prompt' is empty. Fill in or remove it."
    )
    assert rows[-1] == "  and 2 more"


def test_parquet_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "prompts.parquet"
    file.write_bytes(b"not parquet")
    message = failure(ParquetSource(ParquetConfig(path=str(file))), tmp_path)
    assert message.startswith("prompt file prompts.parquet is not a readable Parquet file: ")


def test_mistakes_in_parquet_name_the_row(tmp_path: Path) -> None:
    assert failure(parquet(tmp_path, {"prompt": ["a", None]}), tmp_path) == (
        "prompts.parquet, row 2: the prompt in column 'prompt' must be a text."
    )


@pytest.mark.parametrize(
    ("source", "config"),
    [(JsonlSource, JsonlConfig), (CsvSource, CsvConfig), (ParquetSource, ParquetConfig)],
)
def test_files_that_cannot_be_read(tmp_path: Path, source: Any, config: Any) -> None:
    missing = source(config(path=str(tmp_path / "no.file")))
    assert failure(missing, tmp_path) == (
        "prompt file no.file does not exist. Paths in a recipe are relative to the recipe file:"
        " correct prompts.path."
    )
    with pytest.raises(SpaError, match="does not exist"):
        missing.fingerprint()
    folder = source(config(path=str(tmp_path / "folder")))
    (tmp_path / "folder").mkdir()
    assert failure(folder, tmp_path) == "prompt file folder is a folder. Name a file in it."


def test_other_failures_to_read_name_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    source = jsonl(tmp_path, '{"prompt": "a"}')
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert (
        failure(source, tmp_path) == "prompt file prompts.jsonl cannot be read: Permission denied."
    )


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes('{"prompt": "gr\u00fc\u00df"}'.encode("latin-1"))
    assert failure(JsonlSource(JsonlConfig(path=str(file))), tmp_path) == (
        "prompt file prompts.jsonl is not UTF-8 text (byte 14). Save it as UTF-8."
    )


def test_fingerprint_is_of_the_content_and_of_what_is_read_from_it(tmp_path: Path) -> None:
    line = '{"prompt": "a", "question": "b"}'
    found = jsonl(tmp_path, line).fingerprint()
    (tmp_path / "moved").mkdir()
    assert jsonl(tmp_path / "moved", line).fingerprint() == found
    assert jsonl(tmp_path, line + "\n").fingerprint() != found
    assert jsonl(tmp_path, line, prompt_column="question").fingerprint() != found
    assert (
        csv(tmp_path, "prompt\na", delimiter=";").fingerprint()
        != csv(tmp_path, "prompt\na").fingerprint()
    )


def test_the_path_is_left_out_of_keys_and_columns_are_one_or_the_other() -> None:
    for config in (JsonlConfig, CsvConfig, ParquetConfig):
        marks = [m for m in config.model_fields["path"].metadata if isinstance(m, NotInKey)]
        assert marks == [NotInKey("its content is fingerprinted")]
    with pytest.raises(ValidationError, match="set prompt_column or messages_column, not both"):
        JsonlConfig(path="p", prompt_column="a", messages_column="b")


def test_paths_follow_the_recipe(tmp_path: Path) -> None:
    config = JsonlConfig.model_validate({"path": "a.jsonl"}, context={"base": tmp_path})
    assert config.path == str(tmp_path / "a.jsonl")
    assert isinstance(JsonlSource(config), Source)


def test_half_of_a_character_in_a_conversation_of_a_csv_file_is_refused(tmp_path: Path) -> None:
    text = 'm\n"[{""role"": ""user"", ""content"": ""Hi \\ud83d""}]"\n'
    assert failure(csv(tmp_path, text, messages_column="m"), tmp_path) == (
        "prompts.csv:2: column 'm' holds U+D83D, which is half of a character (a surrogate without "
        "its partner). Write the whole character, or remove it."
    )


def test_numbers_that_json_has_not_are_read_all_the_same(tmp_path: Path) -> None:
    (prompt,) = jsonl(tmp_path, '{"prompt": "a", "n": [NaN, -0, 1e400]}').prompts()
    assert prompt.meta == {"n": ["nan", 0, "inf"]}


@pytest.mark.parametrize(
    ("row", "column", "half"),
    [
        (r'{"prompt": "Hi \ud83d"}', "prompt", "D83D"),
        (r'{"prompt": "Hi", "id": "\ude00"}', "id", "DE00"),
        (r'{"prompt": "Hi", "more": {"a": [1, "\ud800"]}}', "more", "D800"),
        (r'{"prompt": "Hi", "more": {"\udfff": 1}}', "more", "DFFF"),
    ],
)
def test_half_of_a_character_is_refused(tmp_path: Path, row: str, column: str, half: str) -> None:
    source = jsonl(tmp_path, f'{{"prompt": "Fine \\ud83d\\ude00", "id": "x"}}\n{row}\n')
    with pytest.raises(SpaError) as caught:
        source.prompts()
    assert str(caught.value) == (
        f"{tmp_path / 'prompts.jsonl'}:2: column {column!r} holds U+{half}, which is half of a "
        "character (a surrogate without its partner). Write the whole character, or remove it."
    )
