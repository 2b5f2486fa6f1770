"""R10: many processes reach for one output at the same moment; one of them has it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from servers import client, moto, sign_in, versitygw

BUCKET = "races"


def race(number: int, rounds: int, url: str, start: Any, results: Any) -> None:
    """One process: in every round, reach for the lock of that round as all others do."""
    from terradrift.errors import LockedError
    from terradrift.lock import acquire
    from terradrift.store import Store

    won = []
    for round_ in range(rounds):
        store = Store(f"{url}/{round_}")
        store.size("warm")
        start.wait()
        try:
            acquire(store).check()
            won.append(round_)
        except LockedError:
            pass
    results.put((number, os.getpid(), won))


def winners(url: str, racers: int, rounds: int) -> dict[int, int]:
    """How many processes won each round."""
    spawn = multiprocessing.get_context("spawn")  # an object client that was used hangs in a forked child
    start, results = spawn.Barrier(racers, timeout=120), spawn.Queue()
    processes = [spawn.Process(target=race, args=(number, rounds, url, start, results)) for number in range(racers)]
    for process in processes:
        process.start()
    found = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(60)
    return {round_: sum(round_ in won for _, _, won in found) for round_ in range(rounds)}


@pytest.mark.parametrize(
    ("kind", "racers", "rounds"),
    [
        ("folder", 4, 5),
        *(pytest.param(kind, 8, 40, marks=pytest.mark.whole) for kind in ("folder", "moto", "versitygw")),
    ],
)
def test_one_of_many_has_the_lock(
    kind: str, racers: int, rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    servers: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "folder": nullcontext, "moto": moto, "versitygw": lambda: versitygw(tmp_path),
    }  # fmt: skip
    with servers[kind]() as server:
        url = str(tmp_path / "out")
        if server is not None:
            sign_in(monkeypatch, server)
            client(server).create_bucket(Bucket=BUCKET)
            url = f"s3://{BUCKET}/races"
        won = winners(url, racers, rounds)
    wrong = {round_: count for round_, count in won.items() if count != 1}
    tally("R10", right=rounds - len(wrong), wrong=len(wrong))
    assert not wrong
