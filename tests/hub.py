"""Local replacement of the Hugging Face hub: serves one file like the hub, and simulates failures."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLOCK = 1 << 18
NAME = "open_clip_model.safetensors"


@dataclass
class Hub:
    """Content and behaviour of the hub, and a record of its requests.

    Attributes:
        file: the one file of every repository.
        address: URL without a slash at the end.
        status: HTTP status that answers every request for a file; None sends the file.
        code: error code of the hub in the header X-Error-Code.
        page: True to answer every request with a web page, like the login page of a hotel network.
        silent: True to accept requests and never answer.
        cut: bytes after which the connection is closed, while `cuts` is not 0; None means at the first block.
        cuts: remaining number of closed connections.
        pause: seconds before each block.
        gate: event that the second half of the file waits for.
        seen: "METHOD /path" of every request.
    """

    file: Path
    address: str = ""
    status: int | None = None
    code: str = ""
    page: bool = False
    silent: bool = False
    cut: int | None = None
    cuts: int = 0
    pause: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    seen: list[str] = field(default_factory=list)

    def mend(self) -> None:
        """Stop simulating failures."""
        self.status, self.page, self.silent, self.cuts, self.pause = None, False, False, 0, 0.0
        self.gate.set()


@contextmanager
def hub_with(file: Path) -> Iterator[Hub]:
    """Run a hub with one file in every repository, under the name that open_clip requests first."""
    hub = Hub(file)
    hub.gate.set()
    digest = hashlib.sha256(str(file).encode()).hexdigest()  # the real hub hashes the content; any 64 digits work

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.seen.append(f"{self.command} {self.path}")
            if hub.silent:
                time.sleep(4)
                self.close_connection = True
            elif hub.page:
                self.head(200, {"Content-Type": "text/html", "Content-Length": "17"})
                self.body(b"Please log in now")
            elif not self.path.endswith(NAME):
                self.head(200 if self.path == "/" else 404, {"Content-Length": "0", "X-Error-Code": "EntryNotFound"})
            elif hub.status is not None:
                self.head(hub.status, {"Content-Length": "0", "X-Error-Code": hub.code})
            else:
                self.send_file()

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()

        def body(self, content: bytes) -> None:
            if self.command == "GET":
                self.wfile.write(content)

        def send_file(self) -> None:
            size, asked = hub.file.stat().st_size, re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            headers = {"Content-Length": str(size - start), "X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            self.head(206 if asked else 200, {**headers, "Accept-Ranges": "bytes"})
            if self.command == "GET":
                self.stream(start, size)

        def stream(self, start: int, size: int) -> None:
            with hub.file.open("rb") as file:
                file.seek(start)
                while block := file.read(BLOCK):
                    if hub.cuts and file.tell() > (hub.cut or 0):
                        hub.cuts -= 1
                        self.close_connection = True
                        return
                    if file.tell() > size // 2:
                        hub.gate.wait(60)
                    time.sleep(hub.pause)
                    self.wfile.write(block)

        def log_message(self, *_: object) -> None:
            """Write no log: tests read `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.mend()
        server.shutdown()
        server.server_close()
