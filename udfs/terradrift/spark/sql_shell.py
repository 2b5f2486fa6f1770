"""SQL by the person at the keyboard: one statement, or a shell."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table
from rich.text import Text

from terradrift.errors import InputError, TerradriftError
from terradrift.ledger import latest_run
from terradrift.spark.session import FAST_START, explained, spark_session
from terradrift.spark.tables import register_tables, run_query

MAX_ROWS = 1000
MAX_TEXT = 80

PIPE_WIDTH = 10_000
"""Characters of a line that nobody looks at on a terminal: no value of a table is cut there."""

PROMPT = "terradrift> "


def open_shell(out: str, query: str | None, master: str | None = None) -> None:
    """Answer one query, or statements from stdin until `quit`. Raises InputError for a query that Spark cannot read."""
    _check_tables(out)
    is_ours = SparkSession.getActiveSession() is None
    with spark_session("terradrift sql", master, FAST_START if master is None else {}) as spark:
        if is_ours:
            spark.sparkContext.setLogLevel("OFF")  # what failed is told in one line, not for each of four attempts
        with explained():
            names = register_tables(spark, out)
        console = Console(file=sys.stdout, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
        if query is not None:
            _answer(spark, query, console)
            return
        console.print(f"tables: {', '.join(names)}; end a statement with ; and leave with quit;")
        for statement in _statements():
            try:
                _answer(spark, statement, console)
            except TerradriftError as error:
                console.print(str(error), markup=False)


def print_rows(frame: DataFrame, console: Console) -> None:
    """At most MAX_ROWS rows as a table; geometries as WKT, long values cut. Nothing for a statement without columns, like SET."""
    if not frame.columns:
        return
    rows = frame.limit(MAX_ROWS + 1).collect()
    table = Table()
    for name in frame.columns:  # as Text: names and values of foreign files may look like markup
        table.add_column(Text(name))
    for row in rows[:MAX_ROWS]:
        table.add_row(*(Text(_text(value)) for value in row))
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(f"the first {MAX_ROWS} rows")


def _check_tables(out: str) -> None:
    """Refuse, before Spark starts, an output whose tables were moved away."""
    run = latest_run(out)
    for ledger, table in ((run.records, "tables/change_polygons"), (run.ledger, "tiles")):
        if not any(key.endswith(".parquet") for key in ledger.store.keys(table)):
            where = f"{ledger.url}/{table}"
            raise InputError(f"output: found no tables in {where}; expected those of run {run.run_id}; run again with --fresh")


def _answer(spark: SparkSession, statement: str, console: Console) -> None:
    """Print what a statement gives. Raises InputError where Spark cannot read it or it fails on the way: 1/0, a bad cast."""
    try:
        with explained():
            print_rows(run_query(spark, statement), console)
    except (PySparkException, Py4JError) as error:
        raise InputError(f"sql: {_cause(str(error))}") from error


def _cause(text: str) -> str:
    """The line of an error of Spark's that says what the statement did: its own condition, else the innermost exception."""
    condition = re.search(r"\[[A-Z][A-Z_.]+\] .*", text)
    if condition:
        return condition[0]
    exception = re.search(r"^.*\w(?:Error|Exception): (.+)$", text, flags=re.MULTILINE)
    return exception[1] if exception else text


def _text(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _statements() -> Iterator[str]:
    lines: list[str] = []
    interactive = sys.stdin.isatty()
    while True:
        try:
            line = input((PROMPT if not lines else "       ...> ") if interactive else "")
        except EOFError:
            return
        lines.append(line)
        text = "\n".join(lines).strip()
        if text.rstrip(";").strip().lower() in ("quit", "exit"):
            return
        if text.endswith(";"):
            lines = []
            yield text
