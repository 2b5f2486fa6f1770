"""Spark's event log: what Spark's History Server shows of a run after it ended."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

ENABLED, FOLDER = "spark.eventLog.enabled", "spark.eventLog.dir"


def event_log(given: Mapping[str, str]) -> dict[str, str]:
    """Settings that keep the log, in a folder of this user's alone; none where `given` says otherwise, or none can be made."""
    if ENABLED in given or FOLDER in given:
        return {}
    folder = events_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return {}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return {}  # somebody else's, who could read it or lead it elsewhere
    return {ENABLED: "true", FOLDER: folder.as_uri()}


def events_folder() -> Path:
    """Where the logs of this user lie unless Spark's settings say otherwise."""
    return Path(tempfile.gettempdir()) / f"terradrift-events-{os.getuid()}"
