"""One small run and one browser for all tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import DESKTOP, Viewer, serving
from playwright.sync_api import Browser, ViewportSize, sync_playwright
from small_run import write_run

from terradrift.serve.app import viewer_app
from terradrift.serve.site import PAGE, find_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a finished run; not to be changed."""
    return write_run(tmp_path_factory.mktemp("viewer") / "out")


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The built page."""
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built: `make viewer` (it needs npm and its registry)")
    return PAGE


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of this machine, without a screen."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(finished_run: Path, built_page: Path) -> Iterator[str]:
    """Where `terradrift serve` shows the small run."""
    with serving(viewer_app(find_site(finished_run))) as url:
        yield url


Open = Callable[..., Viewer]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page in a context of its own: `open_page(hash, size, url)`."""
    contexts = []

    def open_(hash_: str = "", size: ViewportSize = DESKTOP, url: str = address, **options: object) -> Viewer:
        context = browser.new_context(viewport=size, **options)  # type: ignore[arg-type]
        contexts.append(context)
        return Viewer(context.new_page(), url).open(hash_)

    yield open_
    for context in contexts:
        context.close()
