"""A finished run against truth, in two passes over its rasters by blocks of rows: counts first, then their intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from terradrift.errors import InputError
from terradrift.evaluation.figures import Evaluation, GroupFigures
from terradrift.evaluation.intervals import BlockBootstrap
from terradrift.evaluation.mistakes import worst_mistakes
from terradrift.evaluation.polygons import Mask, Overlaps, polygon_figures, polygon_recall
from terradrift.evaluation.ranking import CHANGE, COARSE_BITS, EXACT_PIXELS, ScoreCounts, precision_recall
from terradrift.evaluation.run_rasters import MapBlock, RunRasters
from terradrift.evaluation.tallies import CLASSES, Tallies
from terradrift.evaluation.truth import UNKNOWN, Truth, TruthBlock, read_truth
from terradrift.evaluation.write import write_page, write_table
from terradrift.results import open_run
from terradrift.user_file import check_target


def evaluate(
    out: str | Path,
    truth: str | Path,
    *,
    rest_is_stable: bool = False,
    html: str | Path | None = None,
    parquet: str | Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """How true the last published run of the output folder `out` is, by pixel, by polygon and by year.

    truth: `truth.parquet` of a scene (with its truth.zarr where that lies beside it), or any vector file of polygons or points
    with a year; see `read_sites` for its columns. rest_is_stable: the file holds every change of the area. html, parquet: files
    to write. seed: of the bootstrap. Rasters are read by blocks of rows; rasters of more than 20 million pixels are ranked by the
    first 20 bits of the score; polygons are held in memory. InputError: no finished run, unusable truth, nothing to evaluate, a
    file that cannot be written.
    """
    for target in (html, parquet):
        check_target(target)
    run = RunRasters(open_run(out))
    known = read_truth(Path(truth), run, rest_is_stable=rest_is_stable)
    tallies, overlaps, scores = _count(run, known)
    if not tallies.kind.sum():
        raise InputError(
            f"truth: {truth}: found no scored pixel that it speaks of; expected some; does it lie in the run's area of interest?"
        )
    ranking = scores.ranking()
    bootstrap = BlockBootstrap(ranking, seed)
    for rows in run.blocks():
        found = known.read(rows.window)
        evaluated = (found.kind != UNKNOWN) & rows.scored
        classes = np.zeros(evaluated.shape, np.uint8)
        classes[evaluated] = CLASSES[found.kind[evaluated]]
        bootstrap.add(rows.window.y0, rows.window.x0, rows.score, classes, rows.mapped, evaluated)
    sites = known.persistent & (overlaps.site > 0)
    outlined = sites & known.outlined
    polygons = overlaps.comparable(outlined, sites & ~outlined)
    matches = overlaps.match(outlined, polygons)
    found_sites = sites & (overlaps.site_mapped > 0)
    by_cover = np.concatenate([[0], known.cover_codes])
    evaluation = Evaluation(
        run_id=run.result.folder.run_id,
        truth=known.summary,
        pixel=tallies.pixel_figures(ranking, None, run.has_q),
        polygon=polygon_figures(overlaps, matches, outlined, polygons, sites),
        year=tallies.year_figures(),
        kind=tallies.kind_figures(),
        by_landcover={
            name: GroupFigures(
                tallies.pixel_figures(scores.ranking(cover), cover, run.has_q),
                tallies.year_figures(cover),
                tallies.kind_figures(cover),
                int((sites & (by_cover == cover)).sum()),
                int((found_sites & (by_cover == cover)).sum()),
                polygon_recall(matches, outlined & (by_cover == cover)),
            )
            for cover, name in enumerate(known.covers)
            if cover and tallies.kind[cover].any()
        },
        false_by_nuisance=tallies.false_by_nuisance(known.nuisances),
        intervals=bootstrap.intervals(),
        curve=precision_recall(ranking),
        mistakes=worst_mistakes(run, known, overlaps, matches),
    )
    if parquet is not None:
        write_table(evaluation, Path(parquet))
    if html is not None:
        write_page(evaluation, Path(html))
    return evaluation


def _count(run: RunRasters, truth: Truth) -> tuple[Tallies, Overlaps, ScoreCounts]:
    tallies = Tallies(len(truth.covers), len(truth.nuisances), run.years)
    overlaps = Overlaps(len(truth.sites.kind), len(run.polygons.change_id))
    scores = ScoreCounts(0 if run.window.height * run.window.width <= EXACT_PIXELS else COARSE_BITS)
    for rows in run.blocks():
        found = truth.read(rows.window)
        tallies.add(rows, found)
        evaluated = (found.kind != UNKNOWN) & rows.scored
        scores.add(rows.score[evaluated], found.cover[evaluated], CLASSES[found.kind[evaluated]])
        _overlap(overlaps, run, rows, found, evaluated)
    return tallies, overlaps, scores


def _overlap(overlaps: Overlaps, run: RunRasters, rows: MapBlock, found: TruthBlock, evaluated: Mask) -> None:
    change = np.zeros(evaluated.shape, np.bool_)
    change[evaluated] = CLASSES[found.kind[evaluated]] == CHANGE
    labels = run.polygons.pixels.labels(rows.window)
    overlaps.add(found.site, labels, scored=rows.scored, mapped=rows.mapped, evaluated=evaluated, change=change)
