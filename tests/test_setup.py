"""Set-up: locks that hold every byte to a hash, a Makefile that does a thing once, and CI's entry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "conf").glob("requirements*.txt"))
MAKE = shutil.which("make")
BASH = shutil.which("bash")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = """#!/bin/sh
# Stands for python, pip and uv: writes down how it was called, and makes what set-up looks for.
echo "$(basename "$0") $*" >> calls
case "$*" in
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/pip ;;
  "-m pip"*) mkdir -p .venv/tools/bin && cp "$0" .venv/tools/bin/uv ;;
  "-m terradrift.spark.java") test -e java-is-there || { touch java-is-there; exit 2; } ;;
esac
"""
needs_make = pytest.mark.skipif(MAKE is None, reason="no make on this machine")


def pins(lock: Path) -> dict[str, str]:
    """Package -> the rest of its first line (version and environment marker)."""
    found = re.findall(r"^([\w.-]+)==(\S+(?: ; [^\\\n]+)?)", lock.read_text(), flags=re.MULTILINE)
    return {package.lower(): version.strip() for package, version in found}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_a_version_and_hashes(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(re.findall(r"^\S", text, flags=re.MULTILINE))
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_runtime_lock_is_a_part_of_the_development_lock() -> None:
    runtime, development = pins(ROOT / "conf/requirements.txt"), pins(ROOT / "conf/requirements-dev.txt")
    assert {package: version.split(" ; ")[0] for package, version in runtime.items()}.items() <= {
        package: version.split(" ; ")[0] for package, version in development.items()
    }.items()


def test_locks_hold_what_the_project_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert names(PROJECT["project"]["dependencies"]) <= pins(ROOT / "conf/requirements.txt").keys()
    assert names(extras["dev"]) <= pins(ROOT / "conf/requirements-dev.txt").keys()
    assert [f"{name}=={version}" for name, version in pins(ROOT / "conf/requirements-java.txt").items()] == extras["java"]
    bootstrap = pins(ROOT / "conf/requirements-bootstrap.txt")
    assert [f"hatchling=={bootstrap['hatchling']}"] == PROJECT["build-system"]["requires"]
    assert "uv" in bootstrap


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The Makefile and the locks, in a folder where `python` stands for every tool."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "conf").mkdir()
    for file in (*LOCKS, ROOT / "pyproject.toml"):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    tool = tmp_path / "python"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    return tmp_path


def make(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    assert MAKE is not None
    clean = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run([MAKE, *arguments], cwd=tree, env=clean | environment, capture_output=True, text=True, check=False)


def calls(tree: Path, target: str) -> list[str]:
    """What `make target` calls, shortest telling form."""
    log = tree / "calls"
    log.write_text("")
    ran = make(tree, target, f"PYTHON={tree / 'python'}")
    assert ran.returncode == 0, ran.stderr
    telling = {
        "-m venv": "venv",
        "-m pip": "tools",
        "--require-hashes conf/requirements.txt": "runtime",
        "--require-hashes conf/requirements-dev.txt": "development",
        "--editable": "package",
        "-r conf/requirements-java.txt": "java",
        "spark.session": "jars",
        "-m pytest": "pytest",
    }
    lines = log.read_text().splitlines()
    return [short for line in lines for part, short in telling.items() if part in line]


@needs_make
def test_set_up_does_each_thing_once_and_again_when_a_lock_changes(tree: Path) -> None:
    assert calls(tree, "setup") == ["venv", "tools", "runtime", "package", "java", "jars"]
    assert calls(tree, "setup") == []
    assert calls(tree, "test") == ["development", "package", "jars", "pytest"]
    assert calls(tree, "setup") == []  # the development packages do for both
    assert calls(tree, "test") == ["pytest"]
    later = (tree / ".venv/done/jars").stat().st_mtime + 10
    os.utime(tree / "conf/requirements.txt", (later, later))
    for stamp in ("packages", "package", "java", "jars"):  # a lock that is newer than all that was made from the old one
        assert (tree / ".venv/done" / stamp).stat().st_mtime < later
    assert calls(tree, "setup")[:2] == ["runtime", "package"]


@needs_make
def test_a_failed_step_is_done_again(tree: Path) -> None:
    broken = tree / "python"
    broken.write_text(TOOL.replace("esac", "  *spark.session) exit 2 ;;\nesac"))
    assert make(tree, "setup", f"PYTHON={broken}").returncode == 2
    (tree / ".venv/bin/python").write_text(TOOL)
    assert calls(tree, "setup") == ["jars"]


@needs_make
def test_no_python_is_one_line(tree: Path) -> None:
    ran = make(tree, "--silent", "setup", PATH=str(tree / "conf"))
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("make")]
    assert ran.returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith("Python: found none, expected 3.11 or 3.12")


@needs_make
def test_without_npm_all_else_is_set_up_and_the_next_make_tries_again(tree: Path) -> None:
    (tree / "viewer").mkdir()
    for name in ("build.mjs", "package-lock.json"):
        (tree / "viewer" / name).touch()
    tools = tree / "tools"
    tools.mkdir()
    for name, script in (("node", "exit 0"), ("npm", "exit 1")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    ran = make(tree, "--silent", "setup", f"PYTHON={tree / 'python'}", PATH=path)
    assert ran.returncode == 0
    assert "the viewer's page was not built (it needs npm and its registry)" in ran.stderr
    assert (tree / ".venv/done/kernels").exists()
    assert not (tree / ".venv/done/viewer").exists()
    (tools / "npm").write_text("#!/bin/sh\nmkdir -p node_modules\n")
    ran = make(tree, "--silent", "setup", f"PYTHON={tree / 'python'}", PATH=path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tree / ".venv/done/viewer").exists()


@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
@pytest.mark.parametrize(("failing", "expected"), [("none", ["lint", "test"]), ("lint", ["lint"]), ("test", ["lint", "test"])])
def test_ci_runs_lint_then_tests_and_fails_with_them(tmp_path: Path, failing: str, expected: list[str]) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    stand_in = tmp_path / "make"
    stand_in.write_text(f'#!/bin/sh\necho "$1"\ntest "$1" != {failing}\n')
    stand_in.chmod(0o755)
    shutil.copy(stand_in, tmp_path / "chromium")  # nothing to install
    assert BASH is not None
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        [BASH, str(tmp_path / ".ci/run")], env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ran.stdout.split() == expected
    assert (ran.returncode == 0) == (failing == "none")


def test_the_lock_of_the_page_names_no_host_and_holds_every_byte_to_a_hash() -> None:
    lock = json.loads((ROOT / "viewer/package-lock.json").read_text())
    asked = json.loads((ROOT / "viewer/package.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 20
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert entry["integrity"].startswith("sha512-"), name
        hosts = re.findall(r"://[^/\"]+", json.dumps({key: value for key, value in entry.items() if key != "funding"}))
        assert hosts == [], name
    for name, version in {**asked["dependencies"], **asked["devDependencies"]}.items():
        assert packages[f"node_modules/{name}"]["version"] == version
