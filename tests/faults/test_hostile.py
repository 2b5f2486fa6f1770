"""R8: input made to run code, to read other files, to leave its folder, to reach other hosts or to fill the memory."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from refusals import INSIDE, Room, feature_collection, frame, refused, run_file, write_area, write_run

import terradrift as td
from mosaics import unit_codes, write_mosaic
from terradrift.errors import InputError, StoreError
from terradrift.mosaic import ReadReport
from terradrift.params import params_from
from terradrift.store import Store

pytestmark = [pytest.mark.row("R8"), pytest.mark.usefixtures("no_spark")]

MEMORY = 250 << 20
"""What a refusal may take at most; every bomb here is a gigabyte or more."""

BOMB = 1 << 30


def peak() -> int:
    return int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)) << 10


@pytest.fixture
def bounded() -> Any:
    """Fails where the memory grew."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now
    before = peak()
    yield
    assert peak() - before < MEMORY


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """A gigabyte of zeros, packed."""
    zeros = np.zeros(BOMB, np.uint8)
    sinks = {}
    for name in ("zstd", "gzip"):  # as streams, whose frames do not say how long they are
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, name) as stream:
            stream.write(memoryview(zeros))
        sinks[name] = sink.getvalue().to_pybytes()
    return {
        "zstd that says its size": bytes(numcodecs.zstd.compress(zeros, 1)),
        "zstd that does not": sinks["zstd"],
        "gzip": sinks["gzip"],
        "blosc": bytes(numcodecs.blosc.compress(zeros, b"zstd", 1)),
    }


# --- mosaics that are refused when opened -------------------------------------------------------------------------------


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def codecs(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "configuration": {}} for name in names]


def keys(separator: str, name: str = "default") -> dict[str, Any]:
    return {"chunk_key_encoding": {"name": name, "configuration": {"separator": separator}}}


EMBEDDINGS, TIME = "embeddings/zarr.json", "time/zarr.json"

METADATA: dict[str, tuple[str, dict[str, Any]]] = {
    "pickle first": (EMBEDDINGS, {"codecs": codecs("numcodecs.pickle")}),
    "pickle last": (EMBEDDINGS, {"codecs": codecs("bytes", "numcodecs.pickle")}),
    "pickle between": (EMBEDDINGS, {"codecs": codecs("bytes", "pickle", "zstd")}),
    "JSON as a codec": (EMBEDDINGS, {"codecs": codecs("numcodecs.json2")}),
    "a codec by its module": (EMBEDDINGS, {"codecs": codecs("bytes", "os.system")}),
    "strings of any length": (EMBEDDINGS, {"codecs": codecs("vlen-bytes")}),
    "shards in shards": (
        EMBEDDINGS,
        {"codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 4, 32, 32], "codecs": codecs("sharding_indexed"), "index_codecs": codecs("bytes", "crc32c"),
        }}]},
    ),
    "an index that is packed": (
        EMBEDDINGS,
        {"codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 4, 32, 32], "codecs": codecs("bytes"), "index_codecs": codecs("bytes", "gzip"),
        }}]},
    ),
    "pickle in the years": (TIME, {"codecs": codecs("numcodecs.pickle")}),
    "pickle after the years": (TIME, {"codecs": codecs("bytes", "numcodecs.pickle")}),
    "a codec nobody knows in the years": (TIME, {"codecs": codecs("bytes", "nobody.knows")}),
    "objects for years": (TIME, {"data_type": "object"}),
    "keys that climb": (EMBEDDINGS, keys("/../../")),
    "keys that begin anew": (EMBEDDINGS, keys("//etc/")),
    "keys with NUL": (EMBEDDINGS, keys("\0")),
    "keys without separator": (EMBEDDINGS, keys("")),
    "keys of another name": (EMBEDDINGS, keys("/", "suffix")),
    "keys of years that climb": (TIME, keys("/../")),
    "years in chunks of gigabytes": (TIME, {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1 << 30]}}}),
    "a shard of a terabyte": (
        EMBEDDINGS, {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 4, 1 << 20, 1 << 20]}}},
    ),
    "a shape beyond 64 bits": (EMBEDDINGS, {"shape": [3, 4, 1 << 70, 64]}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(METADATA))
@pytest.mark.usefixtures("bounded")
def test_metadata(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    file, changes = METADATA[name]
    edit(room / "mosaic.zarr" / file, **changes)
    assert "expected" in refused(capfd, room, ["plan", run_file(room)])


@pytest.mark.usefixtures("bounded")
def test_metadata_of_gigabytes(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    os.truncate(room / "mosaic.zarr" / "zarr.json", 4 << 30)  # sparse
    assert "expected at most" in refused(capfd, room, ["plan", run_file(room)])


@pytest.mark.parametrize("packer", ["zstd that says its size", "zstd that does not", "gzip", "blosc"])
def test_years_that_fill_the_memory(capfd: pytest.CaptureFixture[str], room: Room, bombs: dict[str, bytes], packer: str) -> None:
    edit(room / "mosaic.zarr" / TIME, codecs=codecs("bytes", packer.split()[0]))
    (room / "mosaic.zarr/time/c/0").write_bytes(bombs[packer])
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    assert "time: found an array that cannot be read" in refused(capfd, room, ["plan", run_file(room)])
    assert peak() - before < MEMORY


# --- mosaics that are refused when read ---------------------------------------------------------------------------------


def read(path: Path) -> None:
    mosaic = td.open_mosaic(str(path))
    for _ in mosaic.read_blocks(mosaic.grid.window, mosaic.years, ReadReport()):
        pass


@pytest.mark.parametrize("shard", [None, 64])
@pytest.mark.parametrize("packer", ["zstd that says its size", "zstd that does not", "gzip", "blosc"])
def test_chunks_that_fill_the_memory(tmp_path: Path, bombs: dict[str, bytes], packer: str, shard: int | None) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(1, 2, 64, 64, bands=64), shard=shard)
    document = json.loads((path / EMBEDDINGS).read_text())
    holder = document["codecs"][0]["configuration"] if shard else document
    holder["codecs"] = codecs("bytes", packer.split()[0])
    (path / EMBEDDINGS).write_text(json.dumps(document))
    data = bombs[packer]
    if shard:
        index = np.full((4, 2), 2**64 - 1, "<u8")
        index[0] = 0, len(data)
        data += index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    next(file for file in (path / "embeddings/c").rglob("*") if file.is_file()).write_bytes(data)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    with pytest.raises(StoreError, match=r"m\.zarr/embeddings/c/"):
        read(path)
    assert peak() - before < MEMORY


@pytest.mark.usefixtures("bounded")
def test_a_chunk_of_ten_gigabytes(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(1, 2, 64, 64, bands=4), shard=None)
    os.truncate(next(file for file in (path / "embeddings/c").rglob("*") if file.is_file()), 10 << 30)
    with pytest.raises(StoreError, match="expected at most"):
        read(path)


INDEXES = {
    "beyond the object": (1 << 40, 100),
    "a chunk of everything": (0, 1 << 62),
    "a sum beyond 64 bits": (2**64 - 2, 100),
    "an end before the start": (2**64 - 50, 40),
    "nothing": (0, 0),
}


@pytest.mark.parametrize("name", list(INDEXES))
@pytest.mark.usefixtures("bounded")
def test_an_index_that_points_elsewhere(tmp_path: Path, name: str) -> None:
    path = write_mosaic(tmp_path / "m.zarr", unit_codes(1, 2, 64, 64, bands=4))
    file = next(file for file in (path / "embeddings/c").rglob("*") if file.is_file())
    index = np.frombuffer(file.read_bytes()[-68:-4], "<u8").reshape(-1, 2).copy()
    index[0] = INDEXES[name]
    body = index.tobytes()
    file.write_bytes(file.read_bytes()[:-68] + body + google_crc32c.value(body).to_bytes(4, "little"))
    with pytest.raises(StoreError, match=r"m\.zarr/embeddings/c/"):
        read(path)


# --- addresses ----------------------------------------------------------------------------------------------------------

ADDRESSES = [
    "ftp://host/m.zarr", "gopher://host/m", "javascript://host/x", "hdfs://host/m",
    "file://host/etc/passwd", "memory:///m", "az://c/m", "http://example.org/m", "http://10.0.0.1/m", "http://[::ffff:10.0.0.1]/m",
    "http://169.254.169.254/latest", "https://169.254.169.254/latest", "https://2852039166/latest", "https://0xa9fea9fe/latest",
    "https://0251.0376.0251.0376/latest", "https://[::ffff:169.254.169.254]/latest", "https://[fe80::1]/m", "https://[fd00:ec2::254]/m",
    "https://metadata.google.internal/m", "https://METADATA.google.internal./m", "https://100.100.100.200/m", "https://0.0.0.0/m",
    "https://0/m", "https://224.0.0.1/m", "https://\uff11\uff16\uff19.254.169.254/m", "https://169\u3002254\u3002169\u3002254/m",
    "https://%31%36%39.254.169.254/m", "https://host\\@169.254.169.254/m",
    "https://user:canary@host/m", "https://host/m?sig=canary",
    "https://host/m#canary", "s3://key:canary@bucket/m", "s3://bucket/../other/m", "https://host/%2e%2e/m", "s3://bucket/a\r\nb",
    "https://host/%0d%0aX:1/m", "s3://-/m", "gs://_x/m",
]  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_that_is_never_asked(url: str) -> None:
    with pytest.raises(InputError) as refusal:
        params_from({"mosaic": url, "output": "out"})
    assert "canary" not in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "/vsicurl/https://host/a.gpkg", "/vsis3/bucket/a.gpkg", "/vsizip//a.zip/a.shp", "/vsimem/a", "/vsistdin/",
        "/vsisubfile/0_10,/etc/passwd", "https://host/a.geojson", "s3://bucket/a.geojson", "PG:host=db password=canary",
        "MYSQL:db", "WFS:https://host", "GPKG:a.gpkg", "ADBC:file", "a\0b.gpkg",
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["aoi", "strata"])
def test_a_path_that_is_none(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, path: str, field: str
) -> None:
    write_mosaic(room / "long.zarr", unit_codes(1, 5, 64, 64, bands=4))
    monkeypatch.chdir(room)
    changes: dict[str, Any] = {"aoi": path} if field == "aoi" else {"change": {"strata": path}}
    refused(capfd, room, ["plan", run_file(room, mosaic=str(room / "long.zarr"), **changes)])


# --- areas --------------------------------------------------------------------------------------------------------------

SECRET = "canary in another file"


def zip_of_zeros(room: Room) -> str:
    with zipfile.ZipFile(room / "aoi.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("aoi.geojson", "w") as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    return str(room / "aoi.zip")


def zip_that_climbs(room: Room) -> str:
    with zipfile.ZipFile(room / "aoi.zip", "w") as archive:
        archive.writestr("../../escaped.geojson", b"{}")
    return str(room / "aoi.zip")


def repeated(room: Room, column: str) -> str:
    """Rows that share one value of a megabyte: small as a file, gigabytes as a table."""
    circle = shapely.to_wkb(shapely.Point(INSIDE.centroid).buffer(1e-4, quad_segs=16_000))
    same = pa.array(np.zeros(8000, np.int32))
    outline = circle if column == "geometry" else shapely.to_wkb(INSIDE)
    columns = {"geometry": pa.DictionaryArray.from_arrays(same, pa.array([outline]))}
    if column != "geometry":
        columns[column] = pa.DictionaryArray.from_arrays(same, pa.array(["x" * (1 << 20)]))
    table = pa.table(columns)
    column_of = {"encoding": "WKB", "geometry_types": ["Polygon"]}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column_of}}
    path = room / "aoi.parquet"
    described = table.replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(described, path, dictionary_pagesize_limit=1 << 26, store_schema=False)
    assert path.stat().st_size < 40 << 20
    return str(path)


def laughs(head: str, room: Room) -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE kml [{entities}]>{head}<Placemark><name>&a9;</name></Placemark></kml>'
    return write_area(room, "aoi.kml", text.encode())


def entity(room: Room) -> str:
    (room / "secret").write_text(SECRET)
    placemark = f"<Placemark><name>&x;</name>{kml(INSIDE)}</Placemark>"
    text = f'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY x SYSTEM "file://{room / "secret"}">]><kml>{placemark}</kml>'
    return write_area(room, "aoi.kml", text.encode())


def kml(polygon: shapely.Polygon) -> str:
    points = " ".join(f"{x},{y}" for x, y in polygon.exterior.coords)
    return f"<Polygon><outerBoundaryIs><LinearRing><coordinates>{points}</coordinates></LinearRing></outerBoundaryIs></Polygon>"


def virtual_table(room: Room) -> str:
    """A database whose only table is another file."""
    write_area(room, "secret.geojson", feature_collection(shapely.geometry.mapping(INSIDE)).encode())
    with sqlite3.connect(room / "aoi.sqlite") as database:
        database.execute("PRAGMA writable_schema=ON")
        text = f"CREATE VIRTUAL TABLE t USING VirtualOGR('{room / 'secret.geojson'}')"
        database.execute("INSERT INTO sqlite_master VALUES ('table', 't', 't', 0, ?)", (text,))
    return str(room / "aoi.sqlite")


def pipeline(room: Room) -> str:
    other = write_area(room, "secret.geojson", feature_collection(shapely.geometry.mapping(INSIDE)).encode())
    document = {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {other} ! write --of stream streamed"}
    return write_area(room, "aoi.gdalg.json", json.dumps(document).encode())


VRT = (
    '<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>/secret.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
)

AREAS: dict[str, Callable[[Room], str]] = {
    "a zip of zeros": zip_of_zeros,
    "a zip that climbs": zip_that_climbs,
    "one outline eight thousand times": lambda r: repeated(r, "geometry"),
    "one name eight thousand times": lambda r: repeated(r, "name"),
    "entities that unfold": lambda r: laughs("<kml>", r),
    "an entity of another file": entity,
    "a table that is another file": virtual_table,
    "a pipeline": pipeline,
    "a virtual layer": lambda r: write_area(r, "aoi.vrt", VRT.encode()),
    "a virtual layer by another name": lambda r: write_area(r, "aoi.geojson", b"  \n" + VRT.encode()),
    "a virtual raster": lambda r: write_area(r, "aoi.gpkg", b"<VRTDataset></VRTDataset>"),
    "a service": lambda r: write_area(r, "aoi.xml", b"<OGRWFSDataSource><URL>http://127.0.0.1:9/</URL></OGRWFSDataSource>"),
    "brackets": lambda r: write_area(r, "aoi.geojson", b'{"type":"Polygon","coordinates":' + b"[" * 200_000),
}


@pytest.mark.parametrize("name", list(AREAS))
def test_an_area(capfd: pytest.CaptureFixture[str], room: Room, name: str) -> None:
    spec = AREAS[name](room)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    line = refused(capfd, room, ["plan", run_file(room, aoi=spec)])
    assert "aoi: " in line
    assert SECRET not in line
    assert peak() - before < MEMORY
    assert not (room.parent.parent / "escaped.geojson").exists()


def test_strata_that_point_to_other_files(capfd: pytest.CaptureFixture[str], room: Room) -> None:
    write_mosaic(room / "long.zarr", unit_codes(1, 5, 64, 64, bands=4))
    band = '<VRTRasterBand dataType="Byte" band="1"/>'
    vrt = f'<VRTDataset rasterXSize="1" rasterYSize="1"><SRS>EPSG:4326</SRS>{band}</VRTDataset>'
    path = write_area(room, "classes.tif", vrt.encode())
    line = refused(capfd, room, ["plan", run_file(room, mosaic=str(room / "long.zarr"), change={"strata": path})])
    assert "cannot be read as a raster" in line


# --- our own folders ----------------------------------------------------------------------------------------------------

POINTERS = {
    "a run that climbs": {"run_id": "../../x"},
    "a run from the root": {"run_id": "/etc"},
    "a run of dots": {"run_id": ".."},
    "a run of another type": {"run_id": ["abc"]},
    "a run with NUL": {"run_id": "a\0b"},
}


@pytest.mark.parametrize("command", [["sql", "out", "SELECT 1"], ["sample", "out", "--size", "9"]])
@pytest.mark.parametrize("name", list(POINTERS))
def test_a_pointer_that_leads_out(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, name: str, command: list[str]
) -> None:
    write_run(room, json.dumps(POINTERS[name]))
    monkeypatch.chdir(room)
    refused(capfd, room, command)


@pytest.mark.parametrize("score_id", ["../../../elsewhere", "/etc", "..", "a/b"])
def test_a_manifest_that_leads_out(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, score_id: str
) -> None:
    write_run(room, '{"run_id": "abc"}', {"score_id": score_id, "years": [2017, 2018]})
    (room / "out/runs/abc/tables/change_polygons").mkdir(parents=True)
    monkeypatch.chdir(room)
    refused(capfd, room, ["sample", "out", "--size", "9"])


def test_what_is_removed_is_never_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("three years")
    (tmp_path / "out" / "runs" / "x").mkdir(parents=True)
    (tmp_path / "out" / "runs" / "x" / "table").write_text("x")
    (tmp_path / "out" / "runs" / "x" / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "out" / "runs" / "x" / "file").symlink_to(tmp_path / "mine" / "thesis")
    Store(str(tmp_path / "out")).clear("runs/x")
    assert (tmp_path / "mine" / "thesis").read_text() == "three years"
    assert not (tmp_path / "out" / "runs" / "x").exists()


def test_nothing_of_python_is_unpickled(capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a folder holds beside the mosaic, an object or a coordinate that is a pickle is bytes that do not fit."""
    payload = b"cos\nsystem\n(S'touch " + str(room / "executed").encode() + b"'\ntR."
    (room / "mosaic.zarr/time/c/0").write_bytes(payload)
    (room / "mosaic.zarr/time/.zarray").write_bytes(payload)
    (room / "mosaic.zarr/embeddings/c/0/0/0/0").write_bytes(payload + struct.pack("<I", 0))
    refused(capfd, room, ["plan", run_file(room)])
    assert not (room / "executed").exists()


LAYERS = ["a\nb", "\u202ex", " ", "x" * 300, "a\0b"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_no_map_can_name(
    capfd: pytest.CaptureFixture[str], room: Room, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    frame(INSIDE).to_parquet(room / "in.parquet")
    monkeypatch.chdir(room)
    refused(capfd, room, ["tiles", "in.parquet", "o.pmtiles", "--layer", layer])
