"""Archives of runs from strangers: nothing of them leads out of the folder of runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept_run import ANSWERS, REFERENCE, TRAIN, make_kept_run, write_answers

from spa.cli import main
from spa.engine.lines import LineFile
from spa.errors import RunError
from spa.storage import unpacking
from spa.storage.unpacking import unpack_run

Files = dict[str, bytes]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An honest archive."""
    run = make_kept_run(tmp_path / "runs")
    file = tmp_path / "made.tar.gz"
    assert main(["store", "export", str(run), "--output", str(file)]) == 0
    return file


def contents(archive: Path) -> Files:
    with tarfile.open(archive) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def write(file: Path, files: Files, *, indexed: bool = True, **said: Any) -> Path:
    """An archive of these files, with an index that fits them unless told otherwise."""
    index = json.loads(files["archive.json"]) | said
    if indexed:
        index["files"] = {
            name: {"size": len(body), "checksum": f"sha256:{hashlib.sha256(body).hexdigest()}"}
            for name, body in files.items()
            if name != "archive.json"
        }
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in (files | {"archive.json": json.dumps(index).encode()}).items():
            add(tar, name, body)
    return file


def add(tar: tarfile.TarFile, name: str, body: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(archive: Path, tmp_path: Path, match: str) -> None:
    """It is refused with a message, and nothing has changed anywhere."""
    target = tmp_path / "target"
    before = everything(tmp_path)
    with pytest.raises(RunError, match=match):
        unpack_run(archive, target)
    assert everything(tmp_path) == before
    assert not target.exists() or not any(target.iterdir())


def test_an_honest_archive_comes_in_whole(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    taken = unpack_run(archive, target, "again")
    assert {TRAIN, ANSWERS, REFERENCE} <= set(taken.added)
    for folder in taken.added:
        source = tmp_path / "runs" / "store" / folder
        for file in (target / "store" / folder).rglob("*"):
            if file.is_file():
                assert (
                    file.read_bytes()
                    == (source / file.relative_to(target / "store" / folder)).read_bytes()
                )
    assert json.loads((target / "again" / "run.json").read_text())["name"] == "again"
    assert sorted(each.name for each in target.iterdir()) == ["again", "store"]
    assert main(["export", str(target / "again"), "-f", "parquet", "-o", str(tmp_path / "p")]) == 0
    assert main(["store", "verify", "--runs-dir", str(target)]) == 0
    # Once more: everything is there already and stays as it is.
    before = everything(target / "store")
    assert unpack_run(archive, target, "third").added == []
    assert everything(target / "store") == before
    with pytest.raises(RunError, match=r"exists\. Take the run in under another --name"):
        unpack_run(archive, target, "third")


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "/tmp/evil", "store/../../evil", f"store/{TRAIN}/../../../evil", "store/evil.py",
        f"store/{TRAIN}/adapter/../../x.json", f"store/{TRAIN}/adapter/adapter_model.bin",
        f"store/{TRAIN}/checkpoints/checkpoint-1/optimizer.pt",
        f"store/{TRAIN}/adapter/modeling.py",
        f"store/{TRAIN}/adapter/..json", "store//stage.json", "other/run.json", "run.json/x",
        f"store/{ANSWERS}/more.jsonl", f"STORE/{TRAIN}/stage.json", f"store/{TRAIN}/stage.json/",
        f"store/{TRAIN}\\..\\stage.json", "run.json\x00.py", "run.json\n",
    ],
)  # fmt: skip
def test_files_that_no_run_has_are_refused(archive: Path, tmp_path: Path, name: str) -> None:
    files = contents(archive)
    bad = write(tmp_path / "bad.tar", files | {name: b"x"})
    refused(bad, tmp_path, r"is no file of a run|is damaged|twice, or without|holds|lacks")
    unnamed = write(tmp_path / "unnamed.tar", files)
    with tarfile.open(tmp_path / "unnamed.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for each, body in files.items():
            add(tar, each, body)
        add(tar, name, b"x")
    refused(unnamed, tmp_path, r"without saying so in its index|holds")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.DIRTYPE, "a folder of its own"),
        (tarfile.XHDTYPE, "an entry of a kind that spa does not write"),
        (tarfile.GNUTYPE_LONGNAME, "an entry of a kind that spa does not write"),
        (tarfile.GNUTYPE_SPARSE, "an entry of a kind that spa does not write"),
    ],
)
def test_links_devices_and_strange_entries_are_refused(
    archive: Path, tmp_path: Path, kind: bytes, said: str
) -> None:
    files = contents(archive)
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in files.items():
            if name == "run.json":
                add(tar, name, kind=kind)
            else:
                add(tar, name, body)
    refused(bad, tmp_path, said)


def test_a_name_that_comes_twice_is_refused(archive: Path, tmp_path: Path) -> None:
    files = contents(archive)
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in files.items():
            add(tar, name, body)
        add(tar, "run.json", files["run.json"])
    refused(bad, tmp_path, "twice, or without saying so")


def test_changed_and_cut_contents_are_refused(archive: Path, tmp_path: Path) -> None:
    files = contents(archive)
    name = f"store/{TRAIN}/adapter/adapter_model.safetensors"
    changed = files | {name: files[name][:-1] + b"\x01"}
    refused(write(tmp_path / "a.tar", changed, indexed=False), tmp_path, "is damaged")
    # Even with an index that fits: the stage's own checksums tell.
    refused(write(tmp_path / "b.tar", changed), tmp_path, "its checksum differs")
    longer = files | {name: files[name] + b"\x01"}
    refused(write(tmp_path / "c.tar", longer, indexed=False), tmp_path, "not as long as the index")
    less = {each: body for each, body in files.items() if each != name}
    refused(write(tmp_path / "d.tar", less, indexed=False), tmp_path, "lacks")
    cut = tmp_path / "e.tar.gz"
    cut.write_bytes(archive.read_bytes()[:-200])
    refused(cut, tmp_path, r"cannot be read|ends too early")
    (tmp_path / "f.tar").write_bytes(b"no archive" * 100)
    refused(tmp_path / "f.tar", tmp_path, "is damaged, or no archive")


def test_more_than_the_disk_takes_is_refused_before_anything_is_unpacked(
    archive: Path, tmp_path: Path
) -> None:
    files = contents(archive)
    index = json.loads(files["archive.json"])
    index["files"]["run.json"]["size"] = 1 << 60
    files["archive.json"] = json.dumps(index).encode()
    bad = write(tmp_path / "bad.tar", files, indexed=False)
    refused(bad, tmp_path, r"are free in .*Free some space")


def test_what_is_longer_than_it_says_is_not_written(archive: Path, tmp_path: Path) -> None:
    files = contents(archive)
    bad = tmp_path / "bomb.tar.gz"
    with gzip.open(bad, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        add(tar, "archive.json", files["archive.json"])
        add(tar, "run.json", bytes(10_000_000))
    refused(bad, tmp_path, "not as long as the index says")


@pytest.mark.parametrize("name", ["../x", "store", "", ".", "a/b", "x\n", ".hidden", "Store"])
def test_the_runs_name_is_one_plain_folder(archive: Path, tmp_path: Path, name: str) -> None:
    refused(write(tmp_path / "bad.tar", contents(archive), run=name), tmp_path, "cannot name a run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["stages"][0].update(folder="../../etc"), "names a stage in '../../etc'"),
        (lambda m: m["stages"][0].update(folder=f"x-{1:016x}"), "lacks store/x-"),
        (lambda m: m["outputs"].update(path="../../../etc"), "names a model outside"),
        (lambda m: m["outputs"].update(path="/etc"), "names a model outside"),
        (
            lambda m: m["outputs"].update(rounds=[f"../store/{TRAIN}/../.."]),
            "names a model outside",
        ),
        (lambda m: m.pop("recipe"), "does not say its recipe"),
        (lambda m: m.update(stages=3), "cannot be read"),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused(
    archive: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    files = contents(archive)
    manifest = json.loads(files["run.json"])
    change(manifest)
    bad = write(tmp_path / "bad.tar", files | {"run.json": json.dumps(manifest).encode()})
    refused(bad, tmp_path, said)


def test_a_training_that_leads_elsewhere_is_refused(archive: Path, tmp_path: Path) -> None:
    result = json.dumps({"path": "../../..", "kind": "adapter"}).encode()
    files = contents(archive) | {f"store/{TRAIN}/result.json": result}
    refused(write(tmp_path / "bad.tar", files), tmp_path, "names the model '../../..'")


def test_what_differs_is_never_overwritten(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    unpack_run(archive, target, "one")
    adapter = target / "store" / TRAIN / "adapter" / "adapter_model.safetensors"
    adapter.write_bytes(b"mine")
    before = everything(target)
    with pytest.raises(RunError, match=rf"{TRAIN} holds another result of the same stage"):
        unpack_run(archive, target, "two")
    (target / "store" / TRAIN / "stage.json").rename(tmp_path / "marker")
    with pytest.raises(RunError, match="is a stage that is not finished here"):
        unpack_run(archive, target, "two")
    (tmp_path / "marker").rename(target / "store" / TRAIN / "stage.json")
    assert everything(target) == before


def test_a_link_in_the_store_is_not_followed(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "store").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (target / "store" / TRAIN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is in the way"):
        unpack_run(archive, target)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_answers_are_added_and_those_there_stay(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_answers(target / "store" / ANSWERS, {"r2": "ours", "r3": "three"})
    assert unpack_run(archive, target).answers == 1
    with LineFile(target / "store" / ANSWERS / "part-00000.jsonl") as file:
        lines = [json.loads(b"{" + body) for _, body in file.read()]
    assert {each["request"]: each["result"] for each in lines} == {
        "r1": "one",
        "r2": "ours",
        "r3": "three",
    }


def test_nothing_is_left_where_it_stops_half_way(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(unpacking, "check_content", stop)
    with pytest.raises(KeyboardInterrupt):
        unpack_run(archive, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_checkpoints_and_other_pickles_are_not_exported(tmp_path: Path) -> None:
    run = make_kept_run(tmp_path / "runs")
    train = tmp_path / "runs" / "store" / TRAIN
    (train / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    (train / "checkpoints" / "checkpoint-1" / "optimizer.pt").write_bytes(b"pickle")
    (train / "adapter" / "training_args.bin").write_bytes(b"pickle")
    (train / "adapter" / "link.json").symlink_to("/etc/passwd")
    file = tmp_path / "a.tar"
    assert main(["store", "export", str(run), "-o", str(file), "--no-answers"]) == 0
    assert not [
        name
        for name in contents(file)
        if not name.endswith((".json", ".jsonl", ".parquet", ".safetensors"))
    ]
    assert f"store/{TRAIN}/adapter/link.json" not in contents(file)
    assert not [name for name in contents(file) if ANSWERS in name]
    assert main(["store", "export", str(run), "-o", str(file)]) == 1
