"""`python app.py` as a separate process: embedded model, no network, a temp folder that tests can read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STARTUP_LIMIT_S = 120


@dataclass(frozen=True)
class Server:
    """A running app.

    Attributes:
        address: URL without a slash at the end.
        process: process of the server.
        log: file with the output of the process.
        uploads: temp folder of the app.
        ready_after: seconds from the start to the first response.
    """

    address: str
    process: subprocess.Popen
    log: Path
    uploads: Path
    ready_after: float

    def memory(self) -> int:
        """Return the resident memory of the server in bytes (Linux)."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def most(self) -> int:
        """Return the peak resident memory of the server in bytes (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def files(self) -> list[Path]:
        """Return all files in the temp folder."""
        return [path for path in self.uploads.rglob("*") if path.is_file()]


@contextmanager
def serving(folder: Path, command: Sequence[str] = ("app.py",), **environment: str) -> Iterator[Server]:
    """Start the app, wait until it responds, stop it afterwards.

    Args:
        folder: folder for the log and the temp files.
        command: arguments of the Python interpreter.
        environment: additional environment variables.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log, uploads = folder / "server.log", folder / "uploads"
    variables = {
        **os.environ,
        "CLIPTRASE_MODEL": "nano",
        "HF_HUB_OFFLINE": "1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(uploads),
        **environment,
    }
    start = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, log)
        yield Server(address, process, log, uploads, time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + STARTUP_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
