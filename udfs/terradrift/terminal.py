"""Progress of work without Spark, for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on stderr, to be told the share done (0 to 1); None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(file=sys.stderr)) as bars:
        bar = bars.add_task(what, total=1.0)
        yield lambda share: bars.update(bar, completed=share)
