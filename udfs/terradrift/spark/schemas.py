"""The columns of the result tables. Comments and units travel with the tables: `DESCRIBE change_polygons` prints them."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)
from sedona.spark.sql.types import GeometryType


def column(name: str, kind: DataType, comment: str, unit: str | None = None) -> StructField:
    """A nullable column with its comment; a unit stands in brackets at its end."""
    return StructField(name, kind, True, {"comment": f"{comment} [{unit}]" if unit else comment})


LONG, INT, TEXT, FLOAT, DOUBLE = LongType(), IntegerType(), StringType(), FloatType(), DoubleType()

CHANGE_ID = column("change_id", LONG, "1 + row-major index, in the mosaic, of the polygon's first pixel")
WHOLE_ID = column("whole_id", LONG, "change_id of the whole change, where a giant one comes in several rows; else its own")
ZONE = column("zone", INT, "number of the zone that holds the first pixel, from 0")
N_PIXELS = column("n_pixels", LONG, "pixels inside the outline, filled holes included", "px")
SCORE_MAX = column("score_max", FLOAT, "largest change score of a pixel")
KIND = column("kind", TEXT, "most frequent kind of change: step, ramp, blip, unconfirmed or none")
YEAR_FIRST = column("year_first", INT, "earliest first year of the new state", "year")
EFFECT_MEAN = column("effect_mean", DOUBLE, "mean size of the change", "cosine distance")
AREA_M2 = column("area_m2", DOUBLE, "geodesic area, summed from the pixels", "m2")
WKB_PIXELS = column("geometry", BinaryType(), "WKB polygon, x = column, y = row of the mosaic", "px")
OUTLINE = [
    column("outline", BinaryType(), "what is published instead of the geometry: WKB as there; null: the geometry itself", "px"),
    column("simplified", BooleanType(), "the outline is simplified already, together with those that share its borders"),
]
GEOMETRY = column("geometry", GeometryType(), "polygon in the table's CRS")
BBOX = column(
    "bbox",
    StructType([StructField(side, DOUBLE) for side in ("xmin", "ymin", "xmax", "ymax")]),
    "bounding box of the geometry",
    "CRS units",
)

MERGED_POLYGONS = StructType(
    [
        CHANGE_ID,
        WHOLE_ID,
        ZONE,
        column("class", INT, "group the polygon was traced in"),
        N_PIXELS,
        column("n_scored", LONG, "changed pixels, the ones behind the sums", "px"),
        column("score_sum", LONG, "sum of the change scores", "2^-20"),
        SCORE_MAX,
        column("effect_sum", LONG, "sum of the sizes of change", "2^-20 cosine distance"),
        column("q_min", FLOAT, "smallest q of a pixel; NaN or null where not calibrated"),
        column("area_mm2", LONG, "geodesic area", "mm2"),
        column("year_counts", ArrayType(LONG), "pixels by first year of the new state, one entry a year of the run", "px"),
        column("kind_counts", ArrayType(LONG), "pixels by kind: none, step, ramp, blip, unconfirmed", "px"),
        WKB_PIXELS,
        *OUTLINE,
    ]
)
"""What the vectorisation hands to SQL: one row a polygon, whole, every sum an integer."""

ATTRIBUTES = [
    CHANGE_ID,
    WHOLE_ID,
    ZONE,
    KIND,
    YEAR_FIRST,
    column("year_last", INT, "latest first year of the new state", "year"),
    column("year_mode", INT, "most frequent first year of the new state", "year"),
    column("score_mean", DOUBLE, "mean change score of the changed pixels"),
    SCORE_MAX,
    EFFECT_MEAN,
    column("q_min", FLOAT, "smallest q of a pixel; null where not calibrated"),
    N_PIXELS,
    AREA_M2,
]

RAW_POLYGONS = StructType([*ATTRIBUTES, WKB_PIXELS, *OUTLINE])
CHANGE_POLYGONS = StructType([*ATTRIBUTES, BBOX, GEOMETRY])
POLYGON_PARTS = StructType(
    [
        CHANGE_ID,
        column("part", INT, "number of the piece in its polygon, from 0"),
        KIND,
        YEAR_FIRST,
        SCORE_MAX,
        EFFECT_MEAN,
        AREA_M2,
        BBOX,
        GEOMETRY,
    ]
)

TILES = StructType(
    [
        column("tile_id", TEXT, "r<row>_c<column> in the mosaic's own tile grid"),
        column("row", INT, "tile row"),
        column("col", INT, "tile column"),
        column("y0", LONG, "first row of pixels", "px"),
        column("x0", LONG, "first column of pixels", "px"),
        column("height", INT, "rows of pixels", "px"),
        column("width", INT, "columns of pixels", "px"),
        column("state", TEXT, "done, empty (no valid pixel) or failed"),
        column("error", TEXT, "why the tile failed"),
        column("n_valid", LONG, "pixels with a change score", "px"),
        column("n_bad_norm", LONG, "pixel-years left out because their norm is not one"),
        column("missing_objects", LONG, "objects confirmed absent: no data"),
        column("absent_years", LONG, "of these, objects that the same ground has in other years"),
        column("forbidden_objects", LONG, "of these, objects answered with 403, which the run file takes for absent"),
        column("attempts", INT, "tries of the tile"),
        column("seconds", DOUBLE, "time of the last try", "s"),
        column("bytes_read", LONG, "compressed bytes read", "B"),
        column("peak_rss", LONG, "peak memory of the worker", "B"),
    ]
)

THRESHOLDS = StructType(
    [
        column("stratum", INT, "stratum of the mosaic; 0 where there is one for all"),
        column("detector", TEXT, "change detector"),
        column("rule", TEXT, "how the threshold was chosen: fdr, score or quantile"),
        column("value", DOUBLE, "what the run file says"),
        column("threshold", DOUBLE, "candidates with at least this score are mapped; null where none is"),
        column("expected_false_rate", DOUBLE, "expected share of false changes; null where not calibrated"),
        column("n_pixels", LONG, "pixels with a score", "px"),
        column("n_mapped", LONG, "mapped pixels; null where not calibrated", "px"),
        column("mapped_area_m2", DOUBLE, "geodesic area of the mapped pixels; null where not calibrated", "m2"),
        column("expected_false_area_m2", DOUBLE, "share of it that is expected to be no change; null where not calibrated", "m2"),
        column("calibrated_with", INT, "strata with the same number here are calibrated together"),
        column("tail_factor", DOUBLE, "factor on the scores of decoys; null where not calibrated"),
    ]
)
