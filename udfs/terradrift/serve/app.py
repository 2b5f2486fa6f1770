"""The server's application: page at the root, the run under /output/, the mosaic under /mosaic/, headers that keep it so."""

from __future__ import annotations

import html

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terradrift.serve.files import FolderFiles
from terradrift.serve.objects import StoreObjects
from terradrift.serve.site import Site
from terradrift.store import Store

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names this server answers to: a page of another name that resolves to this machine gets nothing."""

RANGE_HEADERS = ("Range", "If-Match", "If-None-Match", "If-Range")
SHOWN_HEADERS = ("Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Last-Modified")


def viewer_app(site: Site, *, cors: str | None = None) -> Starlette:
    """The application of one viewer; `cors`: the one other origin whose pages may read it."""

    page = FolderFiles(site.page)

    async def settings(request: Request) -> Response:
        return JSONResponse(site.settings(), headers={"Cache-Control": "no-store"})

    async def index(request: Request) -> Response:
        if (missing := site.missing_page) is not None:
            return HTMLResponse(f"<!doctype html><title>terradrift</title><p>{html.escape(missing)}.", 503)
        return await page.get_response("index.html", {**request.scope, "path": "/index.html"})

    routes = [
        Route("/", index),
        Route("/viewer.json", settings),
        _output(site.output),
        *([Mount("/mosaic", FolderFiles(site.mosaic, only=site.mosaic_arrays))] if site.mosaic else []),
        Mount("/", page),
    ]
    middleware = [
        Middleware(SecurityHeaders, headers=security_headers(site, cors)),
        Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
    ]
    if cors:
        methods, shown = ["GET", "HEAD"], SHOWN_HEADERS
        middleware.append(
            Middleware(
                CORSMiddleware, allow_origins=[cors], allow_methods=methods, allow_headers=RANGE_HEADERS, expose_headers=shown
            )
        )
    return Starlette(routes=routes, middleware=middleware)


def _output(store: Store) -> BaseRoute:
    if store.local_path is not None:
        return Mount("/output", FolderFiles(store.local_path))
    return Route("/output/{key:path}", StoreObjects(store).respond)


def security_headers(site: Site, cors: str | None = None) -> dict[str, str]:
    """Headers of every answer. The page runs its own scripts alone: none inline, none from elsewhere, no eval."""
    elsewhere = f" {site.background_origin}" if site.background_origin else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",  # the decoder of zstd is WebAssembly
        "worker-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' data: blob:{elsewhere}",
        "connect-src": f"'self' data:{elsewhere}",  # data: the decoder's own bytes
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "cross-origin" if cors else "same-origin",
    }


class SecurityHeaders:
    """Adds headers to every answer, errors too."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the answer gets the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
