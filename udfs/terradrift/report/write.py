"""`terradrift report`: read a finished run, write one page."""

from __future__ import annotations

from pathlib import Path

from terradrift.report.page import page
from terradrift.report.read import read_report
from terradrift.results import open_run
from terradrift.store import open_store
from terradrift.user_file import check_target, put_file

NAME = "report.html"


def write_report(out: str | Path, html: str | Path | None = None) -> Path | str:
    """Write the last published run of an output as one page, OUT/report.html unless told otherwise; gives where it is.

    Raises InputError where there is no finished run or the file cannot be written there, StoreError where a file of the run
    cannot be read. The mosaic is read for pictures of the largest changes; where it cannot be, they are left out.
    """
    run, store = open_run(out), open_store(str(out))
    if html is None and store.local_path is None:
        store.put(NAME, page(read_report(run)).encode())
        return f"{store.url}/{NAME}"
    target = Path(out) / NAME if html is None else Path(html)
    check_target(target)
    put_file(target, page(read_report(run)).encode())
    return target
