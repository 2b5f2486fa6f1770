"""The page away from its server, and among people who mean harm: static hosting, another origin, hostile words, broken stores."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from driver import SMALL, Viewer, serving
from small_run import GRID, ORIGIN, RUN_ID, SCORE_ID, SHAPE, copy_run, pixel_centre, write_run

import servers
from terradrift.grid import Window
from terradrift.serve import export_site, find_site
from terradrift.serve.app import viewer_app
from terradrift.store import open_store

MIDDLE = pixel_centre(SHAPE[0] // 2, SHAPE[1] // 2)
HOME = f"map=14/{MIDDLE[1]}/{MIDDLE[0]}"

HOSTILE = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    '"><script>window.pwned=1</script>',
    "'><img src=x onerror=window.pwned=1>",
    "</p><script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "<a href=javascript:window.pwned=1>click</a>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<details open ontoggle=window.pwned=1>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/>",
    "<form action=https://evil.example/><input autofocus onfocus=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "__proto__",
    "\u202e<b onmouseover=window.pwned=1>\u0000%3Cscript%3Ewindow.pwned=1%3C/script%3E",
)


class RangeHandler(SimpleHTTPRequestHandler):
    """Files with single ranges, as any web server has them."""

    headers_too: dict[str, str] = {}
    missing = 404

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        if not path.is_file():
            self.send_error(self.missing)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        first, last = 0, len(data) - 1
        if asked:
            first, last = (
                (int(asked[1]), min(int(asked[2] or last), last)) if asked[1] else (max(len(data) - int(asked[2]), 0), last)
            )
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(last - first + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def end_headers(self) -> None:
        for name, value in self.headers_too.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def static_server(folder: Path, missing: int = 404, **headers: str) -> Iterator[str]:
    """A plain web server of a folder: its address."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    handler = type("Handler", (RangeHandler,), {"headers_too": more, "missing": missing})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module")
def site(finished_run: Path, built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for web servers, below a folder."""
    folder = tmp_path_factory.mktemp("www")
    export_site(find_site(finished_run), folder / "maps" / "north")
    return folder


def test_the_copy_works_below_any_folder_of_a_plain_web_server(open_page: Any, site: Path, address: str) -> None:
    with static_server(site) as url:
        copy = open_page(HOME, SMALL, f"{url}maps/north/")
        assert np.array_equal(copy.picture(), open_page(HOME, SMALL, address).picture())
        assert len(np.unique(copy.picture().reshape(-1, 4), axis=0)) > 50
        copy.go(f"{HOME}&at={MIDDLE[0]}~{MIDDLE[1]}")
        copy.until("document.querySelector('.details table') !== null")
        copy.assert_no_problem()


def test_the_output_may_lie_on_another_origin_that_allows_it(
    open_page: Any, finished_run: Path, site: Path, address: str, tmp_path: Path
) -> None:
    """A bucket: another host, 403 for what is not there."""
    page = shutil.copytree(site / "maps" / "north", tmp_path / "page", ignore=shutil.ignore_patterns("output"))
    shown = {"Access_Control_Allow_Origin": "*", "Access_Control_Expose_Headers": "Content-Range, Content-Length, ETag"}
    with static_server(finished_run, missing=403, **shown) as bucket, static_server(page) as url:
        (page / "viewer.json").write_text(json.dumps({"output": bucket}))
        copy = open_page(HOME, SMALL, url)
        assert (copy.picture() == open_page(HOME, SMALL, address).picture()).all(), copy.problems[:4]
        copy.assert_nothing_but_absent_shards()


def test_an_output_on_s3_is_shown_as_one_in_a_folder(
    open_page: Any, built_page: Path, finished_run: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.moto() as url:
        servers.sign_in(monkeypatch, url)
        open_store.cache_clear()
        servers.upload(url, finished_run, "results")
        with serving(viewer_app(find_site("s3://results"))) as shown:
            viewer = open_page(HOME, SMALL, shown)
            assert np.array_equal(viewer.picture(), open_page(HOME, SMALL, address).picture())
            viewer.assert_no_problem()
    open_store.cache_clear()


def test_hostile_words_are_shown_and_never_run(
    open_page: Any, built_page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = " | ".join(HOSTILE).replace("\u0000", "")
    window = Window(*ORIGIN, *SHAPE)
    area = gpd.GeoDataFrame({"name": [words]}, geometry=[shapely.box(*GRID.window_bounds(window))], crs=GRID.crs)
    area.to_file(tmp_path / "area.gpkg")
    out = write_run(
        tmp_path / "out",
        zones=str(tmp_path / "area.gpkg"),
        attribution=words,
        bands=[HOSTILE[1], HOSTILE[3]],
        parameters={"change": {"detector": HOSTILE[0]}},
        counts={},
    )
    listed = out / "runs" / RUN_ID / "maps" / "largest.json"
    changes = json.loads(listed.read_text())["changes"]
    rows = [{**changes[k % len(changes)], "kind": text, "zone": text} for k, text in enumerate(HOSTILE)]
    listed.write_text(json.dumps({"changes": rows}))
    with serving(viewer_app(find_site(out))) as url:
        viewer = open_page(f"{HOME}&at={MIDDLE[0]}~{MIDDLE[1]}", SMALL, url)
        asked, dialogs = [], []
        viewer.page.on("request", lambda request: asked.append(request.url))
        viewer.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        viewer.until("document.querySelector('.details').innerText.includes('Zone')")
        text = viewer.page.locator("body").inner_text()
        for word in HOSTILE[:18]:
            assert word in text, word
        viewer.page.locator(".changes button").nth(1).click()
        viewer.until("!window.terradrift.map.isMoving()")
        for word in HOSTILE:
            said = urllib.parse.quote(word, safe="")
            names = ("layer", "map", "year", "kinds", "at", "change", "limits", "zone", "compare", said)
            viewer.go("&".join(f"{name}={said}" for name in names) + f"&raw={word.replace('#', '')}")
        assert viewer.page.evaluate("window.pwned") is None
        assert viewer.page.evaluate("Object.prototype.pwned") is None
        assert viewer.page.evaluate("document.querySelectorAll('script').length") == 1
        assert viewer.page.evaluate("document.querySelectorAll('iframe, base, form, style').length") == 0
        assert dialogs == []
        assert {urllib.parse.urlsplit(address).netloc for address in asked} <= {urllib.parse.urlsplit(url).netloc, ""}
        viewer.assert_no_problem()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("latest.json", "not json", "latest.json: it is not a JSON object"),
        ("latest.json", '{"run_id": "../../etc"}', "found no run"),
        (f"runs/{RUN_ID}/run.json", None, "run.json: the server answered 404"),
        (f"scores/{SCORE_ID}/scores.zarr/zarr.json", None, "scores.zarr: found no Zarr group"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(
    browser: Any, finished_run: Path, built_page: Path, tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    out = copy_run(finished_run, tmp_path / "out")
    site = find_site(out)
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_text(content)
    with serving(viewer_app(site)) as url:
        context = browser.new_context(viewport=SMALL)
        viewer = Viewer(context.new_page(), url)
        viewer.page.goto(url)
        viewer.until("document.querySelector('[role=alert]') !== null && document.querySelector('.fatal') !== null")
        assert told in viewer.page.locator(".fatal").inner_text()
        context.close()


def test_a_damaged_chunk_is_told(open_page: Any, finished_run: Path, tmp_path: Path) -> None:
    out = copy_run(finished_run, tmp_path / "out")
    shard = out / f"scores/{SCORE_ID}/scores.zarr/0/change_score/c/0/0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 0x40
    shard.write_bytes(data)
    with serving(viewer_app(find_site(out))) as url:
        viewer = open_page(HOME, SMALL, url)
        viewer.until("document.querySelector('.errors').innerText.includes('damaged')")
        assert len(np.unique(viewer.picture().reshape(-1, 4), axis=0)) > 50
