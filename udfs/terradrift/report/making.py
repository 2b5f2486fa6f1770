"""How the map was made: the run file that gives it again, versions and hashes; and what the map cannot say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from terradrift.pages.html import TextTable, escaped, table
from terradrift.params import Params
from terradrift.report.read import Report

FILES = ("tables/", "maps/")
"""Published files whose hashes are shown; run.json has all."""

MAX_FILES = 40


def run_file(parameters: Mapping[str, Any]) -> str:
    """The run file of a run's parameters, as YAML; reading it gives the same parameters."""
    order = list(Params.model_fields)
    given = {name: parameters[name] for name in sorted(parameters, key=order.index)}
    return yaml.safe_dump(_without_none(given), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(part) for name, part in value.items() if part is not None}
    return value


def making(report: Report) -> str:
    """Run file, versions, input, hashes."""
    manifest, folder = report.run.manifest, report.run.folder
    source = manifest["input"]
    rows = (
        ("run", folder.run_id),
        ("scores", folder.score_id),
        ("mosaic", source["mosaic"]),
        ("sha256 of its metadata", source["metadata_sha256"]),
        ("CRS", source["crs"]),
        ("raster", "{height:,} x {width:,} pixels from row {y0:,}, column {x0:,}".format(**manifest["window"])),
    )
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    lines = "\n".join(escaped(line, sys.maxsize) for line in run_file(manifest["parameters"]).splitlines())
    files = [(name, digest) for name, digest in manifest["files"].items() if name.startswith(FILES)]
    shown = TextTable("", ("file", "sha256"), tuple(files[:MAX_FILES]))
    rest = len(manifest["files"]) - min(len(files), MAX_FILES)
    return (
        f"<p>This run file gives the map again:</p><pre>{lines}</pre>"
        f"{table(TextTable('', ('what', 'value'), rows), words=(1,))}<p>{escaped(versions)}</p>"
        f"<details><summary>Hashes of the published files</summary>{table(shown, words=(1,))}"
        f"<p>{rest:,} more in run.json.</p></details>"
    )


def limits(report: Report) -> str:
    """What must not be read into the map."""
    parameters = report.run.manifest["parameters"]
    is_trajectory = parameters["change"]["detector"] == "trajectory"
    lines = [
        "An embedding is one vector a year: nothing within a year can be told. A year of change is that year or the next.",
        "A mapped change is a change of the embedding. What changed on the ground, and why, is for a person to find out.",
    ]
    if is_trajectory:
        lines += [
            "Not found: a change undone and done again, ground that changes every year, slow drift over the whole record.",
            "unconfirmed: what only the first or the last year shows; another year will tell.",
            "The expected share of false pixels is an average over the map: neighbours err together.",
        ]
    else:
        lines.append("The detector is not calibrated: a threshold chosen elsewhere may map noise here.")
    lines.append(
        "Areas are sums of mapped pixels, errors and all. An unbiased area with its interval: terradrift sample, then evaluate."
    )
    return "<ul>" + "".join(f"<li>{escaped(line)}</li>" for line in lines) + "</ul>"
