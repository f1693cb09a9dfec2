"""Local reverse proxy that serves an app below a path and strips the path, like nginx in docs/deployment.md."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def proxied(port: int, prefix: str) -> Iterator[str]:
    """Run the proxy for the app on `port` and yield its address; paths outside `prefix` get 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.forward()

        def do_POST(self) -> None:
            self.forward()

        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            asked |= {"X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Proto": "http"}
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            behind.request(self.command, self.path.removeprefix(prefix), body, asked)
            answer = behind.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while block := answer.read1(65536):  # forward blocks immediately, since answers are streamed
                self.wfile.write(block)
                self.wfile.flush()
            behind.close()

        def log_message(self, *_: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
