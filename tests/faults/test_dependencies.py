"""R16: what the project is made of: every byte locked by a hash, nothing below the version that mended a known hole, listed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "conf").glob("requirements*.txt"))
VIEWER_LOCK = ROOT / "viewer" / "package-lock.json"

FLOORS = {
    "pyarrow": ("14.0.1", "CVE-2023-47248: a Parquet file runs code"),
    "pyyaml": ("5.4", "CVE-2020-14343: a YAML file runs code"),
    "starlette": ("0.40.0", "CVE-2024-47874: a form fills the memory"),
    "h11": ("0.16.0", "CVE-2025-43859: a request hides in another"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials go to another host"),
    "urllib3": ("2.5.0", "CVE-2025-50181: redirects are followed although refused"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a template leaves its sandbox"),
    "werkzeug": ("3.0.6", "CVE-2024-49767: a form fills the memory"),
    "certifi": ("2024.7.4", "CVE-2024-39689: a root that nobody trusts any more"),
    "idna": ("3.7", "CVE-2024-3651: a name takes minutes"),
    "zipp": ("3.19.1", "CVE-2024-5569: an archive that never ends"),
    "pyspark": ("4.0.0", "CVE-2025-55039: encryption between nodes that can be altered"),
}
VIEWER_FLOORS = {"maplibre-gl": ("6.4.1", "CVE-2026-85061: an attribution that runs")}

pytestmark = pytest.mark.row("R16")


def pins(lock: Path) -> list[tuple[str, str]]:
    return re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", lock.read_text().lower(), flags=re.MULTILINE)


def order(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_nothing_is_below_its_floor(lock: Path) -> None:
    below = [
        f"{name} {version} < {FLOORS[name][0]} ({FLOORS[name][1]})"
        for name, version in pins(lock)
        if name in FLOORS and order(version) < order(FLOORS[name][0])
    ]
    assert not below


def test_the_floors_are_of_what_is_used() -> None:
    locked = {name for lock in LOCKS for name, _ in pins(lock)}
    assert not sorted(FLOORS.keys() - locked)


@pytest.mark.skipif(not VIEWER_LOCK.exists(), reason="no viewer here")
def test_the_viewer_is_not_below_its_floor() -> None:
    packages = json.loads(VIEWER_LOCK.read_text())["packages"]
    found = {path.rpartition("node_modules/")[2]: entry for path, entry in packages.items() if path}
    assert all("integrity" in entry for entry in found.values() if not entry.get("link"))
    for name, (floor, _) in VIEWER_FLOORS.items():
        assert order(found[name]["version"]) >= order(floor)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_locked_by_its_bytes(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert len(entries) == len(pins(lock))
    assert all("--hash=sha256:" in entry for entry in entries)


def test_what_is_installed_is_what_is_locked() -> None:
    """No line of the Makefile installs a package without its hash, but this one from its own tree."""
    recipe = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^.*pip (?:sync|install)\b.*$", recipe, flags=re.MULTILINE)
    assert all("--require-hashes" in line or "--editable ." in line for line in installs), installs


@pytest.mark.whole
@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_the_list_of_components_is_the_lock() -> None:
    ran = subprocess.run(["make", "sbom"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    listed = json.loads((ROOT / "dist" / "sbom.json").read_text())
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "terradrift")
    components = {(component["name"].lower(), component["version"]) for component in listed["components"]}
    assert components == set(pins(ROOT / "conf/requirements.txt"))
    hashes = [reference["hashes"] for component in listed["components"] for reference in component["externalReferences"]]
    assert all(hashes)
