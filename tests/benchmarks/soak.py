"""`python -m tests.benchmarks.soak [--requests 5000]`: mixed requests, then memory and the temp folder.

The requests are those of a busy day: new words, new pictures, clicks on pictures and patches, mistakes, hostile files,
tabs that close before their answer; a tenth are photographs of 12 megapixels. Caches and the number of sessions
are small here and the warm-up fills them, so later growth is a leak. The exit code is 1 if memory grew by more than a
tenth, if an answer was unexpected, or if files were left.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo.settings import EXAMPLES
from tests.photographs import photograph
from tests.server import ROOT, Server, serving
from tests.visitor import API, Visitor

HOSTILE = sorted((ROOT / "tests" / "data" / "images").iterdir())
WARM_UP = 100
MOST_GROWTH = 0.1
SMALL_STORES = """
import runpy, demo.settings as settings
settings.CACHED_PICTURE_BYTES = settings.CACHED_RESULT_BYTES = 20_000_000
settings.SESSIONS = 5
runpy.run_path("app.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Soaked:
    """Result of a soak test.

    Attributes:
        requests: number of requests after the warm-up.
        unexpected: messages that a request of its kind should not get.
        resident: memory of the server in bytes, after the warm-up, and after each tenth of the requests.
        left: files in its temp folder after it has stopped.
    """

    requests: int
    unexpected: list[str]
    resident: list[int]
    left: int

    @property
    def growth(self) -> float:
        """Growth of the memory since the warm-up, as a share."""
        return self.resident[-1] / self.resident[0] - 1

    @property
    def passed(self) -> bool:
        """True if memory did not leak, no answer was unexpected and no files were left."""
        return self.growth <= MOST_GROWTH and not self.unexpected and not self.left


def soak(folder: Path, requests: int, warm_up: int = WARM_UP, told: Callable[[int, int], None] | None = None) -> Soaked:
    """Start a server, send it mixed requests, stop it and count the remaining files.

    Args:
        folder: folder for the server's files.
        requests: number of requests after the warm-up.
        warm_up: number of requests that do not count.
        told: called after each tenth with the number of requests so far and the server's memory in bytes.
    """
    with serving(folder, ("-c", SMALL_STORES)) as server:
        unexpected = _ask(server, folder, range(warm_up))
        resident = [server.memory()]
        for part in range(10):
            first, last = (warm_up + requests * end // 10 for end in (part, part + 1))
            unexpected += _ask(server, folder, range(first, last))
            resident.append(server.memory())
            if told:
                told(last - warm_up, resident[-1])
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=30)
        return Soaked(requests, unexpected, resident, len(server.files()))


def _ask(server: Server, folder: Path, numbers: range) -> list[str]:
    """Send requests of every kind in turn, with a new visitor every 20; return the unexpected messages."""
    visitor, unexpected = _arrive(server), []
    for i in numbers:
        if i % 20 == 19:
            visitor.close()
            visitor = _arrive(server)
        told = KINDS[i % len(KINDS)](visitor, folder, i)
        if told:
            unexpected.append(f"request {i}: {told}")
    visitor.close()
    return unexpected


def _arrive(server: Server) -> Visitor:
    visitor = Visitor(server.address)
    visitor.do("segment", picture=visitor.upload(EXAMPLES / "shepherd.jpg"), words="dog; road")
    return visitor


def _new_words(visitor: Visitor, folder: Path, i: int) -> str | None:
    return visitor.segment(words=f"dog {i}; road; wall {i}")


def _new_picture(visitor: Visitor, folder: Path, i: int) -> str | None:
    path = folder / "new.png"
    noise = np.random.default_rng(i).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    Image.fromarray(noise).save(path)
    return visitor.segment(picture=visitor.upload(path))


def _photograph(visitor: Visitor, folder: Path, i: int) -> str | None:
    """Segment a new photograph of 12 megapixels, as phones take them; every third result is also downloaded."""
    known, path = folder / "known.jpg", folder / "photograph.jpg"
    if not known.exists():
        photograph(known, quality=80)
    path.write_bytes(known.read_bytes() + str(i).encode())  # not decoded, but makes the file a new one
    told = visitor.segment(picture=visitor.upload(path))
    return told or (visitor.do("download").error if i % 3 == 0 else None)


def _point(visitor: Visitor, folder: Path, i: int) -> str | None:
    return visitor.do("result", "select", at=[i % 300, i % 200]).error


def _patch(visitor: Visitor, folder: Path, i: int) -> str | None:
    return visitor.do("patches", "select", at=[i % 300, i % 200]).error


def _mistake(visitor: Visitor, folder: Path, i: int) -> str | None:
    said = visitor.segment(words="cat | floor")
    visitor.set(words="dog; road")
    return None if "background" in (said or "") else f"expected a refusal, got {said}"


def _hostile_file(visitor: Visitor, folder: Path, i: int) -> str | None:
    said = visitor.segment(picture=visitor.upload(HOSTILE[i % len(HOSTILE)]))
    visitor.segment(picture=visitor.upload(EXAMPLES / "shepherd.jpg"))
    return None if said is None or "expected" in said else said


def _leave_early(visitor: Visitor, folder: Path, i: int) -> str | None:
    visitor.set(words=f"left {i}; road")
    listener = visitor.event("segment", "click")
    visitor.join(listener["id"], visitor.data(listener))
    with visitor.http.stream("GET", f"{API}/queue/data", params={"session_hash": visitor.session}) as stream:
        next(stream.iter_lines())
    return None


KINDS: tuple[Callable[[Visitor, Path, int], str | None], ...] = (
    _new_words,
    _point,
    _new_picture,
    _photograph,
    _patch,
    _mistake,
    _hostile_file,
    _point,
    _new_words,
    _leave_early,
)


def main() -> int:
    """Run the soak test and print its result; return 1 if it failed."""
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    options = parser.parse_args()

    def tell(requests: int, size: int) -> None:
        print(f"{requests} requests: {size / 1e6:.0f} MB", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        seen = soak(Path(folder), options.requests, told=tell)
    before, after = seen.resident[0] / 1e6, seen.resident[-1] / 1e6
    print(f"{seen.requests} mixed requests after {WARM_UP} to warm up: memory {before:.0f} MB, then {after:.0f} MB")
    print(f"({seen.growth:+.1%}); {len(seen.unexpected)} unexpected answers; {seen.left} files left.")
    print("\n".join(seen.unexpected))
    return 0 if seen.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
