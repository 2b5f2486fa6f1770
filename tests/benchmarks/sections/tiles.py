"""Vector tiles of many polygons: ours through Spark and in one process, tippecanoe, tylertoo, GDAL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from noise_polygons import noise_polygons, write_copies
from rows import Row, Section, run_program
from tile_quality import quality, true_areas

PEERS = str(Path(__file__).parents[3] / ".venv" / "peers" / "bin" / "python")
TITLE = "vector tiles: {count:,} polygons above a threshold in noise, zooms 4 to 13, four attributes"
OURS = "terradrift tiles, local[2]"
SIZE = 8192
GDAL_MOST = 0.3
"""GDAL takes minutes: measured at small scales alone."""


def measure(folder: Path, scale: float) -> Section:
    """`scale` 1 is a raster of 8192 pixels a side, 214,000 polygons; above 1, as many copies side by side."""
    size = SIZE if scale >= 1 else max(512, round(SIZE * scale**0.5) // 256 * 256)
    table, flat, small = (folder / name for name in ("polygons.parquet", "polygons.fgb", "small.parquet"))
    polygons = noise_polygons(size, seed=0)
    write_copies(table, polygons, max(1, round(scale)), size)
    write_copies(small, polygons.slice(0, 2000), 1, size)
    count = pq.ParquetFile(table).metadata.num_rows
    write_flatgeobuf(table, flat)
    truth = true_areas(table)

    def run(name: str, program: str, source: Path, *arguments: object, python: str | None = None) -> Row:
        archive = folder / f"{program}.pmtiles"
        row = run_program(name, f"{program}.py", source, archive, *arguments, **({"python": python} if python else {}))
        told = quality(archive, truth)
        archive.unlink()
        return replace(row, notes=row.notes | told)

    rows = [
        run("our kernels, one process", "tiles_kernels", table),  # first: it leaves the compiled kernels on disk
        run(OURS, "tiles_ours", table),
        run("the same, session warm", "tiles_ours", table, small),
        run("tippecanoe", "tiles_tippecanoe", flat, python=PEERS),
        run("tylertoo", "tiles_tylertoo", table, python=PEERS),
    ]
    if scale <= GDAL_MOST:
        rows.append(run("GDAL", "tiles_gdal", flat))
    return Section(TITLE.format(count=count), tuple(rows), OURS, "thousand polygons", count / 1e3)


def write_flatgeobuf(table: Path, flat: Path) -> None:
    """The table in the format that tippecanoe and GDAL read fastest; not part of what is measured."""
    file = pq.ParquetFile(table)
    batches = file.iter_batches()
    reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches)
    pyogrio.write_arrow(
        reader, flat, driver="FlatGeobuf", geometry_name="geometry", geometry_type="Polygon", crs="EPSG:4326",
        layer_options={"SPATIAL_INDEX": "NO"},
    )  # fmt: skip
