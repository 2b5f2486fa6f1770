"""A small scoreboard: what the README says of the detectors must not get worse. Seeds were not used to choose a constant."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import terradrift as td
from benchmarks.scoreboard import KINDS, RULES, Result, evaluate

SIZE, SEED = 384, 21
TRAJECTORY, FIRST_AGAINST_LAST = list(RULES)[:2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def board(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Result]:
    """(kind of scene, rule) -> result."""
    found = {}
    for kind in KINDS:
        scene = Path(tmp_path_factory.mktemp(kind))
        td.write_scene(scene, kind=kind, size=SIZE, seed=SEED)
        for rule in (TRAJECTORY, FIRST_AGAINST_LAST):
            found[kind, rule] = evaluate(spark, scene, rule, kind, SEED)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_trajectory_ranks_change_before_noise(board: dict[tuple[str, str], Result], kind: str) -> None:
    found, plain = board[kind, TRAJECTORY], board[kind, FIRST_AGAINST_LAST]
    print(f"{kind}: AP {found.ap:.3f} against {plain.ap:.3f}, best F1 {found.best_f1:.3f} against {plain.best_f1:.3f}")
    assert found.ap > plain.ap + 0.03
    assert found.best_f1 > plain.best_f1 + 0.04
    assert found.recall_1pct > 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_a_tenth_of_the_map_is_false_and_no_more(board: dict[tuple[str, str], Result], kind: str) -> None:
    found = board[kind, TRAJECTORY]
    print(f"{kind}: false {found.fdr:.3f}, recall {found.recall:.3f}, best in hindsight {found.recall_hindsight:.3f}")
    assert found.fdr <= 0.2
    assert found.recall > found.recall_hindsight - 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_blips_are_no_change_and_changes_are_dated(board: dict[tuple[str, str], Result], kind: str) -> None:
    found = board[kind, TRAJECTORY]
    assert found.blips < 0.05
    assert found.year is not None
    assert found.year > 0.85
