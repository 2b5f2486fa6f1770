"""R5: what networks and stores do to a mosaic on its way. The values are right, or an error says so; absence is confirmed.

Every kind of fault hits once or for ever, over S3 and over HTTP: on the metadata, on the chunks and on look-ups.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from zarr.codecs import ZstdCodec

import terradrift as td
from mosaics import unit_codes, write_mosaic
from proxy import Answer, Fault, Proxy, Rule, change, cut, flip, redirect, say, wait
from servers import VERSITYGW, files_over_http, moto, sign_in, upload, versitygw
from terradrift.errors import InputError, StoreError
from terradrift.mosaic import ReadReport
from terradrift.params import params_from
from terradrift.run import run_folder
from terradrift.store import open_store, remote

YEARS = (2017, 2018, 2019)
BUCKET = "mosaics"
TRIES = 3
"""How often the client asks, and at most how long it waits, in these tests: the same path as seven times and a minute."""
TIMEOUT_S = 1.0
TASK_ATTEMPTS = 4
"""Spark's."""

PASSES: dict[str, Fault] = {
    "500": say(500, "InternalError"),
    "503": say(503, "SlowDown"),
    "504": say(504),
    "429": say(429, "TooManyRequests"),
    "408": say(408),
    "400 RequestTimeout": say(400, "RequestTimeout"),
    "reset": cut(0, "reset"),
    "reset in the body": cut(0.5, "reset"),
    "cut body": cut(0.5, "close"),
    "stalled body": cut(0.5, "stall"),
    "hang": wait(3 * TIMEOUT_S),
    "redirect to nobody": redirect("http://127.0.0.1:9/"),
}
"""Asked again it may be well: once is nothing, for ever is an error."""

FINAL: dict[str, Fault] = {
    "400": say(400, "InvalidArgument"),
    "400 ExpiredToken": say(400, "ExpiredToken"),
    "401": say(401, "Unauthorized"),
    "403": say(403, "AccessDenied"),
    "403 signature": say(403, "SignatureDoesNotMatch"),
    "403 request expired": say(403, "RequestExpired"),
    "404 of the bucket": say(404, "NoSuchBucket"),
    "404 of the account": say(404, "InvalidAccessKeyId"),
    "410": say(410, "Gone"),
    "412": say(412, "PreconditionFailed"),
    "416": say(416, "InvalidRange"),
}
"""Nobody gets better by asking again: an error at once, never a hole."""


def _page(answer: Answer) -> Answer:
    return Answer(200, [("Content-Type", "text/html")], b"<html>Please sign in</html>")


DAMAGE: dict[str, Fault] = {
    "bit flip": change(flip),
    "short with an honest length": change(lambda body: body[: len(body) // 2]),
    "empty": change(lambda body: b""),
    "a page for an answer": _page,
}
"""Noticed by what it is: an error, and right when the task is tried again."""

SLOW: dict[str, Fault] = {"slow": wait(0.1)}
SPURIOUS: dict[str, Fault] = {"404": say(404, "NoSuchKey")}
OF_BODIES = {"cut body", "stalled body", *DAMAGE}
"""Nothing to an answer that has none."""

QUICK = {"500", "429", "400 RequestTimeout", "reset", "cut body", "hang", "403", *DAMAGE, "slow", "404"}
"""Those of `make test`."""

KINDS = {**PASSES, **FINAL, **DAMAGE, **SLOW, **SPURIOUS}

PLACES = {"metadata": "GET .*zarr.json", "chunks": "GET .*/embeddings/c/(?!1/0/0/1)", "look-ups": "HEAD .*/embeddings/c/"}
"""Not the shard that is not there: of its answer nothing can be flipped or cut, whoever asks for it first."""


def expected(kind: str, place: str, times: int | None) -> set[str]:
    """What may come of a fault."""
    if kind in SLOW or (place == "look-ups" and kind in OF_BODIES):
        return {"same"}
    if place == "look-ups" and kind == "400 RequestTimeout":
        return {"storage"}  # an answer without a body does not say which 400 it is
    if kind in SPURIOUS or (place == "look-ups" and kind.startswith("404")):  # the other verb does not agree
        return {"same"} if times else {"storage"}
    if kind == "404 of the bucket" and place == "metadata":
        return {"same"} if times else {"input"}
    if kind in PASSES:
        return {"same"} if times else {"storage"}
    if kind in FINAL:
        return {"storage"}
    if place == "metadata":  # read once more; what is served for ever is the mosaic
        return {"same"} if times else {"input"}
    return {"storage"}


@dataclass
class Place:
    """A mosaic behind a proxy."""

    url: str
    proxy: Proxy
    values: np.ndarray

    def read(self) -> tuple[np.ndarray, ReadReport]:
        """All values, by a client that has seen nothing yet."""
        open_store.cache_clear()
        mosaic, report = td.open_mosaic(self.url), ReadReport()
        found = np.full_like(self.values, -128)
        for block in mosaic.read_blocks(mosaic.grid.window, YEARS, report):
            y, x = block.window.slices(mosaic.grid.window)
            found[:, :, y, x] = block.codes
        return found, report

    def outcome(self, work: Callable[[], bool]) -> str:
        """In a word, what became of some work that says whether its result is right."""
        try:
            return "same" if work() else "silent"
        except (StoreError, InputError) as error:
            message = str(error)
            print(message)  # shown where the outcome is wrong
            if "\n" in message or self.url not in message:
                return "no message of one line about the mosaic"
            return "storage" if isinstance(error, StoreError) else "input"

    def is_right(self) -> bool:
        return np.array_equal(self.read()[0], self.values)

    def name(self) -> str:
        """The run's name, for which sampled objects are looked up."""
        open_store.cache_clear()
        return run_folder(td.plan(params_from({"mosaic": self.url, "output": "/nowhere", "tile_size": 32}))).score_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 x 96 pixels, three years; the second shard of one year is not there."""
    folder = tmp_path_factory.mktemp("network")
    codes = unit_codes(5, len(YEARS), 64, 96, bands=6)
    codes[1, :, :, 64:] = -128
    write_mosaic(folder / "mosaic.zarr", codes, compressors=ZstdCodec(level=1, checksum=True))
    assert not (folder / "mosaic.zarr/embeddings/c/1/0/0/1").exists()
    return folder


@pytest.fixture(scope="module")
def places(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """The mosaic over HTTP and in an S3, each behind a proxy."""
    good = Place(str(folder / "mosaic.zarr"), Proxy(""), np.full((len(YEARS), 6, 64, 96), -128, np.int8))
    values, report = good.read()
    assert (report.missing_objects, report.absent_years) == (1, 1)
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        real = VERSITYGW.exists()
        s3 = stack.enter_context(versitygw(tmp_path_factory.mktemp("s3")) if real else moto())
        upload(s3, folder, BUCKET)
        fronts = [stack.enter_context(Proxy(url)) for url in (stack.enter_context(files_over_http(folder)), s3)]
        sign_in(environment, fronts[1].url)
        urls = (f"{fronts[0].url}/mosaic.zarr", f"s3://{BUCKET}/mosaic.zarr")
        yield {name: Place(url, front, values) for name, url, front in zip(("http", "s3"), urls, fronts, strict=True)}


@pytest.fixture(autouse=True)
def _hasty_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    retry = {"max_retries": TRIES - 1, "retry_timeout": timedelta(seconds=20), "backoff": backoff}
    monkeypatch.setattr(remote, "RETRY", retry)
    monkeypatch.setattr(remote, "CLIENT", {"timeout": timedelta(seconds=20), "connect_timeout": timedelta(seconds=20)})
    monkeypatch.setattr("terradrift.store.store.CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(
        remote, "TRIED_AGAIN", {words: (0.0,) * len(pauses[: TRIES - 1]) for words, pauses in remote.TRIED_AGAIN.items()}
    )
    yield
    open_store.cache_clear()


def check(place: Place, where: str, kind: str, times: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "a page for an answer" and where == "look-ups":
        pytest.skip("a page has a size as well")
    if kind in ("hang", "stalled body"):
        monkeypatch.setattr(remote, "CLIENT", {"timeout": timedelta(seconds=TIMEOUT_S)})
    place.proxy.reset()
    name = place.name() if where == "look-ups" else ""
    place.proxy.reset(Rule(PLACES[where], KINDS[kind], times))
    work = (lambda: place.name() == name) if where == "look-ups" else place.is_right
    assert place.outcome(work) in expected(kind, where, times)
    assert place.proxy.hits > 0
    if (
        where != "look-ups"
    ):  # bounded: every request as often as allowed, twice where a body ends early, and a refusal read once more
        assert place.proxy.hits <= 4 * TRIES * len(set(place.proxy.seen))
    if times:
        assert place.outcome(work) == "same"  # as when the task is tried again


LASTS = {"once": 1, "for ever": None}


@pytest.mark.row("R5")
@pytest.mark.parametrize("lasts", list(LASTS))
@pytest.mark.parametrize("kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.whole) for kind in KINDS])
def test_a_fault_on_the_chunks(places: dict[str, Place], kind: str, lasts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(places["s3"], "chunks", kind, LASTS[lasts], monkeypatch)


@pytest.mark.whole
@pytest.mark.row("R5")
@pytest.mark.parametrize("lasts", list(LASTS))
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("client", "where"), [("http", "metadata"), ("http", "chunks"), ("http", "look-ups"), ("s3", "metadata"), ("s3", "look-ups")]
)
def test_a_fault_elsewhere(
    places: dict[str, Place], client: str, where: str, kind: str, lasts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(places[client], where, kind, LASTS[lasts], monkeypatch)


@pytest.mark.row("R5")
@pytest.mark.parametrize("client", ["http", "s3"])
def test_a_year_that_is_said_to_be_absent_for_ever_is_flagged(places: dict[str, Place], client: str) -> None:
    """Nobody can tell it from one that is; the same ground in other years can."""
    place = places[client]
    place.proxy.reset(Rule(r"(GET|HEAD) .*/embeddings/c/2/", SPURIOUS["404"]))
    values, report = place.read()
    assert (values[2] == -128).all()
    assert np.array_equal(values[:2], place.values[:2])
    assert (report.missing_objects, report.absent_years) == (3, 3)
    asked = [request for request in place.proxy.seen if "/embeddings/c/2/" in request]
    assert {request.split()[0] for request in asked} == {"GET", "HEAD"}


@pytest.mark.row("R5")
@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("403", "s3:ListBucket"),
        ("401", "set credentials"),
        ("400 ExpiredToken", "expired: renew"),
        ("403 request expired", "expired"),
    ],
)
def test_an_error_says_what_to_do(places: dict[str, Place], kind: str, advice: str) -> None:
    place = places["s3"]
    place.proxy.reset(Rule(PLACES["chunks"], KINDS[kind]))
    with pytest.raises(StoreError, match=advice):
        place.read()


@pytest.mark.whole
@pytest.mark.parametrize("client", ["http", "s3"])
def test_two_thousand_faults_at_random(places: dict[str, Place], client: str, tally: Callable[..., None]) -> None:
    """One answer in six is spoiled; every reading is right or an error, and right after the tries of a task."""
    place, rng = places[client], random.Random(7)
    kinds = [fault for kind, fault in {**PASSES, **DAMAGE, **SPURIOUS}.items() if kind not in ("hang", "stalled body")]
    place.proxy.reset()

    def spoil(answer: Answer) -> Answer:
        return rng.choice(kinds)(answer) if rng.random() < 1 / 6 else answer

    spoiled = 0
    outcomes: list[str] = []
    while spoiled < 6000:
        place.proxy.reset(Rule(r"/embeddings/c/", spoil))
        for _ in range(TASK_ATTEMPTS):
            outcomes.append(place.outcome(place.is_right))
            if outcomes[-1] == "same":
                break
        spoiled += place.proxy.hits
    wrong = sum(outcome not in ("same", "storage") for outcome in outcomes)
    tally("R5", len(outcomes) - wrong, wrong)
    assert wrong == 0
    assert outcomes.count("same") > len(outcomes) / 3
