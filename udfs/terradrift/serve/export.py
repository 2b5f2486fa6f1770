"""Copy the page and what it reads of a run into a folder that any web server or bucket can serve as it is."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from terradrift.errors import InputError, SetupError
from terradrift.serve.site import Site
from terradrift.store import Store, open_store
from terradrift.zarr_chunks import ABSENT, encode_index, shard_name
from terradrift.zarr_layout import own_layout

SETTINGS = "viewer.json"


def export_site(site: Site, folder: Path) -> tuple[int, int]:
    """Write the site into `folder`, which is new, empty or an earlier copy; gives files and bytes.

    The mosaic is not copied. Raises InputError where the folder holds something else, SetupError where the page was not built.
    """
    if (missing := site.missing_page) is not None:
        raise SetupError(missing)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).is_file())):
        raise InputError(f"--export: found {folder} with other files in it; expected a new or empty folder, or an earlier copy")
    output = site.output.local_path
    if output is not None and folder.resolve().is_relative_to(output.resolve()):
        raise InputError(f"--export: found {folder} inside the output {output}; expected a folder outside it")
    shutil.rmtree(folder, ignore_errors=True)
    files, size = 0, 0
    for store, key, name in _objects(site):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (found := store.copy_to(key, target)) != target:
            shutil.copyfile(found, target)
        files, size = files + 1, size + target.stat().st_size
    for name, data in _empty_shards(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        files, size = files + 1, size + len(data)
    settings = {**site.settings(), "mosaic": None, "variable": None}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1))  # last: a folder that has it is whole
    return files + 1, size


def _objects(site: Site) -> Iterator[tuple[Store, str, str]]:
    """(store, key, name in the copy) of all that the page reads."""
    page, output, run = open_store(str(site.page)), site.output, site.run
    scores, path = f"scores/{run.score_id}", f"runs/{run.run_id}"
    for store, prefix, to in (
        (page, "", ""),
        (output, f"{scores}/scores.zarr", "output/"),
        (output, f"{path}/change.zarr", "output/"),
        (output, f"{path}/maps", "output/"),
    ):
        yield from ((store, key, to + key) for key in sorted(store.keys(prefix)) if not key.rpartition("/")[2].startswith("."))
    yield from ((output, key, f"output/{key}") for key in ("latest.json", f"{path}/run.json"))


def _empty_shards(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The shards of the copied rasters that are not there: of each missing one a browser would tell as of an error."""
    for path in sorted(folder.glob("output/**/*.zarr/*/*/zarr.json")):
        data, array = path.read_bytes(), path.parent.relative_to(folder).as_posix()
        if json.loads(data)["codecs"][0]["name"] != "sharding_indexed":
            continue
        layout = own_layout(array, data, str(path))
        empty = encode_index(np.full((math.prod(layout.chunks_per_shard), 2), ABSENT, np.uint64))
        for at in np.ndindex(*(math.ceil(n / side) for n, side in zip(layout.shape, layout.shard, strict=True))):
            if not (folder / layout.key(at)).exists():
                name = shard_name(layout.key(at).rpartition(".zarr/")[2]) if layout.named else b""
                yield layout.key(at), name + empty
