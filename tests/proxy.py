"""An HTTP server on loopback that stands before another and does to answers what networks and stores do to them."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"})


@dataclass
class Answer:
    """What the server behind said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    length: int | None = None
    """Bytes the answer claims to have; None = as many as it has."""
    pause_s: float = 0.0
    """Seconds before the first byte."""
    stop_after: int | None = None
    """Bytes of the body after which the answer stalls or ends."""
    end: str = ""
    """What happens there: close, reset or stall."""


Fault = Callable[[Answer], Answer]


def say(status: int, code: str = "") -> Fault:
    """Another status, with S3's words for it."""
    text = f"<?xml version='1.0'?><Error><Code>{code or status}</Code><Message>on purpose</Message></Error>".encode()
    return lambda answer: Answer(status, [("Content-Type", "application/xml")], text)


def redirect(url: str) -> Fault:
    return lambda answer: Answer(302, [("Location", url)], b"")


def cut(share: float, end: str) -> Fault:
    """The body ends early, though its length was promised."""

    def fault(answer: Answer) -> Answer:
        answer.stop_after, answer.end = int(len(answer.body) * share), end
        return answer

    return fault


def change(body: Callable[[bytes], bytes]) -> Fault:
    """Another body whose length is said honestly."""

    def fault(answer: Answer) -> Answer:
        if answer.status in (200, 206):
            answer.body = body(answer.body)
        return answer

    return fault


def flip(data: bytes) -> bytes:
    """One bit in the middle."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 16]) + data[len(data) // 2 + 1 :] if data else data


def wait(seconds: float) -> Fault:
    def fault(answer: Answer) -> Answer:
        answer.pause_s = seconds
        return answer

    return fault


@dataclass
class Rule:
    """A fault for the requests that match, some times or always."""

    match: str
    """Regular expression on `METHOD /path`."""
    fault: Fault
    times: int | None = None
    """Requests it hits; None = all."""
    skips: int = 0
    """Matching requests before the first it hits."""


@dataclass
class Proxy:
    """In front of `upstream`; `rules` say what goes wrong, `seen` what was asked."""

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    hits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Proxy:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def reset(self, *rules: Rule) -> None:
        """Forget what was, and follow these rules from now on."""
        with self.lock:
            self.rules, self.seen, self.hits = list(rules), [], 0

    def choose(self, request: str) -> Fault | None:
        with self.lock:
            self.seen.append(request)
            for rule in self.rules:
                if not re.search(rule.match, request):
                    continue
                if rule.skips > 0:
                    rule.skips -= 1
                    continue
                if rule.times is None or rule.times > 0:
                    rule.times = None if rule.times is None else rule.times - 1
                    self.hits += 1
                    return rule.fault
        return None


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        fault = self.proxy.choose(f"{self.command} {self.path}")
        answer = self._ask(body)
        try:
            self._send(fault(answer) if fault else answer)
        except OSError:  # the client was tired of waiting
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _ask(self, body: bytes) -> Answer:
        upstream = urlsplit(self.proxy.upstream)
        connection = http.client.HTTPConnection(upstream.netloc, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # Host as it was signed
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            data = answer.read()
            length = int(answer.getheader("Content-Length") or 0) if self.command == "HEAD" else None
            return Answer(answer.status, headers, data, length)
        finally:
            connection.close()

    def _send(self, answer: Answer) -> None:
        if answer.pause_s and self.proxy.closing.wait(answer.pause_s):
            return
        if answer.stop_after == 0 and answer.end == "reset":
            self._hang_up(reset=True)
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body[: answer.stop_after])
        if answer.stop_after is not None and answer.stop_after < len(answer.body):
            self.wfile.flush()
            if answer.end == "stall":
                self.proxy.closing.wait(30)
            self._hang_up(reset=answer.end == "reset")

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
