"""Every command of the README is run, on a smaller scene; its run file and its Python are tried."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

import terradrift as td
from terradrift.cli import main
from terradrift.params import params_from
from terradrift.serve.site import PAGE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
ENVIRONMENT = (
    os.environ | {"PYTHONUNBUFFERED": "1"} | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "COLUMNS": "100"}
)
IN_TESTS_OF_THEIR_OWN = ("git clone", "make ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Lines of the shell blocks but those that make set-up anew."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(IN_TESTS_OF_THEIR_OWN)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a small demo scene."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("conf", "jobs", "sql"):
        (folder / name).symlink_to(ROOT / name)
    td.write_scene(folder / "data/demo", size=256, seed=0)
    return folder


def run(folder: Path, command: str) -> tuple[int, str]:
    """Exit code and all that a command printed: ours in this process, on the tests' Spark; others as processes."""
    words = shlex.split(command)
    words = ["local[2,4]" if word.startswith("spark://") else "conf/demo.yaml" if word == "RUN.yaml" else word for word in words]
    if Path(words[0]).name == "terradrift":
        said = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            # the tests' Java was not started in this folder
            return main([str(folder / word) if word.startswith("results/") else word for word in words[1:]]), said.getvalue()
    words[0] = str(BIN / Path(words[0]).name)
    done = subprocess.run(words, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def check_server(folder: Path, command: str) -> None:
    """A server that shows the page until it is interrupted."""
    words = shlex.split(command)
    command_ = [str(BIN / Path(words[0]).name), *words[1:], "--port", "0"]
    if not (PAGE / "index.html").is_file():
        assert subprocess.run(command_, cwd=folder, capture_output=True, text=True, check=False).stderr.startswith("viewer page:")
        return
    with subprocess.Popen(command_, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert b"terradrift" in urllib.request.urlopen(url, timeout=30).read()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


def test_every_command_ends_well(spark: SparkSession, folder: Path) -> None:
    found = commands()
    assert sum("terradrift run" in command for command in found) == 1
    order = sorted(found, key=lambda command: "terradrift run" not in command)  # the others need its results
    for command in order:
        if " serve " in command:
            check_server(folder, command)
            continue
        code, said = run(folder, command)
        assert code == 0, f"{command}: {said[-2000:]}"
        assert "Traceback" not in said
    assert (folder / "results/demo/latest.json").is_file()


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["run"].polygons) > 0


def test_the_run_file_is_valid() -> None:
    (text,) = blocks("yaml")
    params = params_from(yaml.safe_load(text))
    assert params.years == (2017, 2024)


def test_pictures_and_files_named_are_there() -> None:
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README) + re.findall(r"`(conf/[\w./]+)`", README):
        assert (ROOT / name).is_file(), name
