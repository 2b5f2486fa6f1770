"""The Spark session: what it is set to, what it leaves alone, and what its failures look like from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terradrift.errors import SetupError
from terradrift.spark import session as sessions
from terradrift.spark.event_log import event_log, events_folder
from terradrift.spark.session import LOCAL_MASTER, SETTINGS, executor_error, sedona_packages, spark_session

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False, timeout=240
    )


def test_defaults_for_spark_submit_are_the_session_s_own() -> None:
    lines = (ROOT / "conf" / "spark-defaults.conf").read_text().splitlines()
    written = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
    log = written.pop("spark.driver.defaultJavaOptions")
    assert written == SETTINGS | {"spark.master": LOCAL_MASTER, "spark.jars.packages": sedona_packages()}
    assert (ROOT / log.removeprefix("-Dlog4j2.configurationFile=")).is_file()


def test_packages_follow_the_installed_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sedona_packages().startswith("org.apache.sedona:sedona-spark-shaded-4.0_2.13:1.8.0,")
    monkeypatch.setitem(sessions.SEDONA, "4.1", ("1.9.1", "2.0"))
    monkeypatch.setattr("pyspark.__version__", "4.1.3")
    with pytest.raises(SetupError, match=r"found pyspark 4\.1\.3 with apache-sedona 1\.8\.0, expected pyspark 4\.0\.\* with"):
        sedona_packages()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.9.1")
    assert sedona_packages() == "org.apache.sedona:sedona-spark-shaded-4.1_2.13:1.9.1,org.datasyslab:geotools-wrapper:2.0"


def test_session_has_sedona_and_the_settings(spark: SparkSession) -> None:
    row = spark.sql(
        "SELECT ST_AsText(ST_SubDivide(ST_MakeEnvelope(0, 0, 1, 1), 5)[0]) AS polygon, current_timezone() AS zone"
    ).first()
    assert row is not None
    assert row.polygon.startswith("POLYGON")
    assert row.zone == "UTC"
    conf = spark.sparkContext.getConf()
    assert {key: conf.get(key) for key in SETTINGS} == dict(SETTINGS)
    assert spark.sparkContext.master == "local[2,4]"
    assert (conf.get("spark.driver.host"), conf.get("spark.driver.bindAddress")) == ("127.0.0.1", "127.0.0.1")
    assert spark.sparkContext.uiWebUrl is None


def test_workers_run_this_python_with_one_thread(spark: SparkSession) -> None:
    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        threads = [os.environ[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS", "NUMBA", "GDAL")]
        for batch in batches:
            found = [",".join([sys.executable, *threads])] * batch.num_rows
            yield pa.RecordBatch.from_arrays([pa.array(found)], names=["found"])

    rows = spark.range(4).mapInArrow(look, "found string").distinct().collect()
    assert [row.found for row in rows] == [f"{sys.executable},1,1,1,1"]


def test_workers_are_forked_with_everything_loaded_and_read_archives_once(spark: SparkSession) -> None:
    def told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import gc
        import sys
        import zipimport

        import pyarrow

        for _ in batches:
            forget = zipimport.zipimporter.invalidate_caches.__qualname__
            loaded = "terradrift.spark.detect_changes" in sys.modules
            yield pyarrow.RecordBatch.from_pylist([{"loaded": loaded, "forget": forget, "frozen": gc.get_freeze_count()}])

    row = spark.range(1).mapInArrow(told, "loaded boolean, forget string, frozen long").first()
    assert row is not None
    assert (row.loaded, row.forget) == (True, "keep_archives.<locals>.stay")
    assert row.frozen > 100_000


def test_an_active_session_is_used_and_left_running(spark: SparkSession) -> None:
    with spark_session("another", "local[1]", {"spark.sql.session.timeZone": "Asia/Tokyo"}) as inner:
        assert inner is spark
        assert inner.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.range(3).count() == 3


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "\n  An exception was thrown from the Python worker. Please see the stack trace below.\n"
            "Traceback (most recent call last):\n  File 'a.py', line 1, in f\nKeyError: 'x'\n\n"
            "During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n"
            "terradrift.errors.StoreError: r000001_c000002: cannot read s3://a: timed out\n",
            "terradrift.errors.StoreError: r000001_c000002: cannot read s3://a: timed out",
        ),
        ("Job 3 cancelled\nas asked", "as asked"),
        ("", ""),
    ],
)
def test_cause_of_a_failed_task_is_the_last_exception(text: str, cause: str) -> None:
    assert executor_error(RuntimeError(text)) == cause


def test_cause_of_a_failed_task_through_spark(spark: SparkSession) -> None:
    def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from terradrift.errors import StoreError

        raise StoreError("r000001_c000002: cannot read it")
        yield from batches

    with pytest.raises(Exception, match="cannot read it") as failure:
        spark.range(1).mapInArrow(fail, "id long").collect()
    assert executor_error(failure.value) == "terradrift.errors.StoreError: r000001_c000002: cannot read it"


START = """
import sys
from terradrift.errors import SetupError
from terradrift.spark.session import spark_session
try:
    with spark_session("broken", conf={conf!r}):
        pass
except SetupError as error:
    sys.exit(str(error))
"""


def test_a_java_home_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ran = run_python(START.format(conf={}), JAVA_HOME=str(tmp_path / "nothing"))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Java: JAVA_HOME={tmp_path / 'nothing'} does not run `java -version`, expected ")
    assert ran.stderr.count("\n") == 1


def test_jars_that_cannot_be_fetched_are_one_line(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/"  # the discard port: refuses at once, so nothing leaves this machine
    conf = {
        "spark.jars.packages": "org.example:nothing:1",
        "spark.jars.ivy": str(tmp_path / "ivy"),
        "spark.driver.extraJavaOptions": "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9 -XX:TieredStopAtLevel=1",
    }
    ran = run_python(START.format(conf=conf), DEFAULT_ARTIFACT_REPOSITORY=nobody, TMPDIR=str(tmp_path))
    assert ran.returncode == 1
    assert ran.stderr.startswith("Spark: Sedona's jars could not be fetched (")
    assert "DEFAULT_ARTIFACT_REPOSITORY" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""


def test_the_event_log_lies_in_a_folder_of_the_user_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = events_folder()
    assert event_log({"spark.eventLog.enabled": "false"}) == event_log({"spark.eventLog.dir": "file:/x"}) == {}
    assert not folder.exists()
    for _ in range(2):
        assert event_log({}) == {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.as_uri()}
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o750)
    assert event_log({}) == {}, "others could read it"
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert event_log({}) == {}, "somebody leads it elsewhere"
    folder.unlink()
    folder.write_text("a file")
    assert event_log({}) == {}


@pytest.mark.slow
def test_spark_submit_has_the_last_word(tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text(
        "from terradrift.spark.session import spark_session\n"
        "wishes = {'spark.sql.session.timeZone': 'Asia/Tokyo', 'spark.task.maxFailures': '3'}\n"
        "with spark_session('job', 'local[7]', wishes) as spark:\n"
        "    conf = spark.sparkContext.getConf()\n"
        "    row = spark.sql('SELECT ST_AsText(ST_Point(1, 2)) AS point').first()\n"
        "    keys = ('spark.sql.session.timeZone', 'spark.task.maxFailures', 'spark.driver.bindAddress', 'spark.eventLog.dir')\n"
        "    print(row.point, spark.sparkContext.master, *map(conf.get, keys), sep='|')\n"
    )
    import pyspark

    command = [Path(pyspark.__file__).parent / "bin" / "spark-submit", "--properties-file", "conf/spark-defaults.conf"]
    command += ["--master", "local[1]", "--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC", job]
    environment = os.environ | {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "TMPDIR": str(tmp_path),
    }
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == f"POINT (1 2)|local[1]|UTC|3|127.0.0.1|{(tmp_path / events_folder().name).as_uri()}"
    assert list((tmp_path / events_folder().name).iterdir())
    assert " WARN " not in ran.stderr
