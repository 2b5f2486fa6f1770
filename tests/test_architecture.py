"""The shape of the code: which module may import which, how long things are, and what no file may hold."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "udfs"
MODULES = sorted((SOURCE / "terradrift").rglob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
KERNELS = [path for path in MODULES if "kernels" in path.parts]
PARALLEL = {"pyspark", "py4j", "sedona"}
NOT_PURE = {"datetime", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "time", "urllib"}
LONGER = re.compile(r"^Longer than 300 lines because \w", re.MULTILINE)
# Written in two halves, so that this file may be searched as well.
REGISTRY = re.compile(
    r"https?://\S+/" + r"simple\b|--index" + r"-url|pythonhosted" + r"\.org|registry\.npmjs" + r"\.org|repo1\.maven" + r"\.org"
)
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|work)" + r"/")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package(path: Path) -> str:
    """Dotted name of a module under udfs/: terradrift.kernels.gram; a package has the name of its folder."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, in functions too: `from a.b import c` gives a.b and a.b.c."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: line {node.lineno} is a relative import; write the whole name"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(path: Path) -> set[str]:
    return {dotted.partition(".")[0] for dotted in imports(path)}


def tracked_text() -> list[tuple[str, str]]:
    """(name, text) of every text file that git tracks or would track."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: no list of the repository's files")
    listed = subprocess.run([git, "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / entry for entry in listed.stdout.decode().split("\0") if entry]
    contents = [(path, path.read_bytes()) for path in files if path.is_file()]
    return [(name(path), data.decode(errors="replace")) for path, data in contents if b"\0" not in data]


@pytest.mark.parametrize("path", KERNELS, ids=name)
def test_kernels_are_arrays_in_arrays_out(path: Path) -> None:
    # llvmlite: what numba itself writes its code with
    allowed = {"numpy", "numba", "llvmlite", "scipy", "terradrift"} | (set(sys.stdlib_module_names) - NOT_PURE)
    assert roots(path) <= allowed
    ours = {dotted for dotted in imports(path) if dotted.startswith("terradrift.")}
    assert all(dotted.startswith(("terradrift.errors", "terradrift.kernels")) for dotted in ours), ours


@pytest.mark.parametrize("path", MODULES + JOBS, ids=name)
def test_only_the_spark_room_knows_spark(path: Path) -> None:
    in_the_room = SOURCE / "terradrift" / "spark" in path.parents
    if not in_the_room:
        assert not roots(path) & PARALLEL
    if not in_the_room and path not in JOBS and not package(path).startswith("terradrift.cli"):
        assert not any(dotted.startswith("terradrift.spark") for dotted in imports(path))


def test_errors_import_nothing_of_ours() -> None:
    assert "terradrift" not in roots(SOURCE / "terradrift" / "errors.py")


def test_importing_terradrift_loads_no_spark() -> None:
    code = (
        "import sys, terradrift; print(sorted({name.partition('.')[0] for name in sys.modules} & {'pyspark', 'py4j', 'sedona'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("path", JOBS, ids=name)
def test_a_job_is_a_paragraph(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("path", [path for path in MODULES if path.stat().st_size], ids=name)
def test_a_module_says_what_it_is_for_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no docstring"
    length = len(text.splitlines())
    assert length <= 300 or LONGER.search(docstring), (
        f"{length} lines; make it two, or say in the docstring, on a line of its own: Longer than 300 lines because …"
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_commands_and_jobs_print(path: Path) -> None:
    if package(path).startswith("terradrift.cli"):
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    prints = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    to_stdout = [node.lineno for node in prints if not any(keyword.arg == "file" for keyword in node.keywords)]
    assert not to_stdout, f"print on lines {to_stdout}"


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = [
        f"{file}:{number}: {line.strip()[:120]}"
        for file, text in tracked_text()
        for number, line in enumerate(text.splitlines(), 1)
        if REGISTRY.search(line) or MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)
