"""Run the server on loopback until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import uvicorn

from terradrift.errors import InputError
from terradrift.serve.app import viewer_app
from terradrift.serve.site import Site

LOOPBACK = "127.0.0.1"


def serve_run(
    site: Site, *, port: int = 8000, cors: str | None = None, open_browser: bool = False, say: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C; `say` is told the address. Port 0: a free one.

    Raises InputError where the port is taken or `cors` is no origin.
    """
    app = viewer_app(site, cors=None if cors is None else _checked_origin(cors))
    with _listen(port) as listener:
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
        say(f"{url}  (this machine only; Ctrl-C ends it)")
        if site.missing_page is not None:
            say(site.missing_page)
        if open_browser:
            webbrowser.open(url)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has closed all connections
            uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()  # bind alone succeeds beside a listener that has not begun to accept
    except (OSError, OverflowError) as cause:
        listener.close()
        taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
        reason = "is in use" if taken else (os.strerror(cause.errno or 0) if isinstance(cause, OSError) else "is no port")
        raise InputError(f"--port: {port} {reason}; expected a free port; use --port {port + 1} or --port 0") from cause
    return listener


def _checked_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
        raise InputError(f"--cors: found {origin!r}; expected one origin such as https://maps.example.org")
    return origin
