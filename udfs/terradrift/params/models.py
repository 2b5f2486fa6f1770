"""The run file's models: frozen, described field by field with units. Paths become absolute here, once: executors have
another current directory."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from terradrift.kernels.detectors import CALIBRATED
from terradrift.params.locations import mosaic_location, output_location
from terradrift.params.messages import show
from terradrift.params.values import (
    MAX_INT,
    STRATA_SCHEMA,
    Count,
    Detector,
    Distance,
    Fraction,
    Kind,
    Names,
    Score,
    Year,
    Zoom,
    aoi_spec,
    crs_code,
    distinct,
    strata_spec,
)

DEFAULT_KINDS = ("step", "ramp", "unconfirmed")
DEFAULT_MIN_EFFECT = 0.05
DEFAULT_STRATA = 12


class Model(BaseModel):
    """Frozen and strict: no unknown key, no text for a number, no NaN."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class Scores(Model):
    """What one reading of the embeddings gives a pixel and a year."""

    distance: Distance = "cosine"
    """Distance of two years: cosine (1 - cos, 0 to 2) and angle (degrees) of renormalised vectors, dot (1 - x.y) and
    euclidean of the decoded vectors as they are."""
    annual: Annotated[tuple[Score, ...], Names, AfterValidator(distinct)] = ("difference", "loo_medoid")
    """Annual bands to write, in units of the distance; an empty list writes none."""
    robust_z: bool = True
    """Write the annual bands as robust z through time per pixel (no unit) instead of the raw score."""
    overviews: Literal["mean", "max"] = "mean"
    """What a coarser level shows of scores and effects: the mean of its pixels, or their largest, so that small changes
    stay in sight."""


THRESHOLDS = ("fdr", "score", "quantile")


class Threshold(Model):
    """Where change begins: exactly one of three, and with score or quantile what a polygon must reach."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name], "properties": {name: {"type": "number"}}} for name in THRESHOLDS]}
    )

    fdr: Fraction | None = None
    """Expected share of false changes among the mapped, above 0 and below 1; for calibrated detectors."""
    score: float | None = None
    """Smallest mapped value of the detector's statistic, in its units."""
    quantile: Fraction | None = None
    """Quantile of the change score over the area of interest, above 0 and below 1; pixels at or above it are mapped."""
    high: float | None = None
    """Hysteresis: a polygon is kept when one of its pixels has at least this score; omitted: all are kept."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Threshold:
        given = [name for name in THRESHOLDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"found {found}, expected exactly one of fdr, score, quantile")
        if self.high is not None and self.fdr is not None:
            raise ValueError("found high with fdr, expected it with score or quantile; remove it")
        if self.high is not None and self.score is not None and self.high < self.score:
            raise ValueError(f"found high {show(self.high)} below score {show(self.score)}, expected at least the score")
        return self

    @property
    def name(self) -> str:
        """`fdr`, `score` or `quantile`."""
        return next(name for name in THRESHOLDS if getattr(self, name) is not None)


class Change(Model):
    """Detector and threshold."""

    detector: Detector = "trajectory"
    """Statistic of a pixel's years: trajectory (best step or ramp), bitemporal (first against last), max_difference or
    max_loo_medoid (largest score)."""
    threshold: Threshold | None = None
    """Where change begins; omitted: fdr 0.10 with trajectory, score 0.2 with the others."""
    min_effect: Annotated[float, Field(ge=0, le=2)] | None = None
    """Smallest mapped size of a change, in cosine distance (0 to 2); for trajectory, omitted: 0.05."""
    kinds: Annotated[tuple[Kind, ...], Names, Field(min_length=1), AfterValidator(distinct)] | None = None
    """Kinds of change that become polygons; for trajectory, omitted: step, ramp and unconfirmed."""
    strata: Annotated[int | str, BeforeValidator(strata_spec), STRATA_SCHEMA] | None = None
    """Strata in which noise is judged and the threshold is calibrated: so many of alike embeddings, or a file of your own (a
    vector file, every geometry one, or a GeoTIFF of classes); for trajectory, omitted: 12."""

    @field_validator("min_effect", "kinds", "strata")
    @classmethod
    def _of_calibrated(cls, value: Any, info: ValidationInfo) -> Any:
        detector = info.data.get("detector")
        if detector in CALIBRATED:
            defaults = {"min_effect": DEFAULT_MIN_EFFECT, "kinds": DEFAULT_KINDS, "strata": DEFAULT_STRATA}
            return defaults[str(info.field_name)] if value is None else value
        if value is not None and detector is not None:
            raise ValueError(f"found {show(value)}, expected nothing: detector '{detector}' has no kinds; remove the key")
        return value

    @field_validator("threshold")
    @classmethod
    def _needs_calibration(cls, value: Threshold | None, info: ValidationInfo) -> Threshold | None:
        detector = info.data.get("detector")
        if value is None:
            return Threshold(fdr=0.10) if detector in CALIBRATED else Threshold(score=0.2)
        if value.fdr is not None and detector is not None and detector not in CALIBRATED:
            raise ValueError(f"found fdr, expected score or quantile: detector '{detector}' is not calibrated")
        return value

    @property
    def rule(self) -> Threshold:
        """The threshold; never None once validated."""
        if self.threshold is None:
            raise ValueError("threshold: not validated")
        return self.threshold


class Polygons(Model):
    """What becomes one raw polygon."""

    connectivity: Literal[4, 8] = 4
    """Neighbours of a pixel: 4 (edges) or 8 (corners too)."""
    min_pixels: Count = 8
    """Smallest polygon kept, in pixels of the mosaic."""
    fill_holes_pixels: Annotated[int, Field(ge=0, le=MAX_INT)] = 0
    """Holes of up to this many pixels are filled; 0 fills none."""
    group_by: Literal["none", "year", "kind"] = "none"
    """What splits touching pixels into several polygons: nothing, their change year or their kind."""
    outline: Literal["pixel", "contour"] = "pixel"
    """What outlines follow: the edges of pixels, or the threshold of the score between their centres."""

    @field_validator("outline")
    @classmethod
    def _of_one_surface(cls, value: str, info: ValidationInfo) -> str:
        group_by = info.data.get("group_by", "none")
        if value == "contour" and group_by != "none":
            raise ValueError(f"found contour with group_by: {group_by}, expected pixel: the score has no contour between groups")
        return value


class Refine(Model):
    """How polygons are simplified and cut."""

    crs: Annotated[str, AfterValidator(crs_code)] = "EPSG:4326"
    """CRS of the polygon tables, as an authority's code."""
    simplify_m: Annotated[float, Field(ge=0)] = 7.5
    """Tolerance of the simplification, in metres; 0 leaves the pixel outline."""
    precision_m: Annotated[float, Field(gt=0)] = 0.1
    """Step of the published coordinates, in metres."""
    max_vertices: Annotated[int, Field(ge=5, le=MAX_INT)] = 256
    """Vertices of the largest polygon part; ST_SubDivideExplode returns nothing below 5."""


class Maps(Model):
    """Maps made of the polygons and rasters."""

    pmtiles: bool = True
    """Write vector tiles."""
    min_zoom: Zoom = 4
    """Smallest zoom of the vector tiles, 0 to 18."""
    max_zoom: Zoom = 13
    """Largest zoom of the vector tiles, min_zoom to 18."""
    cog: bool = True
    """Write Cloud-optimised GeoTIFFs of score, effect, year, kind, mapped pixels and, with a calibrated threshold, q."""
    gpkg: bool = False
    """Write the polygons as a GeoPackage too."""
    flatgeobuf: bool = False
    """Write the polygons as a FlatGeobuf too."""
    raster_tiles: bool = False
    """Write picture tiles of score and year, for maps on the web; zooms as above, at most that of the mosaic's pixels."""

    @field_validator("max_zoom")
    @classmethod
    def _ordered(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min_zoom", 0):
            raise ValueError(f"found {value}, expected an integer from min_zoom {info.data['min_zoom']} to 18")
        return value


class Params(Model):
    """A run of terradrift."""

    mosaic: Annotated[str, AfterValidator(mosaic_location)]
    """Zarr v3 group with the embeddings: local path, file://, s3://, gs:// or https://."""
    aoi: Annotated[str | tuple[float, float, float, float] | None, BeforeValidator(aoi_spec)] = None
    """Area of interest: a vector file (every geometry one zone), WKT or [west, south, east, north] in EPSG:4326 degrees;
    omitted: the whole mosaic."""
    years: Annotated[tuple[Year, Year], Names] | None = None
    """First and last year, inclusive; omitted: all years of the mosaic."""
    output: Annotated[str, AfterValidator(output_location)]
    """Where the results go: a folder, or an s3:// prefix."""
    tile_size: Annotated[int, Field(ge=1, le=1 << 20)] = 1024
    """Height and width of a tile, in pixels: the mosaic's inner chunk times a power of two."""
    scores: Scores = Scores()
    """What is computed for every pixel."""
    change: Change = Change()
    """How a change is told from noise."""
    polygons: Polygons = Polygons()
    """From changed pixels to raw polygons."""
    refine: Refine = Refine()
    """From raw polygons to the published ones."""
    maps: Maps = Maps()
    """Maps made of the results."""
    variable: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")] = "embeddings"
    """Name of the array of embeddings in the mosaic."""
    quantization: Literal["signed_square", "none"] | None = None
    """How codes become vectors: signed_square (x = sign(q)(q/127.5)^2), none (values as stored); omitted: what the
    mosaic says."""
    forbidden_means_missing: bool = False
    """Take objects of the mosaic that are answered with 403 for absent, which is no data: where its bucket may not be listed, S3
    answers so of absent ones too."""

    @field_validator("years")
    @classmethod
    def _two_years(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"found {show(value)}, expected two different years, the first before the last")
        return value

    @field_validator("polygons")
    @classmethod
    def _of_a_score(cls, value: Polygons, info: ValidationInfo) -> Polygons:
        change = info.data.get("change")
        if value.outline == "contour" and change is not None and change.rule.fdr is not None:
            raise ValueError(
                "found outline: contour with an fdr, whose score differs from stratum to stratum, expected outline: pixel, "
                "or a score or quantile in change.threshold"
            )
        return value

    @field_validator("output")
    @classmethod
    def _outside_mosaic(cls, value: str, info: ValidationInfo) -> str:
        mosaic = info.data.get("mosaic")
        if mosaic is not None and f"{value}/".startswith(f"{mosaic}/"):
            raise ValueError(f"found {value}, which lies in the mosaic, expected a folder outside it")
        return value

    def canonical(self, scores_only: bool = False) -> dict[str, Any]:
        """The parameters that a result depends on, as JSON values for hashing; never the output path.

        scores_only: those that one reading of the embeddings depends on; a run that differs in others shares its scores.
        """
        if scores_only:
            kept = {"mosaic", "aoi", "years", "tile_size", "scores", "variable", "quantization", "forbidden_means_missing"}
            strata = self.change.strata
            change = {"detector": self.change.detector, "strata": strata if isinstance(strata, int) else None}
            return {**self.model_dump(mode="json", include=kept), **change}
        found = self.model_dump(mode="json", exclude={"output"})
        if isinstance(self.change.strata, str):
            found["change"]["strata"] = None  # a file counts by what it holds, not by where it lies
        return found
