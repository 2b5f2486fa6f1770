"""The Spark session: Apache Sedona loaded, the settings every job relies on, and one line when it cannot start."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import pyspark
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from terradrift.errors import ChangedError, DamagedError, InputError, SetupError, StoreError, TerradriftError
from terradrift.spark.event_log import event_log
from terradrift.spark.java import Jvm, explain, find_java

# Spark's minor release -> Sedona, and the geotools-wrapper that goes with it (projections, subdivision).
SEDONA = {
    "4.0": ("1.8.0", "1.8.0-33.1"),
}

LOCAL_MASTER = "local[*,4]"  # plain local[*] never runs a failed task again

_UNREADABLE = re.compile(r"\[FAILED_READ_FILE[.\w]*\] .* reading file (.+?)\.\s|\[PATH_NOT_FOUND\] .* exist: (.+?)\.\s")
"""Spark's words for a file that is gone or is not what it should be."""

REDACTED = "(?i)secret|passw|token|credential|signature|authorization|(access|account|api|private)[._-]?key|[?&]sig=|://[^/@]*@"
"""Names and values of settings that Spark's logs leave out: its own default, signed URLs, and keys under more names."""

SETTINGS = MappingProxyType(
    {
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
        "spark.kryoserializer.buffer.max": "512m",  # one polygon of a whole region
        "spark.sql.extensions": "org.apache.sedona.sql.SedonaSqlExtensions",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",  # no metastore_db in the working folder
        "spark.sql.execution.arrow.maxBytesPerBatch": "64m",  # polygons differ in size by a factor of a million
        "spark.python.daemon.module": "terradrift.spark.daemon",  # workers are forked with everything loaded
        "spark.locality.wait": "0s",  # tiles come from object storage: no node is nearer
        "spark.driver.memory": "2g",
        "spark.redaction.regex": REDACTED,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Spark runs one task a core; libraries that start their own threads would fight over the cores.
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
        "spark.executorEnv.NUMBA_NUM_THREADS": "1",
        "spark.executorEnv.GDAL_NUM_THREADS": "1",
        # The system hands out memory zeroed: a worker keeps what it freed, it needs the same again for the next pixels.
        "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": "268435456",
        "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": "33554432",
    }
)
"""What a session is given where nobody else has set it. `conf/spark-defaults.conf` holds the same for spark-submit."""

FAST_START = MappingProxyType({"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"})
"""For small local work: Java starts in half the time and is slower once warm."""


def sedona_packages() -> str:
    """Maven coordinates of the jars for the installed PySpark and Sedona. Raises SetupError for a pair without jars."""
    spark, sedona = pyspark.__version__, metadata.version("apache-sedona")
    minor = ".".join(spark.split(".")[:2])
    known, geotools = SEDONA.get(minor, ("", ""))
    if known != sedona:
        pairs = ", ".join(f"pyspark {minor}.* with apache-sedona {pair[0]}" for minor, pair in SEDONA.items())
        raise SetupError(f"Sedona: found pyspark {spark} with apache-sedona {sedona}, expected {pairs}; install that pair")
    return f"org.apache.sedona:sedona-spark-shaded-{minor}_2.13:{known},org.datasyslab:geotools-wrapper:{geotools}"


@contextmanager
def spark_session(
    app_name: str, master: str | None = None, conf: Mapping[str, str] = MappingProxyType({})
) -> Iterator[SparkSession]:
    """A Spark session with Sedona's functions. Raises SetupError where it cannot start.

    A session that is already active (notebook, hosted Spark) is used as it is and left running. Under spark-submit the
    master and settings given there win; elsewhere `conf` wins over `SETTINGS` and the master is this machine.
    """
    active = SparkSession.getActiveSession()
    session = _with_sedona(active) if active else _start(app_name, master, conf)
    try:
        yield session
    finally:
        if active is None:
            session.stop()


def is_local(master: str | None) -> bool:
    """Whether a session with this master runs on this machine."""
    return master is None or master.startswith("local")


def stop_session() -> None:
    """Stop the active session, if there is one."""
    if (session := SparkSession.getActiveSession()) is not None:
        session.stop()


def executor_error(error: Exception) -> str:
    """The cause of a failed task: Spark brings an executor's exception back as text with its traceback; this is its line."""
    text = str(error)
    causes = re.findall(r"^(?:\w+\.)*\w+(?:Error|Exception)\b.*$", text, flags=re.MULTILINE)
    return causes[-1].strip() if causes else text.strip().rpartition("\n")[2]


@contextmanager
def explained() -> Iterator[None]:
    """One of our own errors that an executor raised is raised again as itself; a file that Spark cannot read is DamagedError."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        if unreadable := _UNREADABLE.search(str(error)):
            path = unreadable[1] or unreadable[2]
            raise DamagedError(f"{path}: found it unreadable for Spark; expected what was written; run with --fresh") from error
        name, _, message = executor_error(error).partition(": ")
        for known in (InputError, StoreError, DamagedError, ChangedError):
            if name.rpartition(".")[2] == known.__name__:
                raise known(message) from error
        raise


def _start(app_name: str, master: str | None, conf: Mapping[str, str]) -> SparkSession:
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit has started Java already
    settings = {"spark.app.name": app_name, "spark.master": master or LOCAL_MASTER, **SETTINGS, **conf}
    if submitted:
        SparkContext._ensure_initialized()
        settings |= dict(SparkConf().getAll())
    local = settings["spark.master"].startswith("local")
    if local:
        settings = _on_this_machine(settings)
    if not submitted:
        settings = {**_for_new_java(local, conf), **settings}
    # Its page of JSON for every SQL error would stand beside the one line that is ours.
    # By its level: `disabled` is undone by whoever configures logging later. Of PySpark's class: it logs with keywords.
    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    jvm = None if submitted or SparkContext._gateway else Jvm(settings)
    try:
        settings |= event_log(settings | dict(SparkConf(_jvm=jvm and jvm.gateway.jvm).getAll()))  # spark-defaults.conf too
        SparkContext(conf=SparkConf().setAll(list(settings.items())), gateway=jvm and jvm.gateway)
        session = SparkSession.builder.getOrCreate()
        session.sparkContext.setJobDescription("load Sedona")
        session = _with_sedona(session)
        session.sparkContext.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]
    except (Py4JError, PySparkException) as error:
        raise explain(str(error), sedona_packages()) from error
    except SetupError:
        stop_session()
        raise
    if jvm is not None:
        jvm.show_output()
    return session


def _on_this_machine(settings: Mapping[str, str]) -> dict[str, str]:
    """Local mode: workers run this very Python, and nothing listens off loopback."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    address = os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    return {"spark.driver.host": address, "spark.driver.bindAddress": address, **settings}


def _for_new_java(local: bool, conf: Mapping[str, str]) -> dict[str, str]:
    """Sedona's jars and the log settings, for a Java of our own."""
    log = next((path for path in _LOG_SETTINGS if path.is_file()), None)
    given = {} if log is None else {"spark.driver.defaultJavaOptions": f"-Dlog4j2.configurationFile={log.as_uri()}"}
    packages = sedona_packages()
    ivy = Path.home() / ".ivy2.5.2"  # Spark's own default; named because Java takes no notice of HOME
    jars = [ivy / "jars" / "{}_{}-{}.jar".format(*package.split(":")) for package in packages.split(",")]
    if local and not {"spark.jars", "spark.jars.packages", "spark.jars.ivy"} & conf.keys() and all(map(Path.is_file, jars)):
        # Already fetched: naming the files starts 5 s sooner than asking Ivy. Not on spark.driver.extraClassPath: the
        # slf4j in geotools-wrapper would come before Spark's own and silence its log.
        return given | {"spark.jars": ",".join(f"local:{jar}" for jar in jars)}
    return given | {"spark.jars.packages": packages, "spark.jars.ivy": str(ivy)}


_HERE = Path(__file__).parent
_LOG_SETTINGS = (_HERE / "log4j2.properties", _HERE.parents[2] / "conf" / "log4j2.properties")  # in a wheel, in the source tree


def _with_sedona(session: SparkSession) -> SparkSession:
    from sedona.spark import SedonaContext  # loads geopandas and more: not before it is needed

    try:
        return SedonaContext.create(session)
    except (Py4JError, PySparkException, TypeError) as error:  # TypeError: py4j's word for a class that is not there
        raise explain(str(error), sedona_packages()) from error


def main() -> int:
    """`python -m terradrift.spark.session`: start Spark once, which fetches the jars, and say what it runs on."""
    try:
        java = find_java()
        with spark_session("terradrift set-up", conf=FAST_START) as spark:
            spark.sql("SELECT ST_Transform(ST_Point(9, 48), 'EPSG:4326', 'EPSG:3857')").collect()
    except TerradriftError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sedona = metadata.version("apache-sedona")
    sys.stdout.write(f"Spark {pyspark.__version__}, Sedona {sedona}, Java {java.version} ({java.source})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
