"""R8: where a server may send a reader of a mosaic: from https to https, never to a plain address of the reader's own network."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = [pytest.mark.whole, pytest.mark.row("R8")]

READ = """
import sys
from datetime import timedelta
from terradrift.errors import StoreError
from terradrift.store import open_store, remote

remote.RETRY = {"max_retries": 0, "retry_timeout": timedelta(seconds=9)}
try:
    print(open_store(sys.argv[1]).get(sys.argv[2]))
except StoreError as error:
    print(error)
"""


def certificate(name: str, issuer: tuple[x509.Certificate, Any] | None = None) -> tuple[x509.Certificate, Any]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(own).issuer_name(issuer[0].subject if issuer else own)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9))
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    if issuer:
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(loopback, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of an authority, and that of a server with its key."""
    folder = tmp_path_factory.mktemp("trust")
    root = certificate("root")
    leaf, key = certificate("leaf", root)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root[0].public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem) + private)
    return folder


@contextmanager
def server(trust: Path | None, target: str | None, asked: list[str]) -> Iterator[str]:
    """Answers with `ok`, or sends on to another server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if target else 200)
            self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            self.send_header("Content-Length", "0" if target else "2")
            if target:
                self.send_header("Location", target + self.path)
            self.end_headers()
            self.wfile.write(b"" if target else b"ok")

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if trust:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(trust / "server.pem")
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http{'s' if trust else ''}://127.0.0.1:{listener.server_port}"
    listener.shutdown()


@pytest.mark.parametrize("plain", [True, False])
def test_a_redirect_never_leads_from_https_to_http(trust: Path, plain: bool) -> None:
    asked: list[str] = []
    with server(None if plain else trust, None, asked) as behind, server(trust, behind, []) as front:
        ran = subprocess.run(
            [sys.executable, "-c", READ, front, "zarr.json"],
            env=os.environ | {"SSL_CERT_FILE": str(trust / "root.pem")}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if plain:
        assert "error following redirect" in ran.stdout, ran.stderr
        assert asked == []
    else:
        assert (ran.stdout.strip(), asked) == ("b'ok'", ["/zarr.json"])
