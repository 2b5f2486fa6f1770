"""`make scoreboard`: every detector and the published recipe on twelve scenes, through the whole job; prints the README's table.

The scenes are synthetic and by one author: rankings carry over, absolute values are not accuracy in the field. The published
recipe is `max_loo_medoid` with robust z above 3; 0.2 is the cosine distance that Google's own example uses.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

import terradrift as td
from terradrift.params import params_from
from terradrift.run import open_run
from terradrift.spark.detect_changes import detect_changes
from terradrift.spark.session import FAST_START, spark_session

KINDS = ("quiet", "tropical", "agri")
SEEDS = (11, 12, 13, 14)
"""None of them was used to choose a constant."""

RULES: dict[str, dict[str, Any]] = {
    "trajectory, fdr 0.10": {"change": {"detector": "trajectory", "threshold": {"fdr": 0.10}}},
    "first against last year > 0.2": {"change": {"detector": "bitemporal", "threshold": {"score": 0.2}}},
    "largest annual difference, robust z > 3": {"change": {"detector": "max_difference", "threshold": {"score": 3.0}}},
    "published recipe: leave-one-out medoid, robust z > 3": {
        "change": {"detector": "max_loo_medoid", "threshold": {"score": 3.0}}
    },
}


@dataclass(frozen=True)
class Result:
    """One rule on one scene."""

    rule: str
    kind: str
    seed: int
    ap: float
    best_f1: float
    auc: float
    recall_1pct: float
    mapped: float
    """Share of the scored pixels."""
    fdr: float
    recall: float
    recall_hindsight: float | None
    """Of the best threshold at the same nominal rate, for a calibrated rule."""
    blips: float
    """Share mapped as confirmed change: all mapped blips where a detector knows no kinds."""
    year: float | None
    """Inner steps dated to their year or the next."""


def evaluate(spark: SparkSession, scene: Path, rule: str, kind: str, seed: int) -> Result:
    """Run the whole job on a scene and hold it against its truth."""
    out = scene / rule.split(",")[0].replace(" ", "_").replace(">", "").replace(":", "")
    settings = {
        "mosaic": str(scene / "mosaic.zarr"),
        "output": str(out),
        "scores": {"annual": []},
        "maps": {"pmtiles": False, "cog": False},
        **RULES[rule],
    }
    detect_changes(spark, open_run(td.plan(params_from(settings))))
    found = td.evaluate(out, scene / "truth.parquet")
    pixel = found.pixel
    asked = settings["change"]["threshold"].get("fdr")
    curve = [point for point in pixel.fdr_curve if point.nominal == asked]
    blips = pixel.blips_confirmed if asked else (pixel.blips_confirmed or 0) + (pixel.blips_unconfirmed or 0)
    return Result(
        rule, kind, seed, pixel.average_precision, pixel.best_f1, pixel.auc, pixel.recall_at_1pct_false,
        pixel.n_mapped / pixel.n_evaluated, pixel.fdr, pixel.recall, curve[0].recall_in_hindsight if curve else None, blips,
        found.year["inner_step"].exact_or_next,
    )  # fmt: skip


def measure(kinds: tuple[str, ...], seeds: tuple[int, ...], size: int) -> Iterator[Result]:
    """Every rule on every scene, one after the other."""
    settings = {**FAST_START, "spark.sql.shuffle.partitions": "2"}
    with tempfile.TemporaryDirectory() as folder, spark_session("terradrift scoreboard", conf=settings) as spark:
        for kind in kinds:
            for seed in seeds:
                scene = Path(folder) / f"{kind}_{seed}"
                td.write_scene(scene, kind=kind, size=size, seed=seed)
                for rule in RULES:
                    yield evaluate(spark, scene, rule, kind, seed)


def print_table(results: list[Result], title: str) -> None:
    """Markdown: one row a rule, means over the scenes."""
    print(f"\n{title}\n")
    names = (
        "AP",
        "best F1",
        "AUC",
        "recall at 1 % false",
        "mapped",
        "false of the mapped",
        "recall",
        "blips taken for change",
        "year",
    )
    print(f"| rule | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for rule in RULES:
        rows = [row for row in results if row.rule == rule]
        means = [
            np.mean([getattr(row, name) for row in rows]) for name in ("ap", "best_f1", "auc", "recall_1pct")
        ]  # fmt: skip
        shares = [np.mean([getattr(row, name) for row in rows]) for name in ("mapped", "fdr", "recall", "blips")]
        years = [row.year for row in rows if row.year is not None]
        year = f"{np.mean(years):.2f}" if years and "last year" not in rule else "-"
        print(f"| {rule} | {' | '.join(f'{v:.3f}' for v in means)} | {' | '.join(f'{v:.1%}' for v in shares)} | {year} |")


def main() -> None:
    """Measure, print the tables; `--json FILE` keeps every row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the scenes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for result in measure(KINDS, SEEDS, options.size):
        results.append(result)
        print(
            f"{result.kind} {result.seed}: {result.rule}: AP {result.ap:.3f}, false {result.fdr:.3f}, recall {result.recall:.3f}"
        )
    print_table(
        results, f"{len(KINDS) * len(SEEDS)} synthetic scenes of {options.size} pixels a side, nine years; means over scenes"
    )
    for kind in KINDS:
        print_table([row for row in results if row.kind == kind], f"{kind}: {len(SEEDS)} scenes")
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in results], indent=1))


if __name__ == "__main__":
    main()
