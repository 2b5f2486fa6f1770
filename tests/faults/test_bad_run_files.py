"""R7: run files that cannot be used: exit code 2, one clear line on stderr, nothing on stdout, nothing written, no Spark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from refusals import Room, refused, run_file

from terradrift.memory import TASK_MEMORY_VARIABLE
from terradrift.planning import plan_run

pytestmark = [pytest.mark.row("R7"), pytest.mark.usefixtures("no_spark")]

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "found an empty file"),
    "not YAML": ("mosaic: [", "found"),
    "not text": (b"mosaic: \xff\xfe", "not UTF-8"),
    "a list": ("- mosaic\n", "expected a mapping"),
    "a key twice": ("mosaic: a\noutput: b\nmosaic: c\n", "twice"),
    "an object": ("mosaic: !!python/object/apply:os.system [ls]\noutput: o\n", "found"),
}


@pytest.mark.parametrize("name", list(TEXTS))
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_run_file_that_is_none(capfd: pytest.CaptureFixture[str], room: Room, command: str, name: str) -> None:
    content, expected = TEXTS[name]
    path = room / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(capfd, room, [command, str(path)])
    assert line.startswith(f"{path}: ")
    assert expected in line


YAML: dict[str, tuple[str, str]] = {
    "a key twice in a section": ("scores:\n  annual: []\n  annual: []\n", "line 6: found the key 'annual' twice"),
    "an alias": ("aoi: &a [1, 2, 3, 4]\nyears: *a\n", "an alias, expected"),
    "a tab": ("scores:\n\tdistance: dot\n", "found text that is not YAML"),
    "an open quote": ("aoi: 'x\n", "found text that is not YAML"),
    "a tag": ("aoi: !env HOME\n", "found the tag '!env', expected a plain value"),
    "a key that is a number": ("1: 2\n", "expected a key of text"),
    "a key that is a list": ("[a, b]: 2\n", "expected a key of text"),
    "a NUL": ("aoi: a\0b\n", "found a control character"),
    "thirty levels": ("aoi: " + "[" * 30 + "]" * 30 + "\n", "more than 12 levels"),
    "a date for a year": ("years: [2017-01-01, 2019-01-01]\n", "years: found"),
    "two documents": ("---\naoi: x\n", "found"),
}


@pytest.mark.parametrize("name", list(YAML))
def test_yaml_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    text, expected = YAML[name]
    path = room / "run.yaml"
    path.write_text(f"mosaic: {room / 'mosaic.zarr'}\noutput: {room / 'out'}\ntile_size: 32\n{text}")
    assert expected in refused(capfd, room, ["run", str(path)])


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"tilesize": 32}, "tilesize: unknown key; did you mean 'tile_size'?"),
    "no mosaic": ({"mosaic": None}, "mosaic: found nothing"),
    "no output": ({"output": None}, "output: found nothing"),
    "Spark in the run file": ({"spark": {"memory": "4g"}}, "spark: unknown key"),
    "a mosaic that is nowhere": ({"mosaic": "nowhere.zarr"}, "found no zarr.json"),
    "a mosaic on another scheme": ({"mosaic": "ftp://host/m.zarr"}, "scheme 'ftp'"),
    "a mosaic at the metadata service": ({"mosaic": "http://169.254.169.254/latest"}, "link-local"),
    "a signed address": ({"mosaic": "https://host/m?X-Amz-Signature=canary"}, "credentials come from the environment"),
    "an array that is not there": ({"variable": "embedding"}, "the array 'embedding'"),
    "quantisation of another dtype": ({"quantization": "linear"}, "expected one of signed_square, none"),
    "a year before the mosaic": ({"years": [2016, 2018]}, "years: found 2016"),
    "a year after the mosaic": ({"years": [2017, 2025]}, "years: found 2025"),
    "years in disorder": ({"years": [2019, 2017]}, "the first before the last"),
    "one year": ({"years": [2017, 2017]}, "two different years"),
    "years as text": ({"years": "2017-2019"}, "years: found '2017-2019'"),
    "a tile that splits chunks": ({"tile_size": 48}, "use 32, 64, 128"),
    "a tile of no size": ({"tile_size": 0}, "tile_size: found 0"),
    "a tile of text": ({"tile_size": "1024"}, "tile_size: found '1024'"),
    "an unknown score": ({"scores": {"annual": ["lomedoid"]}}, "did you mean 'loo_medoid'?"),
    "a score that three years cannot give": ({"scores": {"annual": ["loo_medoid"], "robust_z": False}}, "found 3 years"),
    "a scale that three years cannot give": ({"scores": {"annual": ["difference"], "robust_z": True}}, "robust_z: false"),
    "a detector that three years cannot feed": ({"change": {"detector": "max_loo_medoid"}}, "change.detector: max_loo_medoid"),
    "an unknown detector": ({"change": {"detector": "bitemporl"}}, "did you mean 'bitemporal'?"),
    "two thresholds": ({"change": {"threshold": {"score": 1, "quantile": 0.5}}}, "exactly one of"),
    "no map CRS": ({"refine": {"crs": "EPSG:5773"}}, "refine.crs: found 'EPSG:5773'"),
    "zooms in disorder": ({"maps": {"min_zoom": 9, "max_zoom": 8}}, "from min_zoom 9"),
    "a key in capitals": ({"Mosaic": "x"}, "Mosaic: unknown key; did you mean 'mosaic'?"),
    "a near miss in scores": ({"scores": {"distanse": "dot"}}, "scores.distanse: unknown key; did you mean 'distance'?"),
    "a near miss in change": ({"change": {"treshold": {"fdr": 0.1}}}, "did you mean 'threshold'?"),
    "a near miss in polygons": ({"polygons": {"min_pixel": 8}}, "did you mean 'min_pixels'?"),
    "a near miss in maps": ({"maps": {"pmtile": True}}, "did you mean 'pmtiles'?"),
    "a near miss in refine": ({"refine": {"simplify": 7.5}}, "did you mean 'simplify_m'?"),
    "Spark's memory": ({"spark.executor.memory": "4g"}, "conf/spark-defaults.conf"),
    "a mosaic of a number": ({"mosaic": 5}, "mosaic: found 5"),
    "a mosaic of nothing": ({"mosaic": ""}, "found an empty text"),
    "a list of mosaics": ({"mosaic": ["a", "b"]}, "mosaic: found ['a', 'b']"),
    "a mosaic over plain HTTP": ({"mosaic": "http://example.org/m.zarr"}, "found http://, expected https://"),
    "a bucket of one slash": ({"mosaic": "s3:/bucket/m.zarr"}, "with one slash"),
    "a bucket without a name": ({"mosaic": "s3:///m.zarr"}, "found bucket name ''"),
    "a bucket in capitals": ({"mosaic": "s3://Bucket/m.zarr"}, "found bucket name 'Bucket'"),
    "a URL without a host": ({"mosaic": "https:///m.zarr"}, "without a host"),
    "a URL that climbs": ({"mosaic": "s3://bucket/a/../../b"}, "found '..' in the URL"),
    "a file URL of another host": ({"mosaic": "file://host/m.zarr"}, "a file URL with a host"),
    "a port of text": ({"mosaic": "https://host:x/m.zarr"}, "cannot be parsed"),
    "a mosaic whose name turns round": ({"mosaic": "m\u202ezarr"}, "U+202E"),
    "a mosaic with a line break": ({"mosaic": "a\nb"}, "U+000A"),
    "an output of a number": ({"output": 7}, "output: found 7"),
    "an output of nothing": ({"output": " "}, "found an empty text"),
    "an output on another scheme": ({"output": "ftp://host/out"}, "output: found"),
    "an output with NUL": ({"output": "a\0b"}, "U+0000"),
    "an output of 5000 letters": ({"output": "a" * 5000}, "5000 characters"),
    "a tile of true": ({"tile_size": True}, "tile_size: found true"),
    "a tile and a half": ({"tile_size": 48.5}, "tile_size: found 48.5"),
    "a negative tile": ({"tile_size": -32}, "tile_size: found -32"),
    "a tile beyond all": ({"tile_size": 1 << 40}, "tile_size: found"),
    "one year in the list": ({"years": [2017]}, "years: found"),
    "three years": ({"years": [2017, 2018, 2019]}, "years: found"),
    "a year and a half": ({"years": [2017.5, 2019]}, "years"),
    "years of text": ({"years": ["2017", "2019"]}, "found '2017'"),
    "year 0": ({"years": [0, 2019]}, "found 0"),
    "years of words": ({"years": {"from": 2017}}, "years: found"),
    "scores as a list": ({"scores": []}, "scores: found"),
    "scores as a word": ({"scores": "difference"}, "scores: found 'difference'"),
    "annual as a word": ({"scores": {"annual": "difference"}}, "scores.annual: found 'difference'"),
    "annual twice": ({"scores": {"annual": ["difference", "difference"], "robust_z": False}}, "every name once"),
    "an unknown distance": ({"scores": {"distance": "cosin"}}, "did you mean 'cosine'?"),
    "robust_z of a word": ({"scores": {"robust_z": "yes"}}, "found 'yes'"),
    "a threshold of a number": ({"change": {"threshold": 0.1}}, "change.threshold: found 0.1"),
    "no threshold in it": ({"change": {"threshold": {}}}, "found none of them"),
    "an fdr of nothing": ({"change": {"threshold": {"fdr": 0}}}, "fdr: found 0"),
    "an fdr beyond 1": ({"change": {"threshold": {"fdr": 10}}}, "fdr: found 10"),
    "an fdr of text": ({"change": {"threshold": {"fdr": "10%"}}}, "fdr: found '10%'"),
    "a score of NaN": ({"change": {"detector": "bitemporal", "threshold": {"score": float("nan")}}}, "score: found nan"),
    "an infinite score": ({"change": {"detector": "bitemporal", "threshold": {"score": float("inf")}}}, "score: found inf"),
    "a quantile of 1": ({"change": {"detector": "bitemporal", "threshold": {"quantile": 1}}}, "quantile: found 1"),
    "fdr without calibration": ({"change": {"detector": "bitemporal", "threshold": {"fdr": 0.1}}}, "is not calibrated"),
    "kinds without kinds": ({"change": {"detector": "bitemporal", "kinds": ["step"]}}, "has no kinds"),
    "an effect without calibration": ({"change": {"detector": "bitemporal", "min_effect": 0.1}}, "change.min_effect"),
    "no kinds": ({"change": {"kinds": []}}, "change.kinds: found []"),
    "an unknown kind": ({"change": {"kinds": ["stepp"]}}, "did you mean 'step'?"),
    "a negative effect": ({"change": {"min_effect": -1}}, "min_effect: found -1"),
    "high with fdr": ({"change": {"threshold": {"fdr": 0.1, "high": 3}}}, "found high with fdr"),
    "high below score": ({"change": {"detector": "bitemporal", "threshold": {"score": 2, "high": 1}}}, "below score"),
    "no strata": ({"change": {"strata": 0}}, "strata: found 0"),
    "six neighbours": ({"polygons": {"connectivity": 6}}, "connectivity: found 6"),
    "polygons of no pixel": ({"polygons": {"min_pixels": 0}}, "min_pixels: found 0"),
    "holes below nothing": ({"polygons": {"fill_holes_pixels": -1}}, "fill_holes_pixels: found -1"),
    "an unknown group": ({"polygons": {"group_by": "yearly"}}, "group_by: found 'yearly'"),
    "a CRS nobody knows": ({"refine": {"crs": "EPSG:99999"}}, "which PROJ does not know"),
    "a CRS of text": ({"refine": {"crs": "+proj=utm +zone=33"}}, "refine.crs: found"),
    "a CRS of a number": ({"refine": {"crs": 4326}}, "refine.crs: found 4326"),
    "a precision of nothing": ({"refine": {"precision_m": 0}}, "precision_m: found 0"),
    "a negative tolerance": ({"refine": {"simplify_m": -1}}, "simplify_m: found -1"),
    "parts of three corners": ({"refine": {"max_vertices": 3}}, "max_vertices: found 3"),
    "zoom 25": ({"maps": {"max_zoom": 25}}, "max_zoom: found 25"),
    "zoom -1": ({"maps": {"min_zoom": -1}}, "min_zoom: found -1"),
    "maps of a word": ({"maps": {"cog": "yes"}}, "maps.cog: found 'yes'"),
    "an array elsewhere": ({"variable": "../secret"}, "variable: found '../secret'"),
    "an array of no name": ({"variable": ""}, "variable: found ''"),
    "an area of a number": ({"aoi": 5}, "aoi: found 5"),
    "an area of words": ({"aoi": {"west": 1}}, "aoi: found"),
    "an area of true": ({"aoi": True}, "aoi: found true"),
    "an area on S3": ({"aoi": "s3://bucket/aoi.geojson"}, "aoi: "),
}  # fmt: skip


@pytest.mark.parametrize("name", list(VALUES))
def test_a_value_that_cannot_be(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    changes, expected = VALUES[name]
    line = refused(capfd, room, ["run", run_file(room, **changes)])
    assert expected in line
    assert "canary" not in line


# --- output and memory --------------------------------------------------------------------------------------------------


def test_an_output_that_is_a_file(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    (room / "out").write_text("mine")
    for output in (room / "out", room / "out" / "deeper" / "still"):
        line = refused(capfd, room, ["run", run_file(room, output=str(output))])
        assert f"output: found {output}" in line
        assert "is a file" in line


@pytest.mark.parametrize("link", [False, True])
def test_an_output_in_the_mosaic(capfd: pytest.CaptureFixture[str], room: Room, link: bool) -> None:
    if link:
        (room / "elsewhere").symlink_to(room / "mosaic.zarr")
    output = room / ("elsewhere" if link else "mosaic.zarr") / "results"
    assert "lies in the mosaic" in refused(capfd, room, ["run", run_file(room, output=str(output))])


def test_an_output_that_cannot_be_written(capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = room / "closed"
    closed.mkdir(mode=0o555)
    if os.geteuid() == 0:  # root may write everywhere
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and allowed(path, mode))
    line = refused(capfd, room, ["run", run_file(room, output=str(closed / "a" / "b"))])
    assert f"{closed} cannot be written" in line


@pytest.mark.parametrize("text", ["4 GB", "-1", "0", "1e3", "99999999999"])
def test_a_memory_allowance_that_is_none(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, text)
    assert refused(capfd, room, ["run", run_file(room)]).startswith(f"{TASK_MEMORY_VARIABLE}: found '{text}'")


def test_a_tile_beyond_the_memory_allowance_names_one_that_fits(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, "700")
    line = refused(capfd, room, ["run", run_file(room, tile_size=8192)])
    advised = int(line.split("use tile_size: ")[1].split(",")[0])
    assert 32 <= advised < 8192
    assert plan_run(run_file(room, tile_size=advised)).tile_size == advised
    enough = int(line.rsplit(f"{TASK_MEMORY_VARIABLE}=", 1)[1])
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, str(enough - 1))
    refused(capfd, room, ["run", run_file(room, tile_size=8192)])
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, str(enough))
    assert plan_run(run_file(room, tile_size=8192)).tile_size == 8192
    monkeypatch.setenv(TASK_MEMORY_VARIABLE, "3")
    assert "no smaller tile of this mosaic fits" in refused(capfd, room, ["run", run_file(room)])
