"""`python -m tests.benchmarks.page`: waiting times of a user, measured over HTTP on `python app.py`.

Embedded model, no network. Each row does the same as a browser: send the event, read the queue until the answer, fetch
the picture that the answer names. Reports the median and the maximum of several runs.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from demo.settings import EXAMPLES
from tests.photographs import WORDS, photograph
from tests.server import Server, serving
from tests.visitor import Answer, Visitor

ROUNDS = 15
LARGE_ROUNDS = 5
PEOPLE = 8
Row = tuple[str, str, str, str]


def rows() -> Iterator[Row]:
    """Yield name, target, median and maximum of each measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder) as server:
            yield "page ready, offline", "<= 10 s", f"{server.ready_after:.1f} s", ""
            visitor = Visitor(server.address)
            segment(visitor, EXAMPLES / "shepherd.jpg", "dog; road")  # waits for the model
            yield row("new picture -> overlay", "<= 1.0 s", new_pictures(visitor, folder))
            segment(visitor, EXAMPLES / "shepherd.jpg", "dog; road")
            yield row("3 new words -> overlay", "<= 0.3 s", repeat(lambda i: new_words(visitor, i)))
            yield row("the same question again", "-", repeat(lambda i: shown(visitor, visitor.do("segment"))))
            yield row("click on the result: what is here", "-", repeat(lambda i: point(visitor, i)))
            yield row("click on a patch: both maps", "<= 0.15 s", repeat(lambda i: patch(visitor, i)))
            yield row(
                "Compare: steps and nine methods, new picture",
                "<= 3 s",
                comparisons(visitor, [photo(folder, 500 + i) for i in range(ROUNDS + 1)], "dog; bushes; grass"),
            )
            yield together(server, folder)
            visitor.close()
        with serving(folder) as server:
            yield from photographs(server, folder)


def photographs(server: Server, folder: Path) -> Iterator[Row]:
    """Yield rows for photographs of 12 megapixels, then the memory of the server."""
    paths = [photograph(folder / f"large-{i}.jpg", i, quality=80) for i in range(LARGE_ROUNDS + 1)]
    visitor = Visitor(server.address)
    segment(visitor, EXAMPLES / "shepherd.jpg", "dog; road")  # waits for the model
    yield row("12 megapixels -> overlay", "<= 1.5 s", few(lambda i: segment(visitor, paths[i], WORDS)))
    yield row("3 new words -> overlay", "<= 0.5 s", repeat(lambda i: new_words(visitor, i)))
    visitor.do("segment", words=WORDS)
    yield row("eps -> overlay", "<= 0.3 s", repeat(lambda i: eps(visitor, i)))
    yield row("click on a region", "<= 0.3 s", repeat(lambda i: region(visitor, i)))
    yield row("click on the result: what is here", "-", repeat(lambda i: point(visitor, i)))
    yield row("click on a patch: both maps", "<= 0.15 s", repeat(lambda i: patch(visitor, i)))
    yield row("Compare: steps and nine methods", "<= 4 s", comparisons(visitor, paths, f"{WORDS}; plant"))
    yield row("two of them side by side", "-", few(lambda i: pair(visitor, i)))
    yield row("Compare again", "-", few(lambda i: expect(visitor.do("compare-go"))))
    yield row("refined by sam-nano+edges", "-", few(lambda i: expect(visitor.do("refine-go"))))
    yield row("download: 4000 x 3000 as zip", "<= 6 s", few(lambda i: archive(visitor)))
    visitor.close()
    yield "memory after all of it", "<= 1.2 GB", f"{server.memory() / 1e9:.2f} GB", f"{server.most() / 1e9:.2f} GB"


def few(work: Callable[[int], Any]) -> list[float]:
    """Return the seconds of `LARGE_ROUNDS` runs, for slow actions."""
    return repeat(work, LARGE_ROUNDS)


def row(what: str, target: str, times: list[float]) -> Row:
    """Return one row of the table."""
    return what, target, f"{median(times):.2f} s", f"{max(times):.2f} s"


def repeat(work: Callable[[int], Any], rounds: int = ROUNDS) -> list[float]:
    """Return the seconds of each run without the first, which fills caches of libraries."""
    times = []
    for i in range(rounds + 1):
        start = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - start)
    return times[1:]


def new_pictures(visitor: Visitor, folder: Path) -> list[float]:
    """Return the seconds for new pictures of 1024 x 768, uploaded as JPEG."""
    paths = [photo(folder, i) for i in range(ROUNDS + 1)]
    return repeat(lambda i: segment(visitor, paths[i], "dog; road"))


def photo(folder: Path, seed: int) -> Path:
    """Write a random picture that differs for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = folder / f"{seed}.jpg"
    Image.fromarray(small).resize((1024, 768), Image.Resampling.BICUBIC).save(path)
    return path


def segment(visitor: Visitor, path: Path, words: str) -> Answer:
    """Upload a picture, press Segment and wait for the overlay."""
    return shown(visitor, visitor.do("segment", picture=visitor.upload(path), words=words))


def new_words(visitor: Visitor, i: int) -> Answer:
    """Segment with three words that were not used before."""
    return shown(visitor, visitor.do("segment", words=f"dog {i}; road {i}; wall {i}"))


def point(visitor: Visitor, i: int) -> Answer:
    """Click the result."""
    return expect(visitor.do("result", "select", at=[20 + 30 * i, 100]))


def patch(visitor: Visitor, i: int) -> None:
    """Click a patch and fetch both attention maps."""
    expect(visitor.do("patches", "select", at=[20 + 40 * i, 100]))
    for name in ("before", "after"):
        fetch(visitor, visitor.shown(name))


def eps(visitor: Visitor, i: int) -> Answer:
    """Move the eps slider while the Clusters tab is closed."""
    return shown(visitor, visitor.do("eps", "input", automatic=False, eps=0.5 + 0.01 * i))


def region(visitor: Visitor, i: int) -> None:
    """Click a patch in the Clusters tab and fetch both maps."""
    expect(visitor.do("regions-after", "select", at=[20 + 40 * i, 100]))
    for name in ("regions-before", "regions-after"):
        fetch(visitor, visitor.shown(name))


def pair(visitor: Visitor, i: int) -> Answer:
    """Choose another result for the right side."""
    names = ("clip", "recovery", "clustering", "cliptrase", "maskclip", "gem")
    return expect(visitor.do("compare-after", "input", **{"compare-after": names[i % len(names)]}))


def archive(visitor: Visitor) -> None:
    """Press Download and fetch the zip."""
    expect(visitor.do("download"))
    fetch(visitor, visitor.shown("file"))


def comparisons(visitor: Visitor, paths: list[Path], words: str) -> list[float]:
    """Return the seconds of Compare for results that were not compared before, without the first."""
    times = []
    for path in paths:
        segment(visitor, path, words)
        start = time.perf_counter()
        expect(visitor.do("compare-go"))
        times.append(time.perf_counter() - start)
    return times[1:]


def shown(visitor: Visitor, answer: Answer) -> Answer:
    """Return the answer; raise RuntimeError if it has no result for the browser to draw."""
    if not visitor.shown("result"):
        raise RuntimeError(f"expected a result, got {visitor.shown('status')}")
    return expect(answer)


def fetch(visitor: Visitor, value: dict[str, Any]) -> None:
    """Fetch a file that an answer names."""
    visitor.http.get(value["url"]).raise_for_status()


def expect(answer: Answer) -> Answer:
    """Return the answer; raise RuntimeError if it is an error."""
    if not answer.succeeded:
        raise RuntimeError(f"expected an answer, got {answer.messages[-1]}")
    return answer


def together(server: Server, folder: Path) -> Row:
    """Return the row for eight people who press Segment at the same time, each with a different picture."""
    times: dict[int, float] = {}
    places: list[int] = []

    def ask(i: int) -> None:
        one = Visitor(server.address)
        start = time.perf_counter()
        places.extend(segment(one, photo(folder, 1_000 + i), f"thing {i}; other {i}").places)
        times[i] = time.perf_counter() - start
        if f"thing {i}" not in one.shown("legend"):
            raise RuntimeError(f"person {i} got somebody else's answer")

    people = [threading.Thread(target=ask, args=(i,)) for i in range(PEOPLE)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    if len(times) != PEOPLE:
        raise RuntimeError(f"expected {PEOPLE} answers, got {len(times)}")
    what = f"{PEOPLE} people at once, new picture each (told places 0 to {max(places)})"
    return row(what, "none fails", list(times.values()))


def main() -> None:
    """Print the table."""
    print("| what | target | median | worst |\n|---|---|---|---|")
    for one in rows():
        print("| " + " | ".join(one) + " |", flush=True)


if __name__ == "__main__":
    main()
