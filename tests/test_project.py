"""The repository as a whole: versions agree, modules are small, heavy imports are late."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

import spa

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "spa"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = {"accelerate", "datasets", "peft", "torch", "transformers"}
MAY_BE_HEAVY = ("components/backends", "components/losses", "models", "training")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["project"]
    return found


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonical(r.name): str(r.specifier).removeprefix("==") for r in requirements}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def top_level_imports(tree: ast.Module) -> Iterator[str]:
    """Packages imported when the module is, those under ``if TYPE_CHECKING`` left out."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_version_is_the_same_everywhere(project: dict[str, Any]) -> None:
    assert project["version"] == spa.__version__


def test_every_dependency_is_pinned_within_its_range(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    # datasets is for online use only, and heavy: nothing here installs it.
    listed = [r for extra, several in extras.items() if extra != "datasets" for r in several]
    pinned = pins()
    for requirement in map(Requirement, [*project["dependencies"], *listed]):
        if requirement.name != "spa-align":
            assert requirement.specifier.contains(pinned[canonical(requirement.name)]), requirement


def test_pins_name_no_build_and_no_place() -> None:
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins().values())


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-1]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert command in [line.strip().removeprefix("$ ") for line in readme]


def test_no_module_is_long() -> None:
    lengths = {relative(p): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}
    assert median(lengths.values()) < 100


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module docstring says the one idea of the module"
    assert (
        "from __future__ import annotations" in path.read_text(encoding="utf-8")
        or not tree.body[1:]
    )


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_for_others_are_sorted(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert names == sorted(names, key=_rank)


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name."""
    return (0 if name.isupper() else 1 if name.lstrip("_")[:1].isupper() else 2, name)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_heavy_packages_are_imported_late(path: Path) -> None:
    name = relative(path)
    if name.startswith(MAY_BE_HEAVY):
        return
    assert HEAVY.isdisjoint(top_level_imports(ast.parse(path.read_text(encoding="utf-8"))))


def test_plugin_interface_imports_nothing_heavy() -> None:
    code = (
        "import json, sys, spa.api\n"
        f"print(json.dumps(sorted(set(sys.modules) & {HEAVY | {'pyarrow'}!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_shipped_texts_are_in_the_installed_package() -> None:
    folder = Path(spa.__file__).parent / "data"
    kinds = ("constitutions/*.md", "system_prompts/*.md", "prompts/*.jsonl")
    assert all(list(folder.glob(kind)) for kind in kinds)


def test_session_files_are_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The noxfile, with a nox that decorates nothing, so that nox need not be installed."""

    def session(function: Any = None, **_: Any) -> Any:
        return function or (lambda decorated: decorated)

    fake = ModuleType("nox")
    vars(fake).update(options=SimpleNamespace(), session=session, Session=object)
    monkeypatch.setitem(sys.modules, "nox", fake)
    place = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_learning_check_takes_nothing_from_an_earlier_run(
    sessions: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "store").mkdir(parents=True)
    there: list[tuple[str, bool]] = []
    session = SimpleNamespace(
        create_tmp=lambda: str(tmp_path),
        install=lambda *_: None,
        run=lambda *words, **_: there.append((words[0], (tmp_path / "runs").exists())),
        posargs=[],
    )
    sessions.learning_check(session)
    assert there == [("spa", False), ("pytest", False)]


def test_reproducing_runs_every_recipe_and_then_writes_the_page(sessions: ModuleType) -> None:
    called: list[tuple[str, ...]] = []
    session = SimpleNamespace(
        install=lambda *_, **__: None, run=lambda *words, **_: called.append(words), posargs=[]
    )
    sessions.reproduce_small(session)
    ablations, (page,) = called[:2], called[2:]
    recipes = {word for words in ablations for word in words if word.endswith(".yaml")}
    folder = ROOT / "recipes" / "reproduce-small"
    expected = {str(file.relative_to(ROOT)) for file in folder.glob("*/*.yaml")}
    assert recipes == expected - {"recipes/reproduce-small/conflict/objectives.yaml"}
    assert [words[-6:] for words in ablations] == [
        ("--seeds", "3", "--name", name, "--runs-dir", "runs/reproduce-small")
        for name in ("agree", "conflict")
    ]
    assert page == ("python", "docs/tools/results.py", "runs/reproduce-small", "docs/results.md")


def test_bench_runs_every_script(
    sessions: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench").mkdir()
    scripts = [tmp_path / "bench" / name for name in ("b.py", "speed.py")]
    for script in scripts:
        script.touch()
    monkeypatch.setattr(sessions, "ROOT", tmp_path)
    called: list[str] = []
    session = SimpleNamespace(
        install=lambda *_: None, run=lambda *words, **_: called.append(words[1]), posargs=[]
    )
    sessions.bench(session)
    assert called == [str(script) for script in scripts]


def test_every_known_trap_of_preference_training_has_a_test() -> None:
    """Mistakes that other implementations made, numbered in the order in which we list them."""
    found = {
        match[1]
        for file in (ROOT / "tests").rglob("test_*.py")
        for match in re.finditer(r"^def test_trap_(\d\d)_", file.read_text("utf-8"), re.MULTILINE)
    }
    assert sorted(found) == [f"{number:02d}" for number in range(1, 18)]


def test_files_that_are_tested_first_are_there() -> None:
    first = runpy.run_path(str(ROOT / "conftest.py"))["LONGEST"]
    assert [name for name in first if not (ROOT / name).is_file()] == []
