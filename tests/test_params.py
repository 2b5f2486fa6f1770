"""The run file: what is accepted, what it becomes, and one line for everything that is not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terradrift.errors import InputError
from terradrift.kernels.annual import ANNUAL
from terradrift.kernels.detectors import CALIBRATED, DETECTORS
from terradrift.kernels.distances import DISTANCES
from terradrift.params import Params, is_wkt, json_schema, load_params, params_from

CONF = Path(__file__).parents[1] / "conf"
BASE = {"mosaic": "m.zarr", "output": "out"}
RUN = "mosaic: m.zarr\noutput: out\n"


def refusal(mapping: Mapping[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        params_from(mapping)
    return str(caught.value)


def load(tmp_path: Path, text: str | bytes) -> Params:
    file = tmp_path / "run.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_params(file)


# what stands under a key of the run file, where the message must point, and what it must say
BAD_VALUES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"mosiac": "x"}, "mosiac", ["unknown key", "did you mean 'mosaic'?", "output"]),
    ({"spark": {"memory": "4g"}}, "spark", ["unknown key", "tile_size"]),
    ({"polygons": {"min_pixel": 3}}, "polygons.min_pixel", ["unknown key; did you mean 'min_pixels'? (connectivity"]),
    ({"change": {"threshold": {"scores": 1}}}, "change.threshold.scores", ["unknown key; did you mean 'score'?"]),
    ({"polygons": {1: 2}}, "polygons", ["found the key 1", "expected a key of text"]),
    ({"mosaic": None}, "mosaic", ["found nothing", "expected text"]),
    ({"mosaic": 7}, "mosaic", ["found 7", "expected text", "Zarr v3 group"]),
    ({"mosaic": ""}, "mosaic", ["found an empty text", "expected a path"]),
    ({"mosaic": "m\0.zarr"}, "mosaic", ["found the character U+0000", "expected a path without control"]),
    ({"mosaic": "m\u202erraz"}, "mosaic", ["found the character U+202E", "bidi"]),
    ({"mosaic": "x" * 5000}, "mosaic", ["found 5000 characters", "expected a path of at most 4096"]),
    ({"mosaic": "ftp://host/m.zarr"}, "mosaic", ["found a URL with scheme 'ftp'", "expected a local path"]),
    ({"mosaic": "s3:/bucket/m"}, "mosaic", ["found s3:/ with one slash", "expected", "s3://bucket/key"]),
    ({"mosaic": "s3:///key"}, "mosaic", ["found bucket name ''", "expected s3://bucket/key"]),
    ({"mosaic": "s3://b-1/../other"}, "mosaic", ["found '..'", "expected its plain path"]),
    ({"mosaic": "s3://b-1/%2e%2e/other"}, "mosaic", ["found '..'", "expected its plain path"]),
    ({"mosaic": "https:///m.zarr"}, "mosaic", ["found a URL without a host", "expected https://host/path"]),
    ({"mosaic": "https://host:99999/m"}, "mosaic", ["found a URL that cannot be parsed", "expected"]),
    ({"mosaic": "https://[::1/m"}, "mosaic", ["found a URL that cannot be parsed", "expected"]),
    ({"mosaic": "http://example.org/m"}, "mosaic", ["found http://", "expected https://"]),
    ({"mosaic": "https://169.254.169.254/m"}, "mosaic", ["found a link-local", "expected a host that serves data"]),
    ({"mosaic": "https://2852039166/m"}, "mosaic", ["found a link-local", "expected"]),
    ({"mosaic": "https://0xA9FEA9FE/m"}, "mosaic", ["found a link-local", "expected"]),
    ({"mosaic": "https://[::ffff:169.254.169.254]/m"}, "mosaic", ["found a link-local", "expected"]),
    ({"mosaic": "https://[fe80::1]/m"}, "mosaic", ["found a link-local", "expected"]),
    ({"mosaic": "https://metadata.google.internal/m"}, "mosaic", ["found a link-local, metadata", "expected"]),
    ({"mosaic": "http://0.0.0.0/m"}, "mosaic", ["unspecified address", "expected"]),
    ({"mosaic": "https://host/m%0a"}, "mosaic", ["found the character U+000A", "expected"]),
    ({"mosaic": "file://host/m.zarr"}, "mosaic", ["found a file URL with a host", "expected file:///path"]),
    ({"output": None}, "output", ["found nothing", "expected text"]),
    ({"output": "gs://bucket/x"}, "output", ["found a URL with scheme 'gs'", "expected a local path or s3://bucket/prefix"]),
    ({"output": "s3://k:v@bucket/x"}, "output", ["found user information in the URL", "expected none"]),
    ({"output": "https://host/x"}, "output", ["found a URL with scheme 'https'", "expected a local path"]),
    ({"output": "m.zarr/results"}, "output", ["lies in the mosaic", "expected a folder outside it"]),
    ({"aoi": "https://host/a.geojson"}, "aoi", ["found a URL", "expected a local path"]),
    ({"aoi": "/vsicurl/https://host/a.geojson"}, "aoi", ["found a GDAL virtual path", "expected a local path"]),
    ({"aoi": [1, 2, 3]}, "aoi", ["found [1, 2, 3]", "expected a vector file, WKT or [west, south, east, north]"]),
    ({"aoi": [1, 2, 3, True]}, "aoi", ["found [1, 2, 3, true]", "expected"]),
    ({"aoi": [1, 2, 3, float("nan")]}, "aoi", ["found [1, 2, 3, nan]", "expected"]),
    ({"aoi": {"west": 1}}, "aoi", ["found {'west': 1}", "expected"]),
    ({"aoi": ""}, "aoi", ["found an empty text", "expected a path"]),
    ({"years": 2017}, "years", ["found 2017", "expected [an integer >= 1900"]),
    ({"years": [2017]}, "years", ["found [2017]", "expected [an integer"]),
    ({"years": [2017, 2018, 2019]}, "years", ["found [2017, 2018, 2019]", "expected [an integer"]),
    ({"years": [2017, 2017]}, "years", ["found [2017, 2017]", "expected two different years"]),
    ({"years": [2020, 2017]}, "years", ["found [2020, 2017]", "the first before the last"]),
    ({"years": [17, 25]}, "years", ["found 17", "expected an integer >= 1900"]),
    ({"years": ["2017", 2018]}, "years", ["found '2017'", "expected an integer"]),
    ({"years": [2017.5, 2018]}, "years", ["found 2017.5", "expected an integer"]),
    ({"tile_size": 0}, "tile_size", ["found 0", "expected an integer >= 1", "pixels"]),
    ({"tile_size": 1024.0}, "tile_size", ["found 1024.0", "expected an integer"]),
    ({"tile_size": True}, "tile_size", ["found true", "expected an integer"]),
    ({"tile_size": 10**5000}, "tile_size", ["found an integer of 16610 bits", "expected an integer"]),
    ({"scores": None}, "scores", ["found nothing", "expected a mapping with the keys distance, annual, robust_z"]),
    ({"scores": {"distance": "cosin"}}, "scores.distance", ["unknown distance 'cosin'; did you mean 'cosine'?"]),
    ({"scores": {"annual": ["lomedoid"]}}, "scores.annual", ["unknown score 'lomedoid'; did you mean 'loo_medoid'?"]),
    ({"scores": {"annual": "difference"}}, "scores.annual", ["found 'difference'", "expected a list of"]),
    ({"scores": {"annual": ["difference"] * 2}}, "scores.annual", ["found ['difference'", "expected every name once"]),
    ({"scores": {"robust_z": "yes"}}, "scores.robust_z", ["found 'yes'", "expected true or false"]),
    ({"change": {"detector": "trajectry"}}, "change.detector", ["unknown detector 'trajectry'; did you mean 'trajectory'?"]),
    ({"change": {"threshold": 0.2}}, "change.threshold", ["found 0.2", "expected a mapping with the keys fdr, score"]),
    ({"change": {"threshold": {}}}, "change.threshold", ["found none of them", "expected exactly one of fdr"]),
    ({"change": {"threshold": {"high": 0.5}}}, "change.threshold", ["found none of them", "expected exactly one of fdr"]),
    ({"change": {"threshold": {"fdr": 0.1, "high": 0.5}}}, "change.threshold", ["found high with fdr", "expected it with score"]),
    ({"change": {"threshold": {"score": 0.4, "high": 0.2}}}, "change.threshold", ["found high 0.2 below score 0.4"]),
    (
        {"change": {"threshold": {"score": 1, "quantile": 0.5}}},
        "change.threshold",
        ["found score and quantile", "exactly one"],
    ),
    (
        {"change": {"detector": "bitemporal", "threshold": {"fdr": 0.1}}},
        "change.threshold",
        ["found fdr", "expected score or quantile", "'bitemporal' is not calibrated"],
    ),
    ({"change": {"threshold": {"fdr": 0}}}, "change.threshold.fdr", ["found 0", "expected a number > 0 and < 1"]),
    ({"change": {"threshold": {"fdr": 10}}}, "change.threshold.fdr", ["found 10", "expected a number > 0 and < 1"]),
    (
        {"change": {"threshold": {"quantile": 1}}},
        "change.threshold.quantile",
        ["found 1", "expected a number > 0 and < 1"],
    ),
    ({"change": {"threshold": {"score": float("inf")}}}, "change.threshold.score", ["found inf", "expected a number"]),
    (
        {"change": {"detector": "bitemporal", "min_effect": 0.05}},
        "change.min_effect",
        ["found 0.05", "expected nothing", "has no kinds"],
    ),
    (
        {"change": {"detector": "max_difference", "kinds": ["step"]}},
        "change.kinds",
        ["found ['step']", "expected nothing", "has no kinds"],
    ),
    ({"change": {"detector": "max_loo_medoid", "strata": 3}}, "change.strata", ["found 3", "expected nothing"]),
    ({"change": {"min_effect": -0.1}}, "change.min_effect", ["found -0.1", "expected a number >= 0 and <= 2"]),
    ({"change": {"kinds": []}}, "change.kinds", ["found []", "expected"]),
    ({"change": {"kinds": ["none"]}}, "change.kinds", ["unknown kind 'none'"]),
    ({"change": {"kinds": ["step", "step"]}}, "change.kinds", ["expected every name once"]),
    ({"change": {"strata": 0}}, "change.strata", ["found 0", "expected", "64"]),
    ({"change": {"strata": 65}}, "change.strata", ["found 65", "expected", "64"]),
    ({"change": {"kinds": ["stap"]}}, "change.kinds", ["unknown kind 'stap'; did you mean 'step'?"]),
    ({"polygons": {"connectivity": 6}}, "polygons.connectivity", ["found 6", "expected one of 4, 8"]),
    ({"polygons": {"min_pixels": 0}}, "polygons.min_pixels", ["found 0, expected an integer >= 1", "in pixels"]),
    ({"polygons": {"fill_holes_pixels": -1}}, "polygons.fill_holes_pixels", ["found -1", "expected an integer >= 0"]),
    ({"polygons": {"outline": "smooth"}}, "polygons.outline", ["found 'smooth'", "expected one of pixel, contour"]),
    (
        {"polygons": {"outline": "contour", "group_by": "year"}, "change": {"threshold": {"score": 0.2}}},
        "polygons.outline",
        ["found contour with group_by: year", "expected pixel"],
    ),
    (
        {"polygons": {"outline": "contour"}},
        "polygons",
        ["found outline: contour with an fdr", "expected outline: pixel, or a score or quantile in change.threshold"],
    ),
    ({"polygons": {"group_by": "zone"}}, "polygons.group_by", ["found 'zone'", "expected one of none, year, kind"]),
    ({"refine": {"crs": "EPSG:999999"}}, "refine.crs", ["found 'EPSG:999999'", "expected an authority's code"]),
    ({"refine": {"crs": 4326}}, "refine.crs", ["found 4326", "expected text"]),
    ({"refine": {"crs": "+init=/etc/passwd:1"}}, "refine.crs", ["found '+init=/etc/passwd:1'", "expected"]),
    ({"refine": {"crs": "EPSG:4979"}}, "refine.crs", ["found 'EPSG:4979'", "two-dimensional", "expected"]),
    ({"refine": {"crs": "EPSG:5773"}}, "refine.crs", ["found 'EPSG:5773'", "expected"]),
    ({"refine": {"simplify_m": -1}}, "refine.simplify_m", ["found -1", "expected a number >= 0", "metres"]),
    ({"refine": {"simplify_m": 10**400}}, "refine.simplify_m", ["found an integer of 1329 bits", "expected a number"]),
    ({"refine": {"precision_m": 0}}, "refine.precision_m", ["found 0", "expected a number > 0", "metres"]),
    ({"refine": {"max_vertices": 4}}, "refine.max_vertices", ["found 4", "expected an integer >= 5"]),
    ({"maps": {"max_zoom": 19}}, "maps.max_zoom", ["found 19", "expected an integer >= 0 and <= 18"]),
    ({"maps": {"min_zoom": 15}}, "maps.max_zoom", ["found 13", "expected an integer from min_zoom 15"]),
    ({"maps": {"cog": 1}}, "maps.cog", ["found 1", "expected true or false"]),
    ({"variable": "../secret"}, "variable", ["found '../secret'", "expected text that matches"]),
    ({"quantization": "linear"}, "quantization", ["found 'linear'", "expected one of signed_square, none"]),
]


@pytest.mark.parametrize(("change", "field", "fragments"), BAD_VALUES, ids=[case[1] for case in BAD_VALUES])
def test_a_bad_value_is_one_line_that_says_where_found_expected(change: dict[str, Any], field: str, fragments: list[str]) -> None:
    message = refusal({**BASE, **change})
    assert message.isprintable()
    assert message.startswith(f"parameters: {field}: ")
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 400


BAD_FILES: list[tuple[str, bytes, list[str]]] = [
    ("empty", b"", ["found an empty file", "expected a mapping"]),
    ("comments alone", b"# nothing\n", ["found an empty file", "expected a mapping"]),
    ("list", b"- mosaic\n- output\n", ["found ['mosaic', 'output']", "expected a mapping"]),
    ("text", b"mosaic\n", ["found 'mosaic'", "expected a mapping"]),
    ("not UTF-8", b"mosaic: \xff\xfe\n", ["found a byte at 8 that is not UTF-8", "expected UTF-8"]),
    ("control character", b"mosaic: m\noutput: a\x07b\n", ["line 2", "found a control character", "expected"]),
    ("syntax", RUN.encode() + b"aoi: [1, 2\nyears: x\n", ["line 4", "found", "expected"]),
    ("tab", RUN.encode() + b"polygons:\n\tmin_pixels: 3\n", ["line 4", "found", "expected YAML lines"]),
    ("two documents", RUN.encode() + b"---\na: 1\n", ["line 3", "found", "expected"]),
    ("duplicate key", RUN.encode() + b"mosaic: other\n", ["line 3: found the key 'mosaic' twice", "expected"]),
    ("nested duplicate", RUN.encode() + b"maps: {cog: true, cog: false}\n", ["line 3: found the key 'cog' twice"]),
    ("alias", b"mosaic: &m m.zarr\noutput: *m\n", ["line 2: found an alias", "expected"]),
    (
        "alias bomb",
        b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(50)),
        ["line 2: found an alias", "expected"],
    ),
    ("deep", b"mosaic: " + b"[" * 50_000, ["line 1: found more than 12 levels", "expected"]),
    ("number as key", RUN.encode() + b"1: 2\n", ["line 3: found the key '1', expected a key of text", "expected"]),
    ("list as key", RUN.encode() + b"? [a, b]\n: 2\n", ["line 3: found a key of several values", "expected"]),
    ("object tag", b"mosaic: !!python/object/apply:os.system [ls]\noutput: o\n", ["line 1: found", "expected"]),
    ("impossible date", RUN.encode() + b"years: 2017-13-45\n", ["line 3: found", "'2017-13-45'", "expected"]),
    ("huge integer", RUN.encode() + b"tile_size: " + b"9" * 5000 + b"\n", ["line 3: found", "expected"]),
    ("broken integer", RUN.encode() + b"tile_size: !!int ''\n", ["line 3: found", "expected"]),
    ("too long", b"#" * (1 << 20) + b"\n", ["found more than 1048576 bytes", "expected a run file of at most 1 MiB"]),
]


@pytest.mark.parametrize(("text", "fragments"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_one_line_that_says_where_found_expected(tmp_path: Path, text: bytes, fragments: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'run.yaml'}: ")
    assert message.isprintable()
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("absent.yaml", "found no such file"),
        (".", "found a directory"),
        ("fifo", "found something that is no regular file"),
        ("a\0b", "found no such file"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_path_without_a_file(tmp_path: Path, path: str, fragment: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError) as caught:
        load_params(f"{tmp_path}/{path}")
    assert fragment in str(caught.value)
    assert "expected a run file" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_message_never_repeats_credentials() -> None:
    for mosaic in (
        "https://user:canary@host/m",
        "https://host/m?X-Amz-Signature=canary",
        "s3://canary:canary@bucket/m",
    ):
        message = refusal({**BASE, "mosaic": mosaic})
        assert "canary" not in message
        assert "credentials come from the environment" in message


def test_several_faults_name_the_unknown_key_first_and_count_the_rest() -> None:
    message = refusal({"mosiac": "m", "output": "o", "tile_size": 0})
    assert message.startswith("parameters: mosiac: unknown key")
    assert message.endswith("(and 2 more)")


@pytest.mark.parametrize("found", [None, 3, "text", [1]])
def test_parameters_are_a_mapping(found: object) -> None:
    with pytest.raises(InputError, match="expected a mapping"):
        params_from(found)  # type: ignore[arg-type]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
junk = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4), max_leaves=8)


@given(key=st.sampled_from([*Params.model_fields, "change", "scores"]), inner=st.text(max_size=8) | st.none(), value=junk)
@settings(max_examples=150, deadline=None)
def test_whatever_stands_under_a_key_is_accepted_or_refused_in_one_line(key: str, inner: str | None, value: Any) -> None:
    try:
        params = params_from({**BASE, key: value if inner is None else {inner: value}})
    except InputError as error:
        message = str(error)
        assert message.isprintable()
    else:
        assert params_from(params.model_dump()) == params


@given(text=st.text(alphabet="ab:-[]{}&*!?|>%@,'\"#\n\t 0129.~<", max_size=60) | st.binary(max_size=40))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_is_refused_in_one_line(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert str(caught.value).isprintable()


def test_defaults() -> None:
    params = params_from(BASE)
    assert (params.aoi, params.years, params.quantization, params.variable) == (None, None, None, "embeddings")
    assert params.tile_size == 1024
    assert (params.scores.distance, params.scores.annual, params.scores.robust_z) == (
        "cosine",
        ("difference", "loo_medoid"),
        True,
    )
    assert (params.change.detector, params.change.rule.name, params.change.rule.fdr) == ("trajectory", "fdr", 0.10)
    assert (params.change.min_effect, params.change.strata) == (0.05, 12)
    assert params.change.kinds == ("step", "ramp", "unconfirmed")
    assert (params.polygons.connectivity, params.polygons.min_pixels, params.polygons.group_by) == (4, 8, "none")
    assert (params.refine.crs, params.refine.simplify_m, params.refine.max_vertices) == ("EPSG:4326", 7.5, 256)
    assert (params.maps.min_zoom, params.maps.max_zoom, params.maps.pmtiles, params.maps.cog) == (4, 13, True, True)


@pytest.mark.parametrize("detector", [name for name in DETECTORS if name not in CALIBRATED])
def test_defaults_of_detectors_without_kinds(detector: str) -> None:
    change = params_from({**BASE, "change": {"detector": detector}}).change
    assert (change.rule.name, change.rule.score) == ("score", 0.2)
    assert (change.min_effect, change.kinds, change.strata) == (None, None, None)


def test_what_was_set_can_be_told_from_defaults() -> None:
    assert params_from(BASE).scores.model_fields_set == set()
    assert params_from({**BASE, "scores": {"annual": []}}).scores.model_fields_set == {"annual"}
    assert params_from({**BASE, "scores": {"annual": []}}).scores.annual == ()


def test_parameters_are_frozen() -> None:
    params = params_from(BASE)
    with pytest.raises(pydantic.ValidationError):
        params.tile_size = 3
    assert hash(params) == hash(params_from(BASE))


def test_local_paths_are_absolute_and_urls_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = params_from({"mosaic": "a/../m.zarr", "aoi": "zones.gpkg", "output": "out/"})
    assert (params.mosaic, params.aoi, params.output) == (
        f"{tmp_path}/m.zarr",
        f"{tmp_path}/zones.gpkg",
        f"{tmp_path}/out",
    )
    for url, kept in {
        "s3://us-west-2.opendata.source.coop/tge-labs/aef-mosaic/": "s3://us-west-2.opendata.source.coop/tge-labs/aef-mosaic",
        "gs://my_bucket/m.zarr": "gs://my_bucket/m.zarr",
        "https://data.example.org/m.zarr": "https://data.example.org/m.zarr",
        "https://10.1.2.3:8443/m.zarr": "https://10.1.2.3:8443/m.zarr",
        "http://127.0.0.1:9000/m.zarr": "http://127.0.0.1:9000/m.zarr",
        "http://localhost/m.zarr": "http://localhost/m.zarr",
        "http://[::1]:80/m.zarr": "http://[::1]:80/m.zarr",
        "file:///data/my%20m.zarr": "/data/my m.zarr",
        "odd:name.zarr": f"{tmp_path}/odd:name.zarr",
    }.items():
        assert params_from({**BASE, "mosaic": url}).mosaic == kept


def test_the_area_of_interest_is_a_file_wkt_or_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    polygon = "POLYGON((0 0, 1 0, 1 1, 0 0))"
    assert params_from({**BASE, "aoi": polygon}).aoi == polygon
    assert params_from({**BASE, "aoi": [-1, 50, 2.5, 51]}).aoi == (-1.0, 50.0, 2.5, 51.0)
    assert params_from({**BASE, "aoi": "polygons.geojson"}).aoi == f"{tmp_path}/polygons.geojson"
    assert [
        is_wkt(text) for text in ("multipolygon z (((", "POLYGON EMPTY", "SRID=4326;POINT(1 2)", "points.shp", "polygon")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("text", ["EPSG:3035", "epsg:3035", "urn:ogc:def:crs:EPSG::3035", "ETRS89-extended / LAEA Europe"])
def test_a_crs_becomes_its_code(text: str) -> None:
    assert params_from({**BASE, "refine": {"crs": text}}).refine.crs == "EPSG:3035"


@pytest.mark.parametrize(
    ("key", "names"),
    [("distance", DISTANCES), ("detector", DETECTORS), ("annual", ANNUAL)],
    ids=["distance", "detector", "annual"],
)
def test_every_name_in_a_dict_of_kernels_is_accepted(key: str, names: Mapping[str, object]) -> None:
    for name in names:
        section = "change" if key == "detector" else "scores"
        params = params_from({**BASE, section: {key: [name] if key == "annual" else name}})
        assert getattr(getattr(params, section), key) == ((name,) if key == "annual" else name)


def test_yaml_numbers_are_numbers(tmp_path: Path) -> None:
    params = load(tmp_path, RUN + "change: {threshold: {score: 2e-1}}\nrefine: {simplify_m: 7, precision_m: 1E-2}\n")
    assert params.change.rule.score == 0.2
    assert (params.refine.simplify_m, params.refine.precision_m) == (7.0, 0.01)


def test_yaml_none_is_a_name_and_null_is_omitted(tmp_path: Path) -> None:
    params = load(tmp_path, "\ufeff" + RUN + "quantization: none\naoi: null\npolygons: {group_by: none}\n")
    assert (params.quantization, params.aoi, params.polygons.group_by) == ("none", None, "none")


def test_a_dump_reads_back_equal(tmp_path: Path) -> None:
    params = params_from({**BASE, "aoi": [0, 1, 2, 3], "years": [2018, 2020], "change": {"threshold": {"quantile": 0.99}}})
    assert params_from(params.model_dump()) == params
    assert params_from(json.loads(params.model_dump_json())) == params
    assert load(tmp_path, yaml.safe_dump(params.model_dump(mode="json"))) == params


def test_canonical_parameters_are_those_a_result_depends_on() -> None:
    params = params_from(BASE)
    assert "output" not in params.canonical()
    assert params.canonical() == params_from({**BASE, "output": "elsewhere"}).canonical()
    assert json.dumps(params.canonical()) == json.dumps(params_from(params.model_dump()).canonical())
    assert sorted(params.canonical(scores_only=True)) == [
        "aoi",
        "detector",
        "forbidden_means_missing",
        "mosaic",
        "quantization",
        "scores",
        "strata",
        "tile_size",
        "variable",
        "years",
    ]


@pytest.mark.parametrize(
    ("change", "same_scores"),
    [
        ({"years": [2017, 2020]}, False),
        ({"forbidden_means_missing": True}, False),
        ({"aoi": [0, 0, 1, 1]}, False),
        ({"scores": {"distance": "dot"}}, False),
        ({"change": {"detector": "max_difference"}}, False),
        ({"change": {"strata": 3}}, False),
        ({"change": {"threshold": {"score": 0.3}}}, True),
        ({"change": {"threshold": {"fdr": 0.2}}}, True),
        ({"change": {"min_effect": 0.1}}, True),
        ({"change": {"kinds": ["step"]}}, True),
        ({"polygons": {"min_pixels": 9}}, True),
        ({"refine": {"simplify_m": 0}}, True),
        ({"maps": {"cog": False}}, True),
    ],
    ids=str,
)
def test_what_changes_a_run_and_what_its_scores(change: dict[str, Any], same_scores: bool) -> None:
    one, other = params_from(BASE), params_from({**BASE, **change})
    assert one.canonical() != other.canonical()
    assert (one.canonical(scores_only=True) == other.canonical(scores_only=True)) is same_scores


def walk(node: Any) -> list[dict[str, Any]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) else []) + [found for child in children for found in walk(child)]


def test_the_schema_is_valid_and_describes_every_field() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    fields = [field for node in walk(schema) if "additionalProperties" in node for field in node["properties"].items()]
    assert len(fields) > 30
    assert [name for name, field in fields if not field.get("description")] == []
    assert {name for name, field in fields if name.endswith("_m") and "metres" not in field["description"]} == set()
    assert {name for name, field in fields if name.endswith("_pixels") and "pixels" not in field["description"]} == set()


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.name)
def test_the_run_files_we_ship_load_and_satisfy_the_schema(file: Path) -> None:
    params = load_params(file)
    validator = jsonschema.Draft202012Validator(json_schema())
    assert list(validator.iter_errors(yaml.safe_load(file.read_text()))) == []
    assert list(validator.iter_errors(params.model_dump(mode="json"))) == []
    assert params.output.endswith(f"results/{file.stem}")


@pytest.mark.parametrize(
    "change",
    [
        {"mosiac": "x"},
        {"years": [2017]},
        {"scores": {"distance": "x"}},
        {"change": {"threshold": {}}},
        {"tile_size": "1"},
    ],
    ids=str,
)
def test_the_schema_refuses_too(change: dict[str, Any]) -> None:
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors({**BASE, **change}))


def test_the_shipped_schema_is_the_models() -> None:
    shipped = Path(__file__).parents[1] / "conf" / "run.schema.json"
    assert json.loads(shipped.read_text()) == json.loads(json.dumps(json_schema()))
