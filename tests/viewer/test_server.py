"""The server: files of one run and of the page, whole or in part, to readers of this machine; nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from small_run import RUN_ID, SCORE_ID, copy_run, write_run
from starlette.testclient import TestClient

import servers
from terradrift.cli import main
from terradrift.errors import InputError, SetupError
from terradrift.serve import export_site, find_site
from terradrift.serve.app import viewer_app
from terradrift.store import open_store

TILES = f"/output/runs/{RUN_ID}/maps/changes.pmtiles"
CHUNK = f"/output/scores/{SCORE_ID}/scores.zarr/0/change_score/c/0/0"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for the built page."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "main.js").write_text("export {}")
    return folder


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with things in it that nobody may read."""
    out = copy_run(finished_run, tmp_path_factory.mktemp("served") / "out")
    outside = out.parent / "secret.txt"
    outside.write_text("secret")
    (out / "link.txt").symlink_to(outside)
    (out / "folder").symlink_to(out.parent)
    (out / "loop").symlink_to(out / "loop")
    (out / "inside.json").symlink_to(out / "latest.json")
    (out / ".hidden").write_text("secret")
    (out / "visible").symlink_to(out / ".hidden")
    (out / ".git").mkdir()
    (out / ".git" / "config").write_text("secret")
    os.mkfifo(out / "pipe")
    return out


@pytest.fixture(scope="module")
def bucket(finished_run: Path) -> Iterator[str]:
    """The same run on S3: its URL."""
    with servers.moto() as url, pytest.MonkeyPatch.context() as environment:
        servers.sign_in(environment, url)
        open_store.cache_clear()
        servers.upload(url, finished_run.parent, "runs")
        yield f"s3://runs/{finished_run.name}"
    open_store.cache_clear()


@pytest.fixture(scope="module", params=["folder", "s3"])
def client(request: pytest.FixtureRequest, run: Path, page: Path) -> TestClient:
    out = run if request.param == "folder" else request.getfixturevalue("bucket")
    return TestClient(viewer_app(find_site(out, page=page)), base_url="http://127.0.0.1:8000")


def test_the_page_its_settings_and_the_run_are_there(client: TestClient) -> None:
    assert "<title>page" in client.get("/").text
    assert client.get("/index.html").text == client.get("/").text
    assert client.get("/viewer.json").json() == {"output": "output/", "mosaic": None, "variable": None, "background": None}
    assert client.get("/output/latest.json").json()["run_id"] == RUN_ID


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/main.js", "text/javascript; charset=utf-8"),
        ("/viewer.json", "application/json"),
        ("/output/latest.json", "application/json"),
        (TILES, "application/vnd.pmtiles"),
        (CHUNK, "application/octet-stream"),
        (f"/output/runs/{RUN_ID}/maps/zones.geojson", "application/geo+json"),
    ],
)
def test_types(client: TestClient, path: str, expected: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-6", slice(0, 7), "bytes 0-6/{n}"),
        ("bytes=100-", slice(100, None), "bytes 100-{last}/{n}"),
        ("bytes=-20", slice(-20, None), "bytes {tail}-{last}/{n}"),
        ("bytes=5-99999999", slice(5, None), "bytes 5-{last}/{n}"),
    ],
)
def test_ranges(client: TestClient, run: Path, asked: str, part: slice, told: str) -> None:
    whole = (run / TILES.removeprefix("/output/")).read_bytes()
    answer = client.get(TILES, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == whole[part]
    assert answer.headers["content-range"] == told.format(n=len(whole), last=len(whole) - 1, tail=len(whole) - 20)
    head = client.head(TILES, headers={"Range": asked})
    assert (head.status_code, head.content, head.headers["content-length"]) == (206, b"", str(len(whole[part])))


def test_a_range_beyond_the_end_is_refused(client: TestClient, run: Path) -> None:
    n = (run / TILES.removeprefix("/output/")).stat().st_size
    answer = client.get(TILES, headers={"Range": f"bytes={n}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{n}"


def test_validators(client: TestClient) -> None:
    first = client.get(TILES)
    tag = first.headers["etag"]
    again = client.get(TILES, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(TILES, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(TILES, headers={"Range": "bytes=0-3", "If-Range": tag}).status_code == 206
    assert client.get(TILES, headers={"Range": "bytes=0-3", "If-Range": '"other"'}).status_code == 200
    assert first.headers["cache-control"] == "no-cache"


def test_head_is_get_without_its_body(client: TestClient) -> None:
    for path in ("/", TILES, CHUNK, "/viewer.json"):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    for path in ("/", "/viewer.json", "/output/latest.json"):
        assert client.request(method, path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        CHUNK.removesuffix("/0/0") + "/2/3",
        "/output",
        "/output/",
        "/output/runs/",
        f"/output/runs/{RUN_ID}",
        "/output/nothing.json",
        "/output/../secret.txt",
        "/output/..%2fsecret.txt",
        "/output/%2e%2e/secret.txt",
        "/output/%2e%2e%2fsecret.txt",
        "/output/runs/..%2f..%2f..%2fsecret.txt",
        "/output/..%5csecret.txt",
        "/output//etc/passwd",
        "/output/%2fetc%2fpasswd",
        "/output/%00",
        "/output/latest.json%00.png",
        "/output/latest.json/",
        "/output/" + "a" * 5000,
        "/output/link.txt",
        "/output/folder/secret.txt",
        "/output/loop",
        "/output/pipe",
        "/output/.hidden",
        "/output/visible",
        "/output/.git/config",
        "/output/runs/../.hidden",
        "/mosaic/zarr.json",
        "/../secret.txt",
        "/..%2f..%2fsecret.txt",
        "/.npmrc",
        "//etc/passwd",
    ],
)
def test_what_is_not_to_be_read_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_who_prefers_it_hears_of_what_is_absent_without_an_error(client: TestClient) -> None:
    asked = {"Prefer": "absent=204"}
    for path in (CHUNK.removesuffix("/0/0") + "/2/3", "/output/", "/output/link.txt", "/output/.hidden", "/output/%00"):
        answer = client.get(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["preference-applied"] == "absent=204"
    assert client.get(CHUNK, headers=asked).status_code == 200
    assert client.post(CHUNK, headers=asked).status_code == 405


def test_a_link_within_the_folder_is_followed(run: Path, page: Path) -> None:
    client = TestClient(viewer_app(find_site(run, page=page)), base_url="http://127.0.0.1:8000")
    assert client.get("/output/inside.json").json()["run_id"] == RUN_ID


def test_the_policy_lets_no_inline_script_run(client: TestClient) -> None:
    policy = dict(part.split(" ", 1) for part in client.get("/").headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].split() == ["'self'", "'wasm-unsafe-eval'"]
    assert policy["style-src"] == policy["worker-src"] == "'self'"
    assert policy["connect-src"].split() == ["'self'", "data:"]
    assert policy["base-uri"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000"])
def test_another_name_of_this_machine_gets_nothing(client: TestClient, host: str) -> None:
    assert client.get("/output/latest.json", headers={"Host": host}).status_code == 400


def test_no_other_origin_may_read_unless_it_is_named(run: Path, page: Path, client: TestClient) -> None:
    named, other = {"Origin": "https://maps.example.org"}, {"Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in client.get(TILES, headers=named).headers
    assert client.get(TILES).headers["cross-origin-resource-policy"] == "same-origin"
    shared = TestClient(viewer_app(find_site(run, page=page), cors="https://maps.example.org"), base_url="http://localhost:8000")
    answer = shared.get(TILES, headers={**named, "Range": "bytes=0-6"})
    assert answer.headers["access-control-allow-origin"] == "https://maps.example.org"
    assert {"etag", "content-range"} <= {
        name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")
    }
    assert "access-control-allow-origin" not in shared.get(TILES, headers=other).headers
    asked = {**named, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range, if-match"}
    assert shared.options(TILES, headers=asked).status_code == 200
    assert shared.options(TILES, headers={**asked, "Access-Control-Request-Method": "PUT"}).status_code == 400


def test_a_local_mosaic_is_served_and_nothing_beside_it(page: Path, tmp_path: Path, finished_run: Path) -> None:
    mosaic = tmp_path / "mosaic.zarr"
    for name, node in (("", {"node_type": "group"}), ("embeddings", {"node_type": "array", "shape": [9, 64, 8, 8]})):
        (mosaic / name).mkdir(exist_ok=True)
        (mosaic / name / "zarr.json").write_text(json.dumps({"zarr_format": 3, **node}))
    (mosaic / "private").mkdir()
    (mosaic / "private" / "notes.txt").write_text("secret")
    out = write_run(tmp_path / "out", input={"crs": "EPSG:4326", "mosaic": str(mosaic)})
    served = TestClient(viewer_app(find_site(out, page=page)), base_url="http://127.0.0.1")
    assert served.get("/viewer.json").json() | {"background": 0} == {
        "output": "output/", "mosaic": "mosaic/", "variable": "embeddings", "background": 0,
    }  # fmt: skip
    assert served.get("/mosaic/embeddings/zarr.json").json()["node_type"] == "array"
    assert served.get("/mosaic/private/notes.txt").status_code == 404


@pytest.mark.parametrize("named", ["home", "missing", ""])
def test_a_folder_that_is_no_mosaic_is_not_served(page: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "zarr.json").write_text('{"node_type": "group"}')
    out = write_run(tmp_path / "out", input={"crs": "EPSG:4326", "mosaic": str(tmp_path / named) if named else ""})
    assert find_site(out, page=page).mosaic is None


def test_a_background_is_named_in_the_policy(run: Path, page: Path) -> None:
    template = "https://tiles.example.org/{z}/{x}/{y}.png"
    client = TestClient(viewer_app(find_site(run, page=page, background=template)), base_url="http://127.0.0.1")
    policy = client.get("/").headers["content-security-policy"]
    assert "img-src 'self' data: blob: https://tiles.example.org;" in policy
    assert client.get("/viewer.json").json()["background"] == template


@pytest.mark.parametrize(
    "template",
    [
        "tiles/{z}/{x}/{y}.png",
        "https://tiles.example.org/tile.png",
        "file:///etc/{z}{x}{y}",
        "javascript:alert({z}{x}{y})",
        "https://a; script-src *//{z}/{x}/{y}",
        "https://[::1/{z}/{x}/{y}",
    ],
)
def test_a_background_that_is_none_is_refused(run: Path, page: Path, template: str) -> None:
    with pytest.raises(InputError, match="--background: found"):
        find_site(run, page=page, background=template)


def test_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_where_the_page_was_not_built_it_is_said_how_to_get_it(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = find_site(run, page=tmp_path)
    served = TestClient(viewer_app(site), base_url="http://127.0.0.1:8000")
    answer = served.get("/")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "make viewer" in answer.text
    assert "terradrift report" in answer.text
    assert served.get("/output/latest.json").json()["run_id"] == RUN_ID  # everything else is there
    with pytest.raises(SetupError, match="make viewer"):
        export_site(site, tmp_path / "copy")
    monkeypatch.setattr("terradrift.serve.find_site", lambda out, background: site)
    monkeypatch.setattr("terradrift.serve.server.uvicorn.Server.run", lambda *_, **__: None)
    assert main(["serve", str(run), "--port", "0"]) == 0
    url, told = capsys.readouterr().out.splitlines()
    assert url.startswith("http://127.0.0.1:")
    assert "run `make viewer`" in told
    (tmp_path / "index.html").write_text("<title>page")
    assert served.get("/").status_code == 200  # without another start


def test_a_taken_port_is_one_line(
    run: Path, page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terradrift.serve.site.PAGE", page)
    monkeypatch.setattr("terradrift.serve.find_site", lambda out, background: find_site(out, page=page))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(run), "--port", str(port)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"--port: {port} is in use; expected a free port")
    assert told.err.count("\n") == 1
    assert main(["serve", str(run), "--port", "70000"]) == 2
    assert main(["serve", str(run), "--cors", "*"]) == 2


@pytest.fixture
def command(finished_run: Path, built_page: Path) -> Iterator[subprocess.Popen[str]]:
    """`terradrift serve` as a process of its own."""
    code = "import sys; from terradrift.cli import main; sys.exit(main(sys.argv[1:]))"
    served = subprocess.Popen(
        [sys.executable, "-c", code, "serve", str(finished_run), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    yield served
    served.kill()
    served.wait()


def test_it_says_its_address_listens_on_loopback_alone_and_ends_quietly(command: subprocess.Popen[str]) -> None:
    assert command.stdout is not None
    url = command.stdout.readline().split()[0]
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    assert host == "127.0.0.1"
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(
            f"GET {TILES} HTTP/1.1\r\nHost: {host}:{port}\r\nRange: bytes=0-6\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 206")
    assert answer.endswith(b"PMTiles")
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{int(port):04X} " in line]
    assert {address.split(":")[0] for address in listening if address.endswith(f"{int(port):04X}")} <= {"0100007F"}
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, "", "")


def test_what_s3_does_not_give_is_told(page: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = find_site(bucket, page=page)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("terradrift.store.remote.RETRY", {"max_retries": 0})
    open_store.cache_clear()
    served = TestClient(viewer_app(site), base_url="http://127.0.0.1:8000")
    answer = served.get("/output/latest.json")
    open_store.cache_clear()
    assert answer.status_code == 502
    assert answer.text.startswith(f"cannot look up {bucket}/latest.json")


def test_a_copy_of_what_lies_on_s3_is_that_of_the_folder(finished_run: Path, page: Path, bucket: str, tmp_path: Path) -> None:
    for name, out in (("folder", finished_run), ("s3", bucket)):
        export_site(find_site(out, page=page), tmp_path / name)
    copies = [{path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
              for name in ("folder", "s3")]  # fmt: skip
    assert copies[0] == copies[1]
    for store in (f"scores/{SCORE_ID}/scores.zarr", f"runs/{RUN_ID}/change.zarr"):  # with every shard, those without data too
        group, copy = (zarr.open_group(root / store, mode="r") for root in (finished_run, tmp_path / "s3/output"))
        for name, array in copy["0"].arrays():
            assert np.array_equal(array[...], group[f"0/{name}"][...], equal_nan=array.dtype.kind == "f")
            if array.ndim >= 2:
                shards = np.prod([-(-n // side) for n, side in zip(array.shape, array.shards, strict=True)])
                assert len([path for path in copies[0] if f"{store}/0/{name}/c/" in str(path)]) == shards
    assert any("change.zarr" in path.parts for path in copies[0])


def test_a_copy_for_a_web_server(run: Path, page: Path, tmp_path: Path) -> None:
    site = find_site(run, page=page)
    files, size = export_site(site, tmp_path / "copy")
    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert files == len(copied)
    assert size <= sum(path.stat().st_size for path in copied)
    assert (tmp_path / "copy" / TILES[1:]).read_bytes() == (run / TILES.removeprefix("/output/")).read_bytes()
    assert json.loads((tmp_path / "copy/viewer.json").read_text())["output"] == "output/"
    assert not any("secret" in path.read_text(errors="replace") for path in copied)
    assert export_site(site, tmp_path / "copy") == (files, size)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    for wrong in (tmp_path / "other", run / "site"):
        with pytest.raises(InputError, match="--export: found"):
            export_site(site, wrong)
    assert (tmp_path / "other" / "thesis.txt").exists()
