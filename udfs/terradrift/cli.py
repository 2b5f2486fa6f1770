"""The command: thin; every verb is a few calls."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from terradrift.errors import InputError, TerradriftError

app = typer.Typer(
    help="Where, when and how the ground changed: annual satellite embeddings to change maps.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERRUPTED, OUR_BUG = 130, 70

_UsageError: Any = typer.BadParameter.__bases__[0]
"""A wrong command, option or argument; typer has a click of its own and exports only this class's children."""

RunFile = Annotated[Path, typer.Argument(help="Run file (YAML).", show_default=False)]
Output = Annotated[str, typer.Argument(help="Output of a run: a folder, or an s3:// prefix.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Master = Annotated[str | None, typer.Option(help="Spark master; default: all cores of this machine.")]


@app.command()
def plan(
    run_file: RunFile,
    as_json: AsJson = False,
    with_probe: Annotated[bool, typer.Option("--probe", help="Score three tiles to measure the unit costs.")] = False,
) -> None:
    """Tiles, requests, bytes, memory and cost of a run, from metadata alone: no Spark, and no pixel without --probe."""
    from terradrift.cost import DEFAULT_UNITS, probe
    from terradrift.plan_report import describe, print_plan
    from terradrift.planning import plan_run

    found = plan_run(str(run_file))
    described = describe(found, probe(found) if with_probe else DEFAULT_UNITS)
    if as_json:
        typer.echo(json.dumps(described, indent=1))
    else:
        print_plan(described, Console())


@app.command()
def run(
    run_file: RunFile,
    master: Master = None,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Keep what is done of the same run, or do all again.")] = True,
    allow_partial: Annotated[bool, typer.Option(help="Publish although tiles failed.")] = False,
) -> None:
    """The whole job: scores, polygons, tables and maps."""
    from terradrift.spark.jobs import run_job

    run_job(run_file, master=master, resume=resume, allow_partial=allow_partial)


@app.command()
def status(out: Output, as_json: AsJson = False) -> None:
    """What is finished in an output folder, from its records alone."""
    from terradrift.status import print_status, read_status

    found = read_status(out)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        print_status(found, Console())


@app.command()
def report(
    out: Output,
    html: Annotated[Path | None, typer.Option(help="Page to write; default: OUT/report.html.", show_default=False)] = None,
) -> None:
    """One page of the last run: maps, areas by year, largest changes, thresholds, gaps, how it was made."""
    from terradrift.report import write_report

    typer.echo(f"report: {write_report(out, html)}")


@app.command()
def verify(
    out: Output, recompute: Annotated[int, typer.Option(help="Score so many random tiles again.")] = 0, as_json: AsJson = False
) -> None:
    """Read every object of an output again and compare it with its hash; exit code 4 where one differs."""
    from terradrift.verify import verify_and_tell

    verify_and_tell(out, recompute, as_json, typer.echo)


@app.command()
def clean(
    out: Output,
    keep: Annotated[int, typer.Option(min=1, help="Finished runs to keep, the latest among them.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
) -> None:
    """Remove runs and scores that the latest run does not need, and what was left half written."""
    from terradrift.clean import clean_and_tell

    clean_and_tell(out, keep, dry_run, typer.echo)


@app.command()
def sql(
    out: Output,
    query: Annotated[str | None, typer.Argument(help="One SQL statement; none opens a shell.", show_default=False)] = None,
    master: Master = None,
) -> None:
    """SQL on the result tables, with Sedona's functions."""
    from terradrift.spark.sql_shell import open_shell

    open_shell(out, query, master)


@app.command()
def scene(
    directory: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    kind: Annotated[str, typer.Option(help="quiet, tropical or agri.")] = "quiet",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 1024,
    years: Annotated[int, typer.Option(help="Number of years, the last 2025.")] = 9,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal scenes.")] = 0,
) -> None:
    """A synthetic mosaic with planted, known changes, in the layout of the public one."""
    from terradrift.scene import write_scene
    from terradrift.terminal import share_bar

    with share_bar("scene") as progress:
        write_scene(directory, kind=kind, size=size, years=years, seed=seed, progress=progress)
    typer.echo(f"scene: {directory} (mosaic.zarr, aoi.geojson, truth.parquet, truth.zarr)")


@app.command()
def sample(
    out: Output,
    size: Annotated[int, typer.Option(help="Pixels to label, such as 300.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Equal seeds give equal samples.")] = 0,
    file: Annotated[Path | None, typer.Option(help="GeoPackage to write; default: OUT/sample.gpkg.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file although it holds labels.")] = False,
) -> None:
    """A stratified random sample of the last run's pixels, to label by eye."""
    from terradrift.area_sample import draw_sample, print_sample

    print_sample(draw_sample(out, size, seed=seed, file=file, overwrite=overwrite), Console())


@app.command()
def evaluate(
    out: Output,
    truth: Annotated[Path, typer.Option(help="truth.parquet of a scene, vector file of sites with a year, or labelled sample.")],
    rest_is_stable: Annotated[bool, typer.Option("--rest-is-stable", help="The file holds every change of the area.")] = False,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Page to write: figures, curves, worst mistakes.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Table to write: metric, group, value, low, high.")] = None,
) -> None:
    """Precision, recall, false discovery rate, polygons and years of a finished run against known changes."""
    from terradrift.area_sample import estimate_area, is_labelled_sample, print_estimate

    if is_labelled_sample(truth):
        if rest_is_stable or html or parquet:
            raise InputError(f"--truth: {truth}: found a labelled sample, expected no --rest-is-stable, --html or --parquet")
        estimate = estimate_area(truth, out)
        if as_json:
            typer.echo(json.dumps(estimate.as_dict(), indent=1, allow_nan=False))
        else:
            print_estimate(estimate, Console())
        return

    from terradrift.evaluation import evaluate as evaluate_run
    from terradrift.evaluation.tables import print_evaluation

    found = evaluate_run(out, truth, rest_is_stable=rest_is_stable, html=html, parquet=parquet)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1, allow_nan=False))
    else:
        print_evaluation(found, Console())


@app.command()
def serve(
    out: Output,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: a free one.")] = 8000,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    background: Annotated[
        str | None, typer.Option(help="Map tiles under the data: a URL with {z}, {x}, {y}.", show_default=False)
    ] = None,
    cors: Annotated[
        str | None, typer.Option(help="Other origin whose pages may read the files, such as https://host.", show_default=False)
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Copy the page and its data to a folder for any web server instead.", show_default=False)
    ] = None,
) -> None:
    """The map of the last run in a browser; this machine only."""
    from terradrift.serve import export_site, find_site, serve_run

    site = find_site(out, background=background)
    if export is not None:
        files, size = export_site(site, export)
        typer.echo(f"{export}: {files:,} files, {size / 1e6:,.1f} MB; serve it with any web server that answers ranges")
        return
    serve_run(site, port=port, cors=cors, open_browser=open_browser, say=typer.echo)


@app.command()
def tiles(
    table: Annotated[Path, typer.Argument(help="GeoParquet file or folder, any CRS.", show_default=False)],
    archive: Annotated[Path, typer.Argument(help="PMTiles file to write.", show_default=False)],
    layer: Annotated[
        str | None,
        typer.Option(help="Name of the layer; default: a layer for each value of a text column `layer`, or the file's name."),
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of feature ids; default: change_id, id or fid.")] = None,
    min_zoom: Annotated[int, typer.Option(help="Smallest zoom.")] = 0,
    max_zoom: Annotated[int, typer.Option(help="Largest zoom.")] = 13,
    tile_resolution: Annotated[int, typer.Option(help="Units across a tile.")] = 4096,
    buffer: Annotated[float, typer.Option(help="Margin around each tile, as a fraction of its edge.")] = 80 / 4096,
    max_features_per_tile: Annotated[int, typer.Option(help="Of more, the smallest are left out and counted.")] = 50_000,
    max_tile_bytes: Annotated[
        int, typer.Option(help="Largest tile, compressed; the smallest features beyond are left out.")
    ] = 500_000,
    simplify: Annotated[
        str, typer.Option(help="dp (Douglas-Peucker), or snap: borders that neighbours share still meet.")
    ] = "dp",
    tolerance: Annotated[float | None, typer.Option(help="Of dp, in 4096ths of a tile's edge; default: 4.")] = None,
    thin: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME:ZOOM[:DECIMALS], repeated: below the zoom the attribute is rounded, or left out.", show_default=False
        ),
    ] = None,
    master: Master = None,
) -> None:
    """Any GeoParquet to vector tiles."""
    from terradrift.spark.tiles_job import table_to_tiles

    if simplify == "snap" and tolerance is not None:
        raise InputError(f"tolerance: found {tolerance:g} with simplify snap, expected it with dp; leave one out")
    knobs = {
        "min_zoom": min_zoom,
        "max_zoom": max_zoom,
        "tile_resolution": tile_resolution,
        "buffer": buffer,
        "max_features_per_tile": max_features_per_tile,
        "max_tile_bytes": max_tile_bytes,
        "simplify": simplify,
        **({} if tolerance is None else {"tolerance": tolerance}),
    }
    table_to_tiles(table, archive, layer=layer, id_column=id_column, thin=thin or (), master=master, **knobs)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; every expected failure is one line on stderr and the exit code of its error."""
    args = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    return guarded(lambda: typer.main.get_command(app).main(args=args, prog_name="terradrift", standalone_mode=False))


def guarded(work: Callable[[], Any]) -> int:
    """Exit code of `work`; every expected failure is one line on stderr."""
    try:
        return int(work() or 0)
    except TerradriftError as error:
        return _fail(str(error), error.exit_code)
    except typer.Exit as error:
        return error.exit_code
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "terradrift"
        return _fail(f"{error.format_message().rstrip('.')}; {command} --help says what is expected", InputError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; run again to resume", INTERRUPTED)
    except Exception:
        traceback.print_exc()
        return _fail("this is a defect of terradrift: please report it with the lines above", OUR_BUG)


def one_argument(name: str, argv: Sequence[str]) -> str:
    """The only argument of a script."""
    if len(argv) != 2:
        raise InputError(f"{name}: found {len(argv) - 1} arguments; expected one: the run file")
    return argv[1]


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    shown = "".join(character if character.isprintable() else "?" for character in line)  # names in foreign files may hold any
    sys.stderr.write(f"{shown}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
