"""A run: the plan, where it writes, and what of it is already there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from terradrift.aoi import Zones
from terradrift.errors import DamagedError, InputError
from terradrift.estimate import sampled_keys
from terradrift.grid import Window
from terradrift.kernels.gram import gram
from terradrift.kernels.quantize import UNIT_PRODUCT
from terradrift.ledger import WORK, RunFolder, code_version, identity
from terradrift.mosaic import ReadReport
from terradrift.planning import Plan
from terradrift.raster_template import RasterArray
from terradrift.records import is_finished
from terradrift.score_store import CHANGED, DECOY_ARRAYS, Q, RasterStore, raster_store, score_arrays
from terradrift.sealed import seal, unseal

IDENTITY_BYTES = 4096
"""First and last bytes of a sampled object that go into the name of the input."""

KEY_BASE = 1 << 20
"""More tiles a row than any mosaic has."""

_TILE_ID = re.compile(r"r(\d{6,7})_c(\d{6,7})")


@dataclass(frozen=True)
class Run:
    """A plan with its folders; makes its templates when opened."""

    plan: Plan
    folder: RunFolder
    allow_partial: bool = False
    """Publish although tiles failed."""

    @cached_property
    def scores(self) -> RasterStore:
        return self._raster(f"{self.folder.scores_url}/scores.zarr")

    @cached_property
    def decoys(self) -> RasterStore:
        """On the lattice; only with calibration."""
        step = self.plan.recipe.lattice
        plan = self.plan
        return raster_store(
            f"{self.folder.scores_url}/decoys.zarr", plan.grid.coarser(step), plan.window.coarser(step), plan.tile_size // step
        )

    @cached_property
    def decision(self) -> RasterStore:
        return self._raster(f"{self.folder.url}/change.zarr")

    def _raster(self, url: str) -> RasterStore:
        return raster_store(url, self.plan.grid, self.plan.window, self.plan.tile_size)

    def report(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage reported; None where it has not finished."""
        try:
            return unseal(self.folder.records.store.get(_report(stage)))
        except DamagedError:
            return None

    def write_report(self, stage: str, report: Mapping[str, Any]) -> None:
        """Say that a stage is finished; its outputs are whole by then."""
        self.folder.records.store.put(_report(stage), seal(report))

    def forget(self, stage: str) -> None:
        """Take the report of a stage back: it is about to run again."""
        self.folder.records.store.delete(_report(stage))

    @cached_property
    def sound(self) -> dict[str, bool]:
        """Records of the scores whose objects are there, by name: whether each is that of a finished tile.

        Read once, for there may be millions: who holds the lock is alone to write them, and then calls `look_again`.
        """
        return {record["name"]: is_finished(record) for record in self.folder.ledger.trusted()}

    def look_again(self) -> None:
        """Records of the scores were written since they were read."""
        self.__dict__.pop("sound", None)

    def unfinished(self) -> pa.Table:
        """Tiles without a record of success, those that read most first: columns seq, row, col."""
        plan = self.plan
        keys = plan.rows * KEY_BASE + plan.cols
        found = (_TILE_ID.fullmatch(name) for name, finished in self.sound.items() if finished)
        done = [int(name[1]) * KEY_BASE + int(name[2]) for name in found if name]
        open_ = np.flatnonzero(~np.isin(keys, np.array(done, np.int64)))
        order = open_[np.argsort(-plan.read_pixels[open_], kind="stable")]
        tiles = np.stack([plan.rows[order], plan.cols[order]], axis=1)
        return pa.table({"seq": np.arange(len(tiles)), "row": tiles[:, 0], "col": tiles[:, 1]})


def _report(stage: str) -> str:
    return f"{WORK}/{stage}.json"


def open_run(plan: Plan, *, allow_partial: bool = False) -> Run:
    """Name the run from parameters, input and code, and write the templates of its rasters."""
    run = Run(plan, run_folder(plan), allow_partial)
    write_templates(run)
    return run


def write_templates(run: Run) -> None:
    """Write the templates of a run's rasters that are not there."""
    plan = run.plan
    attributes: dict[str, Any] = {"title": "terradrift scores", "source": plan.mosaic.url.split("?")[0]}
    if plan.mosaic.attribution:
        attributes["attribution"] = plan.mosaic.attribution
    if run.scores.store.size("zarr.json") is None:
        if plan.recipe.lattice:
            run.decoys.create(DECOY_ARRAYS, attributes=attributes | {"title": "terradrift decoys"})
        run.scores.create(score_arrays(plan.recipe, plan.params.scores.overviews), plan.years, plan.recipe.bands, attributes)
    if run.decision.store.size("zarr.json") is None:
        run.decision.create(decision_arrays(plan), attributes=attributes | {"title": "terradrift change"})


def decision_arrays(plan: Plan) -> tuple[RasterArray, ...]:
    """The arrays of `change.zarr`: `q` only with a calibrated threshold."""
    return (CHANGED,) if plan.params.change.rule.fdr is None else (CHANGED, Q)


def run_folder(plan: Plan) -> RunFolder:
    """Names of a run's folders: from parameters, input and code, never from where or by whom it is run."""
    source = {
        "mosaic": _input_identity(plan),
        "aoi": _area_identity(plan.zones),
        "strata": "" if plan.strata_map is None else plan.strata_map.sha256,
        "code": code_version(),
    }
    by_content = ("mosaic", "aoi")
    everything, scores = (
        {name: value for name, value in plan.params.canonical(scores_only=only).items() if name not in by_content}
        for only in (False, True)
    )
    return RunFolder(plan.params.output, identity(source, scores), identity(source, everything))


def _area_identity(zones: Zones) -> str:
    """Hash of the zones and their attributes, wherever their file lies."""
    digest = hashlib.sha256(json.dumps(zones.attributes, sort_keys=True, default=str).encode())
    for geometry in zones.geometries:
        digest.update(shapely.to_wkb(geometry))
    return digest.hexdigest()


def _input_identity(plan: Plan) -> str:
    """Hash of the mosaic's metadata and of sampled objects: size, first bytes, last bytes (the index of a shard)."""
    digest = hashlib.sha256(plan.mosaic.metadata_sha256.encode())
    store, layout = plan.mosaic.store, plan.mosaic.layout
    for key in sampled_keys(plan):
        size = store.size(key)
        digest.update(f"{key} {size}".encode())
        if size:
            tail = min(size, layout.index_bytes if layout.sharded else IDENTITY_BYTES)
            for part in store.get_ranges(key, [0, size - tail], [min(size, IDENTITY_BYTES), size]) or []:
                digest.update(bytes(part))
    return digest.hexdigest()


def check_norms(plan: Plan) -> None:
    """Refuse a mosaic whose sampled median norm is not that of unit vectors: missing bands or another quantisation.

    Reads one chunk of up to three tiles. Mosaics with `quantization: none` are not checked.
    """
    if plan.mosaic.quantization != "signed_square":
        return
    height, width = plan.mosaic.chunk_shape
    norms: list[Any] = []
    for k in np.linspace(0, plan.n_tiles - 1, min(9, plan.n_tiles)).astype(int):
        tile = plan.tile_window(int(k))
        middle = Window(
            tile.y0 + tile.height // height // 2 * height, tile.x0 + tile.width // width // 2 * width, height, width
        ).intersection(tile)
        if middle is None:
            continue
        for block in plan.mosaic.read_blocks(middle, plan.years[:1], ReadReport()):
            products, valid = gram(block.codes)
            norms.append(np.sqrt(products[0, 0][valid[0]] / UNIT_PRODUCT))
        if sum(len(part) for part in norms) > 3 * height * width // 2:
            break
    values = np.concatenate(norms) if norms else np.zeros(0)
    if len(values) and not 0.97 <= (median := float(np.median(values))) <= 1.03:
        raise InputError(
            f"mosaic: found a median norm of {median:.3f} over {len(values)} pixels; expected 0.97 to 1.03 for unit vectors; "
            "bands are missing or quantization is another one"
        )
