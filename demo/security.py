"""Filter of requests: known hosts, known routes, bodies of limited size, uploads that are pictures or archives.

One ASGI middleware runs before Gradio. A refusal costs nothing, because it needs only the first bytes. The figures
behind the limits are in docs/deployment.md, "What a stranger can do". Imports no Gradio.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo import core
from demo.addresses import is_ip_address, is_trusted, listed, trusted_proxies, visitor_address
from demo.environment import LOOPBACK, OWN_FOLDER
from demo.errors import NO_ROOM
from demo.file_kinds import first_bytes, is_archive, is_picture
from demo.installable import ICON_SIZES
from demo.json_text import is_nested_deeper
from demo.settings import MAX_FILES, MAX_UPLOAD_BODY, MAX_UPLOAD_BYTES, NO_SESSION, SESSION

_log = logging.getLogger(__name__)

MAX_BODY = 1_000_000
"""Maximum bytes of a request other than an upload: 100,000 characters of words in any script are 400,000 bytes."""
MAX_DEPTH = 40
"""Maximum nesting of brackets in JSON; requests of the page have fewer than ten levels."""
UPLOAD_QUOTA = 2_000_000_000
"""Maximum bytes of all files in the upload folder; beyond it, the oldest are deleted first."""
MAX_OTHER = 1_000_000
"""Maximum bytes of a non-picture upload, which is read to name its kind; larger ones fail by their first bytes."""
READ_TIMEOUT_S = 30.0
"""Maximum wait for the next part of a body, in seconds."""

_PART = b"content-disposition"
"""Header that every file of an upload has, in lower case; its parameter "filename" can be written in many ways."""
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
        # requests of the page and of clients
        *(r"/gradio_api/info/?", r"/gradio_api/app_id/?", r"/gradio_api/startup-events", r"/gradio_api/reset/?"),
        *(r"/gradio_api/queue/(?:join|data)", r"/gradio_api/cancel", rf"/gradio_api/heartbeat/{SESSION}"),
        *(r"/gradio_api/upload", r"/gradio_api/upload_progress"),
        *(r"/gradio_api/file=(?!https?:).+", r"/gradio_api/file/(?!https?:).+"),
        *(rf"/gradio_api/(?:run|api)/{_NAME}/?", rf"/gradio_api/call/(?:v2/)?{_NAME}/?(?:[A-Za-z0-9]+)?"),
    )
)
"""Paths that are answered; all other paths of Gradio get 404."""
RELOAD_ROUTE = re.compile(r"/gradio_api/dev/reload")
"""Path that is answered only with `gradio app.py`, which watches the source files."""

EXPECTED = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP, or a result of this page (zip)"

FORWARDED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", b"x-gradio-server", b"forwarded")


class Gate:
    """ASGI middleware that refuses requests without use for the page, before anything is read or computed."""

    def __init__(self, app: ASGIApp, ready: Callable[[], bool], environment: Mapping[str, str] = os.environ) -> None:
        """Wrap an app.

        Args:
            app: next ASGI application.
            ready: function that returns whether a model is loaded, for /healthz.
            environment: variables CLIPTRASE_HOSTS, CLIPTRASE_TRUSTED_PROXY, GRADIO_ROOT_PATH, and those of a Space.
        """
        self._app, self._ready = app, ready
        self._hosts = allowed_hosts(environment)
        self._proxies = trusted_proxies(environment)
        self._reload = bool(environment.get("GRADIO_WATCH_DIRS"))
        self._folder = Path(environment.get("GRADIO_TEMP_DIR", ""))
        self._uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on known requests of limited size; answer the others."""
        if scope["type"] != "http":
            if scope["type"] != "websocket":  # Gradio 6 has none
                await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path == "/healthz":  # for any client and host name: it contains no private data
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
        sending = _Uploads(send, body) if upload else _Once(send, body)
        async with self._finished() if upload else nullcontext():
            try:
                await self._app(scope, body, sending)
            except _TooMuchError:
                pass
            except OSError as error:
                if not core.errors.out_of_space(error) or sending.started:
                    raise
                _log.error("%s", NO_ROOM)
                await _answer(send, 507, NO_ROOM)
                return
        if body.refused and not sending.started:
            await _answer(send, body.refused.status, str(body.refused))

    @asynccontextmanager
    async def _finished(self) -> AsyncIterator[None]:
        """Delete what is left of uploads that were not finished, once no other is under way: Gradio keeps it."""
        self._uploading += 1
        try:
            yield
        finally:
            self._uploading -= 1
            if not self._uploading and self._folder.name.startswith(OWN_FOLDER):
                _delete_unfinished(self._folder)

    def _why_not(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not is_allowed(host_name(host), self._hosts):
            name = host_name(host)[:100]
            return (
                421,
                f"The host name {name!r} is not allowed. The operator of this page can add it to CLIPTRASE_HOSTS.",
            )
        origin = headers.get("origin")
        # The second header is there only if a trusted proxy sent it.
        requested = [host_name(headers.get(name, "")) for name in ("host", "x-forwarded-host")]
        if origin is not None and not is_own(host_of(origin), requested, self._hosts):
            return (
                403,
                "Requests from other pages are not answered. The operator can name their host in CLIPTRASE_HOSTS.",
            )
        known = any(route.fullmatch(path) for route in ROUTES) or (self._reload and RELOAD_ROUTE.fullmatch(path))
        return None if known else (404, "There is nothing here. GET /gradio_api/info lists the calls.")

    def _settle_forwarded(self, scope: Scope) -> None:
        """Remove forwarded headers unless a trusted proxy sent them: others could choose the addresses in the page.

        From here on, the client is the visitor and not the proxy.
        """
        client = scope.get("client") or ("", 0)
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        scope["client"] = (visitor_address(client[0], forwarded, self._proxies), client[1])
        if not is_trusted(client[0], self._proxies):
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in FORWARDED]


def allowed_hosts(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the host names that the page answers to, in lower case; "." before a name includes all its subdomains."""
    names = {*LOOPBACK, *listed(environment.get("CLIPTRASE_HOSTS", ""))}
    names.add(host_of(environment.get("GRADIO_ROOT_PATH", "")))
    names.add(environment.get("GRADIO_SERVER_NAME", "").strip().lower())
    if environment.get("SPACE_ID"):  # of Hugging Face: shown under its own name, and in a frame of the hub
        names |= {*listed(environment.get("SPACE_HOST", "")), ".hf.space", "huggingface.co"}
    return frozenset(names - {""})


def is_allowed(name: str, hosts: Collection[str]) -> bool:
    """Return whether the page answers to a host name: an allowed name, or an IP address.

    An IP address is safe: another page cannot make a browser treat it as that page's own name.
    """
    return is_address(name) or is_named(name, hosts)


def is_own(name: str, requested: Collection[str], hosts: Collection[str]) -> bool:
    """Return whether a request from a page of this host name is one of this page: any page may have an IP address.

    Args:
        name: host name of the page that sent the request.
        requested: host names to which the request was sent.
        hosts: allowed host names, as from `allowed_hosts`.
    """
    return is_named(name, hosts) or (is_address(name) and name in requested)


def is_named(name: str, hosts: Collection[str]) -> bool:
    """Return whether a host name is an allowed one, in any case and with or without a final dot."""
    name = name.lower().rstrip(".")
    return name in hosts or any(name.endswith(host) for host in hosts if host.startswith("."))


def is_address(name: str) -> bool:
    """Return whether a host name is an IP address."""
    return is_ip_address(name.strip("[]").rstrip("."))


def host_name(host: str) -> str:
    """Return the Host header without its port: "[::1]:7860" -> "::1"."""
    return host_of(f"//{host}")


def host_of(address: str) -> str:
    """Return the host name of an address, or "" if it has none: "https://a.example:1/b" -> "a.example"."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # not an address, such as "http://[::1"
        return ""


def delete_oldest(folder: Path, quota: int = UPLOAD_QUOTA) -> None:
    """Delete the oldest files of a folder until the rest takes at most `quota` bytes."""
    files = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        except OSError:  # deleted meanwhile
            continue
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files, key=lambda one: one[0]):
        if total <= quota:
            return
        path.unlink(missing_ok=True)
        total -= size


def _delete_unfinished(uploads: Path) -> None:
    """Delete the files that are not in a folder: a finished upload has one of its own."""
    with suppress(OSError):  # the folder is gone; the answer counts
        for path in uploads.iterdir():  # at once: no other upload may begin in between
            if path.is_file():
                path.unlink(missing_ok=True)


class _TooMuchError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Body:
    """Body of a request, with checks of its size, its nesting and the time between its parts."""

    def __init__(self, receive: Receive, limit: int, files: int | None) -> None:
        self._receive, self._limit, self._files = receive, limit, files
        self._size = self._parts = 0
        self._end = b""  # of the last part; shorter than `_PART`, so that no header is counted twice
        self._ended = False
        self._json: list[bytes] = []
        self.refused: _TooMuchError | None = None

    async def __call__(self) -> Message:
        try:
            return await self._next()
        except _TooMuchError as error:
            self.refused = error
            raise

    async def _next(self) -> Message:
        if self._ended:  # Gradio then waits until the visitor disconnects, which may take any time
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), READ_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise _TooMuchError(408, "The request was not complete within the time limit.") from error
        if message["type"] == "http.request":
            self._ended = not message.get("more_body")
            self._count(message.get("body", b""))
        return message

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise _TooMuchError(413, f"The request is larger than {self._limit // 1_000_000} MB.")
        if self._files is None:
            self._json.append(part)
            if self._ended:
                _expect_sensible(b"".join(self._json))
            return
        text = self._end + part.lower()
        self._parts += text.count(_PART)
        self._end = text[1 - len(_PART) :]
        if self._parts > self._files:
            raise _TooMuchError(413, f"Expected at most {self._files} files at once. Send the others later.")


def _expect_sensible(body: bytes) -> None:
    """Refuse JSON that is nested too deep for Python's parser, which recurses, or has a long name of a session.

    UTF-16 is refused because its brackets are not counted: each has a zero byte, and no JSON in UTF-8 has one.
    """
    if b"\0" in body:
        raise _TooMuchError(400, "The request: expected JSON in UTF-8, got another encoding. Encode it as UTF-8.")
    if is_nested_deeper(body, MAX_DEPTH):
        raise _TooMuchError(400, "The request is nested too deep.")
    try:
        found = json.loads(body)
    except ValueError:
        return  # Gradio names what is wrong
    session = found.get("session_hash") if isinstance(found, dict) else None
    if isinstance(session, str) and not re.fullmatch(SESSION, session):
        raise _TooMuchError(400, NO_SESSION)  # it would be stored for as long as the session


class _Once:
    """Sender that notes whether the response has started; drops an answer to a refused body, as it names no reason."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send, self._request, self.started = send, body, False

    async def __call__(self, message: Message) -> None:
        if self._request.refused is None or self.started:
            self.started = True
            await self._send(message)


class _Uploads(_Once):
    """Sender that checks uploads before the visitor gets their paths; large files of other kinds are deleted."""

    def __init__(self, send: Send, body: _Body) -> None:
        super().__init__(send, body)
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if self._request.refused is not None and not self.started:
            return
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
        if refused and refused[0] == 413:
            most = MAX_UPLOAD_BYTES // 1_000_000
            await _answer(self._send, 413, f"Expected pictures of at most {most} MB, got more. Save it smaller.")
            return
        if refused:
            names = (
                "The file is not a picture."
                if len(paths) == 1
                else f"{refused[1]} of {len(paths)} files are not pictures."
            )
            await _answer(self._send, 415, f"{names} Expected {EXPECTED}.")
            return
        await self._send(start)
        await self._send({"type": "http.response.body", "body": bytes(self._body)})


def _sorted_out(paths: list[Path]) -> tuple[int, int] | None:
    """Find files that are too large for their kind; if there are any, all files of the upload are deleted.

    Returns:
        Status of the answer (415 for other kinds, 413 for pictures) and number of these files; None if there are none.
    """
    wrong = {415: 0, 413: 0}
    for path in paths:
        try:
            start, size = first_bytes(path), path.stat().st_size
        except OSError:
            continue
        if is_picture(start):
            wrong[413] += size > MAX_UPLOAD_BYTES
        elif not is_archive(start):
            wrong[415] += size > MAX_OTHER
    found = next(((status, count) for status, count in wrong.items() if count), None)
    if found:
        for path in paths:
            path.unlink(missing_ok=True)
    elif paths:
        delete_oldest(paths[0].parents[1])
    return found


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
