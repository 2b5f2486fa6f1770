"""Overviews of a run's rasters, or of any georeferenced Zarr v3 store into a new one beside it.

spark-submit --properties-file conf/spark-defaults.conf jobs/build_overviews.py RUN.yaml
spark-submit --properties-file conf/spark-defaults.conf jobs/build_overviews.py STORE [--method mean|max|mode] [--output NEW]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from terradrift.cli import guarded
from terradrift.errors import InputError
from terradrift.kernels.overview import METHODS
from terradrift.spark.detect_changes import run_stage
from terradrift.spark.jobs import open_stage
from terradrift.spark.overviews_job import store_overviews

STAGE = "build_overviews"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    source: Annotated[str, typer.Argument(help="Run file, or Zarr v3 group or array: folder, s3://, gs://, https://.")],
    method: Annotated[str | None, typer.Option(help="mean, max or mode; default: what suits each array.")] = None,
    output: Annotated[str | None, typer.Option(help="New store; default: SOURCE_overviews.zarr beside the source.")] = None,
) -> None:
    """Run the stage on what the stages before wrote, or make the overviews of a store."""
    if method not in (None, *METHODS):
        raise InputError(f"--method: found {method!r}; expected one of {', '.join(METHODS)}")
    if not Path(source).is_file():
        store_overviews(source, method, output)
        return
    if method or output:
        raise InputError(f"{STAGE}: found --method or --output with a run file; expected neither: it says what to do")
    with open_stage(STAGE, Path(source)) as (spark, run):
        run_stage(spark, run, STAGE)


if __name__ == "__main__":
    command = typer.main.get_command(app)
    sys.exit(guarded(lambda: command.main(args=sys.argv[1:], prog_name=STAGE, standalone_mode=False)))
