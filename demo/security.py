"""What reaches the page: known hosts, known routes, bodies of a bounded size, uploads that are pictures or
archives.

One ASGI middleware stands before Gradio. What it refuses costs nothing: it is refused by its first bytes. The figures
behind the limits stand in docs/deployment.md, "What a stranger can do". Imports no Gradio.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.addresses import is_trusted, listed, trusted_proxies, visitor_address
from demo.environment import LOOPBACK
from demo.file_kinds import is_archive, is_picture
from demo.installable import ICON_SIZES
from demo.settings import MAX_FILES, MAX_UPLOAD_BYTES

MAX_BODY = 1_000_000
"""Bytes of a request that is no upload: 100,000 characters of words in any script are 400,000."""
MAX_DEPTH = 40
"""Brackets within brackets in JSON; what the page sends has fewer than ten."""
MAX_UPLOAD_BODY = MAX_UPLOAD_BYTES + MAX_FILES * 5_000_000
"""Bytes of one upload: a largest picture and several usual ones."""
UPLOAD_QUOTA = 2_000_000_000
"""Bytes of all files that people left here; beyond it the oldest go first."""
MAX_OTHER = 1_000_000
"""Bytes of an upload that is no picture: it is read to say what it is; larger ones are refused by their first bytes."""
READ_TIMEOUT_S = 30.0
"""Seconds within which the next part of a body must come."""

_NAME = r"[A-Za-z0-9_]+"
ROUTES = tuple(
    re.compile(pattern)
    for pattern in (
        # the page itself
        *(r"/", r"/config/?", r"/theme\.css", r"/favicon\.ico", r"/robots\.txt", r"/manifest\.json"),
        *(
            rf"/pwa_icon/(?:{'|'.join(map(str, ICON_SIZES))})",
            r"/(?:static|assets|svelte)/.+",
            r"/login_check/?",
            r"/healthz",
        ),
        # what the page and clients ask for
        *(r"/gradio_api/info/?", r"/gradio_api/app_id/?", r"/gradio_api/startup-events", r"/gradio_api/reset/?"),
        *(r"/gradio_api/queue/(?:join|data)", r"/gradio_api/cancel", r"/gradio_api/heartbeat/[A-Za-z0-9-]+"),
        *(r"/gradio_api/upload", r"/gradio_api/upload_progress", r"/gradio_api/component_server/?"),
        *(r"/gradio_api/file=(?!https?:).+", r"/gradio_api/file/(?!https?:).+"),
        *(rf"/gradio_api/(?:run|api)/{_NAME}/?", rf"/gradio_api/call/(?:v2/)?{_NAME}/?(?:[A-Za-z0-9]+)?"),
    )
)
"""Paths that are answered; all others of Gradio are 404."""
RELOAD_ROUTE = re.compile(r"/gradio_api/dev/reload")
"""Only with `gradio app.py`, which watches the sources."""

EXPECTED = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP, or a result of this page (zip)"

FORWARDED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", b"x-gradio-server", b"forwarded")


class Gate:
    """ASGI middleware: refuses what the page has no use for before anything is read or computed."""

    def __init__(self, app: ASGIApp, ready: Callable[[], bool], environment: Mapping[str, str] = os.environ) -> None:
        """Stand before an app.

        Args:
            app: what comes next.
            ready: whether a model is loaded, for /healthz.
            environment: CLIPTRASE_HOSTS, CLIPTRASE_TRUSTED_PROXY, GRADIO_ROOT_PATH, and what a Space sets.
        """
        self._app, self._ready = app, ready
        self._hosts = allowed_hosts(environment)
        self._proxies = trusted_proxies(environment)
        self._reload = bool(environment.get("GRADIO_WATCH_DIRS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is known and small enough; answer the rest."""
        if scope["type"] != "http":
            if scope["type"] != "websocket":  # Gradio 6 has none
                await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path == "/healthz":  # whoever asks, by whatever name: it says nothing of anybody
            await _answer(send, 200, json.dumps({"status": "ok", "ready": self._ready()}), "application/json")
            return
        self._settle_forwarded(scope)
        headers = Headers(scope=scope)
        refused = self._why_not(path, headers)
        if refused:
            await _answer(send, *refused)
            return
        upload = path == "/gradio_api/upload"
        limit = MAX_UPLOAD_BODY if upload else MAX_BODY
        if _length(headers) > limit:
            await _answer(send, 413, f"The request is larger than {limit // 1_000_000} MB.")
            return
        body = _Body(receive, limit, MAX_FILES if upload else None)
        sending = _Uploads(send) if upload else _Once(send)
        try:
            await self._app(scope, body, sending)
        except _TooMuchError as error:
            if not sending.started:
                await _answer(send, error.status, str(error))

    def _why_not(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not is_allowed(host_name(host), self._hosts):
            name = host_name(host)[:100]
            return 421, f"This page does not answer to {name!r}. Its owner names it in CLIPTRASE_HOSTS."
        origin = headers.get("origin")
        if origin is not None and not is_allowed(urlsplit(origin).hostname or "", self._hosts):
            return 403, "Requests from other pages are not answered."
        known = any(route.fullmatch(path) for route in ROUTES) or (self._reload and RELOAD_ROUTE.fullmatch(path))
        return None if known else (404, "There is nothing here. GET /gradio_api/info lists the calls.")

    def _settle_forwarded(self, scope: Scope) -> None:
        """Leave forwarded headers to named proxies: who else sends them chooses which address the page writes.

        From here on, the client is the visitor and not the proxy.
        """
        client = scope.get("client") or ("", 0)
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        scope["client"] = (visitor_address(client[0], forwarded, self._proxies), client[1])
        if not is_trusted(client[0], self._proxies):
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in FORWARDED]


def allowed_hosts(environment: Mapping[str, str]) -> frozenset[str]:
    """Names that the page answers to, in lower case; "." before a name stands for all names below it."""
    names = {*LOOPBACK, *listed(environment.get("CLIPTRASE_HOSTS", ""))}
    names.add(urlsplit(environment.get("GRADIO_ROOT_PATH", "")).hostname or "")
    names.add(environment.get("GRADIO_SERVER_NAME", "").strip().lower())
    if environment.get("SPACE_ID"):  # of Hugging Face: shown below its own name, and in a frame of the hub's
        names |= {*listed(environment.get("SPACE_HOST", "")), ".hf.space", "huggingface.co"}
    return frozenset(names - {""})


def is_allowed(name: str, hosts: Collection[str]) -> bool:
    """Whether the page answers to a host name: one of those allowed, or a bare address.

    A bare address is safe: a foreign page cannot make a browser take it for its own name.
    """
    name = name.lower().rstrip(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in hosts or any(name.endswith(host) for host in hosts if host.startswith("."))
    return True


def host_name(host: str) -> str:
    """A Host header without its port: "[::1]:7860" -> "::1"."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def make_room(folder: Path, quota: int = UPLOAD_QUOTA) -> None:
    """Delete the oldest files of a folder until the rest takes at most `quota` bytes."""
    files = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        except OSError:  # gone meanwhile
            continue
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files, key=lambda one: one[0]):
        if total <= quota:
            return
        path.unlink(missing_ok=True)
        total -= size


class _TooMuchError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Body:
    """A request's body that is counted while it comes, and must keep coming."""

    def __init__(self, receive: Receive, limit: int, files: int | None) -> None:
        self._receive, self._limit, self._files = receive, limit, files
        self._size = self._depth = self._parts = 0
        self._escaped = -1  # place of the byte after a backslash
        self._quoted = self._ended = False

    async def __call__(self) -> Message:
        if self._ended:  # Gradio then waits for the visitor to leave: that may take any time
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), READ_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise _TooMuchError(408, "The request did not come to its end.") from error
        if message["type"] == "http.request":
            self._ended = not message.get("more_body")
            self._count(message.get("body", b""))
        return message

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise _TooMuchError(413, f"The request is larger than {self._limit // 1_000_000} MB.")
        if self._files is None:
            self._measure_depth(part)
            return
        self._parts += part.count(b"filename=")
        if self._parts > self._files:
            raise _TooMuchError(413, f"Expected at most {self._files} files at once. Send the others later.")

    def _measure_depth(self, part: bytes) -> None:
        """Brackets outside of strings: Python's reader of JSON recurses, and answers to depth with an exception."""
        start = self._size - len(part)
        for sign in re.finditer(rb'[\[\]{}"\\]', part):
            byte, place = sign[0], start + sign.start()
            if self._quoted:
                if place == self._escaped:
                    continue  # it follows a backslash
                if byte == b"\\":
                    self._escaped = place + 1
                elif byte == b'"':
                    self._quoted = False
            elif byte == b'"':
                self._quoted = True
            elif byte in b"[{":
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise _TooMuchError(400, "The request is nested too deep.")
            elif byte in b"]}":
                self._depth -= 1


class _Once:
    """Notes whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def __call__(self, message: Message) -> None:
        self.started = True
        await self._send(message)


class _Uploads(_Once):
    """Checks what was uploaded before the visitor gets its path: large files of other kinds go at once."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        start = self._start or {"status": 500, "headers": []}
        paths = _paths(bytes(self._body)) if start["status"] == 200 else []
        refused = await asyncio.to_thread(_sorted_out, paths)
        if refused:
            names = (
                "The file is no picture." if len(paths) == 1 else f"{refused} of {len(paths)} files are no pictures."
            )
            await _answer(self._send, 415, f"{names} Expected {EXPECTED}.")
            return
        await self._send(start)
        await self._send({"type": "http.response.body", "body": bytes(self._body)})


def _sorted_out(paths: list[Path]) -> int:
    """How many files are large and of other kinds; if any, the whole upload goes, with the paths of the rest."""
    wrong = 0
    for path in paths:
        try:
            with path.open("rb") as file:
                start = file.read(16)
            wrong += not (is_picture(start) or is_archive(start)) and path.stat().st_size > MAX_OTHER
        except OSError:
            continue
    if wrong:
        for path in paths:
            path.unlink(missing_ok=True)
    elif paths:
        make_room(paths[0].parents[1])
    return wrong


def _paths(body: bytes) -> list[Path]:
    try:
        found = json.loads(body)
    except ValueError:
        return []
    return [Path(path) for path in found if isinstance(path, str)] if isinstance(found, list) else []


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text[:20]) if text.isascii() and text.isdigit() else 0


async def _answer(send: Send, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
    body = text.encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
