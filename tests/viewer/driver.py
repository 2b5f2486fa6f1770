"""The page in a real browser: opens it, waits for it, reads its picture, and remembers everything that went wrong."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Page, ViewportSize

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SMALL: ViewportSize = {"width": 900, "height": 640}
"""As little as shows the whole small run beside the panels: a picture drawn without a graphics card takes its time."""

PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 60_000
"""Milliseconds; a loaded machine draws slowly."""

ABSENT = re.compile(r" 40[34] ")
SHARD = re.compile(r"[.]zarr/\d+/\w+/c/[\d/]+$")

WATCH_POLICY = """
window.violations = []
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(event.violatedDirective + ' ' + event.blockedURI))
"""
READ_CANVAS = """() => {
  const map = window.terradrift.map
  return new Promise((resolve) => {
    map.once('render', () => {
      const canvas = map.getCanvas()
      const copy = document.createElement('canvas')
      copy.width = canvas.width
      copy.height = canvas.height
      const context = copy.getContext('2d', { willReadFrequently: true })
      context.drawImage(canvas, 0, 0)
      const { data } = context.getImageData(0, 0, copy.width, copy.height)
      let text = ''
      for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768))
      resolve({ width: copy.width, height: copy.height, data: btoa(text) })
    })
    map.triggerRepaint()
  })
}"""


@dataclass
class Viewer:
    """One open page."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def open(self, hash_: str = "") -> Viewer:
        """Go to the page and wait until all is drawn."""
        self.page.add_init_script(WATCH_POLICY)
        self.page.on("console", lambda m: self.problems.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on(
            "requestfailed", lambda r: self.problems.append(f"failed: {r.url} {r.failure}") if not _given_up(r) else None
        )
        self.page.on("response", lambda r: self.problems.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.goto(f"{self.url}{'#' + hash_ if hash_ else ''}")
        return self.wait()

    def go(self, hash_: str) -> Viewer:
        """Show another view of the same page, and wait."""
        moved = "(to) => new Promise((done) => { addEventListener('hashchange', done, {once: true}); location.hash = to })"
        if self.page.url.partition("#")[2] != hash_:
            self.evaluate(moved, hash_)
        return self.wait()

    def wait(self) -> Viewer:
        """Until nothing is read or drawn any more."""
        self.until("!!window.terradrift && window.terradrift.map.loaded() && !window.terradrift.isBusy()")
        return self

    def until(self, expression: str) -> None:
        """Until an expression is true. Not by wait_for_function: the page's policy forbids its eval."""
        for _ in range(PATIENCE // 50):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not true after {PATIENCE / 1000:.0f} s: {expression}; {self.problems[:4]}")

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """What a function of the page gives for JSON arguments."""
        return self.page.evaluate(f"({function})(...{json.dumps(arguments)})")

    def picture(self) -> np.ndarray:
        """What the map's canvas shows, (y, x, 4) uint8."""
        found = self.page.evaluate(READ_CANVAS)
        return np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(found["height"], found["width"], 4)

    def project(self, places: Any) -> np.ndarray:
        """Longitudes and latitudes (n, 2) as pixels (n, 2) of the canvas."""
        project = "(places) => places.map((at) => { const { x, y } = window.terradrift.map.project(at); return [x, y] })"
        return np.array(self.evaluate(project, np.asarray(places).tolist()))

    def assert_no_problem(self) -> None:
        """No error in the console, no failed request, nothing that the policy forbids."""
        assert self.problems == []
        assert self.page.evaluate("window.violations") == []

    def assert_nothing_but_absent_shards(self) -> None:
        """The same of a server that answers 404 or 403 for a shard without data, which browsers tell as an error."""
        absent = [problem for problem in self.problems if problem.startswith(("403: ", "404: ")) and SHARD.search(problem)]
        told = [
            problem
            for problem in self.problems
            if problem.startswith("console: Failed to load resource") and ABSENT.search(problem)
        ]
        assert len(told) <= len(absent)
        self.problems = [problem for problem in self.problems if problem not in absent and problem not in told]
        self.assert_no_problem()


def _given_up(request: Any) -> bool:
    """Whether the page itself gave a request up: another layer was asked for before it came."""
    return "ERR_ABORTED" in str(request.failure)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """An application on a port of this machine: its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(10)
