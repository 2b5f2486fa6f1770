"""What Spark forks its Python workers from: pyspark's daemon, with what every task needs loaded already.

A worker that loads this package for itself takes two CPU seconds before its first pixel. And every task begins with a look for
new modules, for which each archive on the path is read anew (Spark's core jar and pyspark.zip, several times: a tenth of a
second), and ends with a garbage collection that goes through all that was loaded.
"""

from __future__ import annotations

import gc
import zipimport

import pandas  # noqa: F401  (Arrow loads it with its first array)
import pyspark.sql.pandas.serializers  # noqa: F401  (how rows come and go)
from pyspark.daemon import manager

import terradrift.spark.detect_changes  # noqa: F401  (every stage)


def keep_archives() -> None:
    """Read the directory of an archive on the path once: it does not change while a session lasts."""

    def stay(self: zipimport.zipimporter) -> None:
        """Nothing is forgotten."""

    zipimport.zipimporter.invalidate_caches = stay  # type: ignore[method-assign]


if __name__ == "__main__":
    keep_archives()
    gc.freeze()  # what the workers share is never garbage, and counting it would copy its memory
    manager()  # type: ignore[no-untyped-call]
