"""Copy the page and what it reads of a run into a folder that any web server or bucket can serve as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from terradrift.errors import InputError
from terradrift.ledger import latest_run
from terradrift.serve.site import Site

SETTINGS = "viewer.json"


def export_site(site: Site, folder: Path) -> tuple[int, int]:
    """Write the site into `folder`, which is new, empty or an earlier copy; gives files and bytes.

    The mosaic is not copied. Raises InputError where the folder holds something else.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).is_file())):
        raise InputError(f"--export: found {folder} with other files in it; expected a new or empty folder, or an earlier copy")
    if folder.resolve().is_relative_to(site.output):
        raise InputError(f"--export: found {folder} inside the output {site.output}; expected a folder outside it")
    shutil.rmtree(folder, ignore_errors=True)
    files, size = 0, 0
    for source, name in _files(site):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        files, size = files + 1, size + target.stat().st_size
    settings = {**site.settings(), "mosaic": None, "variable": None}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1))  # last: a folder that has it is whole
    return files + 1, size


def _files(site: Site) -> Iterator[tuple[Path, str]]:
    """(file, name in the copy) of all that the page reads."""
    run = latest_run(site.output)
    for root, prefix in ((site.page, ""), (run.scores / "scores.zarr", "output/"), (run.maps, "output/")):
        base = site.page if not prefix else site.output
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path, prefix + path.relative_to(base).as_posix()
    for path in (site.output / "latest.json", run.path / "run.json"):
        yield path, "output/" + path.relative_to(site.output).as_posix()
