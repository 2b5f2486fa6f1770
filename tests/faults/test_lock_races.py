"""R10: many processes reach for one output at the same moment; one of them has it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from servers import client, moto, sign_in

RACERS, ROUNDS, QUICK_ROUNDS = 4, 40, 5
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


def winners(url: str, rounds: int) -> dict[int, int]:
    """How many processes won each round."""
    spawn = multiprocessing.get_context("spawn")  # an object client that was used hangs in a forked child
    start, results = spawn.Barrier(RACERS, timeout=120), spawn.Queue()
    racers = [spawn.Process(target=race, args=(number, rounds, url, start, results)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=300) for _ in racers]
    for racer in racers:
        racer.join(60)
    return {round_: sum(round_ in won for _, _, won in found) for round_ in range(rounds)}


@pytest.mark.parametrize("rounds", [QUICK_ROUNDS, pytest.param(ROUNDS, marks=pytest.mark.whole)])
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_one_of_many_has_the_lock(
    kind: str, rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    with moto() if kind == "s3" else nullcontext() as server:
        url = str(tmp_path / "out")
        if server is not None:
            sign_in(monkeypatch, server)
            client(server).create_bucket(Bucket=BUCKET)
            url = f"s3://{BUCKET}/{rounds}"
        won = winners(url, rounds)
    wrong = {round_: count for round_, count in won.items() if count != 1}
    tally("R10", right=rounds - len(wrong), wrong=len(wrong))
    assert not wrong
