"""Web app manifest that works at any path of a proxy; the addresses in Gradio's own begin at the top of the site."""

from __future__ import annotations

import json

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MANIFEST = "manifest.json"
ICON_SIZES = (192, 512)
"""Sides of icons in pixels. Other sizes are refused (`demo.security`): Gradio would make any."""


def manifest(name: str, root: str) -> bytes:
    """Return the manifest of an installable page, as JSON.

    Args:
        name: name of the page.
        root: value of GRADIO_ROOT_PATH: the path, or the whole address, below which the page is shown.
    """
    below = root.rstrip("/") if root.startswith("http") else "".join(f"/{part}" for part in root.split("/") if part)
    icons = [
        {"src": f"{below}/pwa_icon/{side}", "sizes": f"{side}x{side}", "type": "image/png", "purpose": "any"}
        for side in ICON_SIZES
    ]
    return json.dumps({"name": name, "icons": icons, "start_url": "./", "display": "standalone"}).encode()


class Installable:
    """ASGI middleware that serves a manifest at any path, and makes the page link to it."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        """Wrap an application whose page is called `name`."""
        self._app, self._name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests for the manifest, pass on everything else."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path.endswith(f"/{MANIFEST}"):
            content = manifest(self._name, scope["app"].get_blocks().root_path)
            await Response(content, media_type="application/manifest+json")(scope, receive, send)
        elif path and scope["method"] == "GET" and path.endswith("/"):
            await self._app(scope, receive, _Rewriting(send))
        else:
            await self._app(scope, receive, send)


class _Rewriting:
    """Sender that makes the link to the manifest in HTML pages relative; passes everything else on unchanged."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of a page, delayed until its length is known
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            page = bytes(self._body).replace(f'href="/{MANIFEST}"'.encode(), f'href="{MANIFEST}"'.encode())
            MutableHeaders(scope=self._start)["content-length"] = str(len(page))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": page}
        await self._send(message)
