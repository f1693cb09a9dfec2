"""`python -m tests.benchmarks.folder`: speed of `segment FOLDER` relative to `encode` on the same files."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median

from PIL import Image

from cliptrase_core import Segmenter, cli
from cliptrase_core.io.files import asset
from tests.benchmarks.measure import ratio

ROUNDS = 5
SIDES = {640: 24, 4000: 8}
"""Number of pictures by long side in pixels."""

WORDS = (
    "dog; cat; grass; sky; tree; road; person; car; building; water; wall; floor; table; chair; bed; sheep; cow; "
    "horse; bird; flower"
)


def pictures(folder: Path, side: int, count: int) -> list[str]:
    """Write resized bundled photographs as JPEGs and return their paths; those of 12 megapixels are 4 : 3."""
    originals = sorted(asset("examples").glob("*.jpg"))
    paths = []
    for place in range(count):
        with Image.open(originals[place % len(originals)]) as picture:
            width, height = (4, 3) if side > 1000 else picture.size
            size = round(width * side / max(width, height)), round(height * side / max(width, height))
            paths.append(str(folder / f"{place:02d}.jpg"))
            picture.convert("RGB").resize(size).save(paths[-1], quality=92)
    return paths


def seconds(work: Callable[[], object]) -> float:
    """Return the duration of a call in seconds; its output is discarded."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def rows(formats: str) -> Iterator[str]:
    """Yield one row per size: pictures per second and the ratio of the rates, as medians of alternating rounds."""
    segmenter = Segmenter.from_pretrained("nano")
    Segmenter.from_pretrained = classmethod(lambda cls, *args, **settings: segmenter)  # start-up is left out
    for side, count in SIDES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "in")
            folder.mkdir()
            paths = pictures(folder, side, count)
            line = [
                "segment",
                str(folder),
                "--vocabulary",
                WORDS,
                "--output",
                str(Path(place, "out")),
                *formats.split(),
            ]

            def encode(paths: list[str] = paths) -> None:
                for path in paths:
                    segmenter.encode(path)

            def segment(line: list[str] = line) -> None:
                if cli.main(line):
                    raise SystemExit("segment failed")

            for warm in (encode, segment):
                seconds(warm)
            times = [(seconds(encode), seconds(segment)) for _ in range(ROUNDS)]
            alone, whole = ([pair[place] for pair in times] for place in (0, 1))
            rates = f"{count / median(alone):.2f} | {count / median(whole):.2f} | {ratio(alone, whole):.2f}x"
            yield f"| {side} pixels, {count} pictures | {rates} |"


def main() -> None:
    """Print the table."""
    formats = " ".join(sys.argv[1:])
    print(f"nano, 20 words, {os.cpu_count()} cores, {formats or 'default formats'}; target 0.80x\n")
    print("| pictures | `encode` alone, a second | `segment`, a second | rate kept |\n|---|---|---|---|")
    for row in rows(formats):
        print(row, flush=True)


if __name__ == "__main__":
    main()
