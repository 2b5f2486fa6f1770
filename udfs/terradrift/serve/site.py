"""What is shown: the built page, a finished run, its mosaic where it is a local folder, and a background map if one is named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from terradrift.errors import InputError
from terradrift.ledger import RunFolder, latest_run, read_manifest
from terradrift.store import Store

PAGE = Path(__file__).resolve().parent.parent / "viewer_page"
"""Where `make viewer` puts the built page: index.html and what it loads, nothing else."""


@dataclass(frozen=True)
class Site:
    """Folders of one viewer."""

    page: Path
    run: RunFolder
    """The finished run."""
    mosaic: Path | None = None
    """The run's mosaic, where it is a folder of this machine."""
    mosaic_arrays: tuple[str, ...] = ()
    """The only arrays of the mosaic that are served."""
    background: str | None = None
    """URL template of map tiles with {z}, {x} and {y}."""

    @property
    def missing_page(self) -> str | None:
        """What to do where the page was not built; None where it is there."""
        index = self.page / "index.html"
        if index.is_file():
            return None
        return (
            f"viewer page: found no {index}; expected the built page; run `make viewer` (it needs npm and its registry). "
            "`terradrift report` makes a page without it"
        )

    @property
    def output(self) -> Store:
        """Where the run's output lies."""
        return self.run.store

    def settings(self) -> dict[str, str | None]:
        """viewer.json, what the page reads first: where things lie, relative to it."""
        return {
            "output": "output/",
            "mosaic": "mosaic/" if self.mosaic else None,
            "variable": self.mosaic_arrays[0] if self.mosaic else None,
            "background": self.background,
        }

    @property
    def background_origin(self) -> str | None:
        """Scheme and host of the background map."""
        if self.background is None:
            return None
        parts = urlsplit(self.background)
        return f"{parts.scheme}://{parts.netloc}"


def find_site(out: Path | str, *, background: str | None = None, page: Path = PAGE) -> Site:
    """The viewer of the last finished run in `out`.

    Raises InputError where there is no finished run.
    """
    run = latest_run(out)
    mosaic, arrays = _local_mosaic(run)
    return Site(page, run, mosaic, arrays, _checked_background(background))


def _local_mosaic(run: RunFolder) -> tuple[Path | None, tuple[str, ...]]:
    """The mosaic of a run and its array of embeddings, where it is a Zarr group in a folder of this machine."""
    manifest = read_manifest(run)
    where = str(manifest.get("input", {}).get("mosaic", ""))
    variable = str(manifest.get("parameters", {}).get("variable", "embeddings"))
    scheme = urlsplit(where).scheme
    if not where or scheme not in ("", "file") or not re.fullmatch(r"\w[\w.-]*", variable):
        return None, ()
    folder = Path(urlsplit(where).path if scheme else where)
    try:  # a run.json of somebody else may name any folder: only a Zarr group is taken for a mosaic
        group, array = (json.loads((folder / name / "zarr.json").read_bytes()) for name in ("", variable))
        is_mosaic = group["node_type"] == "group" and array["node_type"] == "array" and len(array["shape"]) == 4
    except (OSError, ValueError, KeyError, TypeError):
        return None, ()
    return (folder.resolve(), (variable, "time", "band")) if is_mosaic else (None, ())


def _checked_background(template: str | None) -> str | None:
    if template is None:
        return None
    try:
        parts = urlsplit(template)
        is_web = parts.scheme in ("http", "https") and re.fullmatch(r"[\w.:\[\]-]+", parts.netloc) is not None
    except ValueError:
        is_web = False
    if not is_web or any(name not in template for name in ("{z}", "{x}", "{y}")):
        raise InputError(
            f"--background: found {template!r}; expected a URL of map tiles such as https://tiles.example.org/{{z}}/{{x}}/{{y}}.png"
        )
    return template
