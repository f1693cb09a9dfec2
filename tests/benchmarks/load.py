"""`python -m tests.benchmarks.load [--seconds 45] [--visitors 1 4 8 16]`: simultaneous visitors with photographs.

Runs the real server on the loopback with the embedded model and no network. Each visitor repeatedly uploads a new
photograph, presses Segment with a unique word, and reads the answer. Half of the seconds go to photographs of
2 megapixels, half to those of 12. Visitors are threads of this process, so they share the machine with the server.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from demo.settings import EXAMPLES
from tests.photographs import MEGAPIXELS_12, WORDS, photograph
from tests.server import Server, serving
from tests.visitor import Visitor

SIZES = {2: (1224, 1632), 12: MEGAPIXELS_12}
GOAL_VISITORS, GOAL_MEGAPIXELS, GOAL_SECONDS, GOAL_BYTES = 8, 12, 20.0, 2.5e9
HEAD = "| visitors | megapixels | answers | a second | median | worst | errors | resident | most |"


@dataclass
class Round:
    """Measurements while several visitors send photographs of one size.

    Attributes:
        visitors: number of simultaneous visitors.
        megapixels: size of each photograph.
        began: start of the round, by `time.monotonic`.
        ended: time of the last answer, by `time.monotonic`.
        times: seconds from the start of the upload to the result, one per answer.
        errors: messages received instead of results.
        resident: resident memory of the server in bytes, sampled ten times a second.
    """

    visitors: int
    megapixels: int
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    def row(self) -> str:
        """Return one line of the table."""
        cells = [self.visitors, self.megapixels, len(self.times), f"{len(self.times) / (self.ended - self.began):.2f}"]
        cells += [f"{value:.2f} s" for value in (median(self.times), max(self.times))] if self.times else ["-", "-"]
        cells += [len(self.errors), *(f"{size / 1e9:.2f} GB" for size in (self.resident[-1], max(self.resident)))]
        return f"| {' | '.join(map(str, cells))} |"

    @property
    def reaches_the_goal(self) -> bool:
        """True if every visitor got the right answers within the limits of time and memory."""
        fast = bool(self.times) and max(self.times) <= GOAL_SECONDS
        return fast and not self.errors and max(self.resident) <= GOAL_BYTES


def rounds(server: Server, folder: Path, visitors: Sequence[int], seconds: float) -> Iterator[Round]:
    """Wait for the page's first result, then run one round after the other."""
    first = Visitor(server.address)
    first.segment(picture=first.upload(EXAMPLES / "shepherd.jpg"), words="dog; road")
    first.close()
    for megapixels, size in SIZES.items():
        known = photograph(folder / f"{megapixels}.jpg", size=size, quality=80).read_bytes()
        for count in visitors:
            yield one_round(server, folder, known, Round(count, megapixels), seconds / len(SIZES))


def one_round(server: Server, folder: Path, known: bytes, seen: Round, seconds: float) -> Round:
    """Start all visitors at once and wait until they end."""
    people = [
        threading.Thread(target=visit, args=(server, folder, known, seen, number, seen.began + seconds))
        for number in range(seen.visitors)
    ]
    for person in people:
        person.start()
    while any(person.is_alive() for person in people):
        seen.resident.append(server.memory())
        time.sleep(0.1)
    seen.ended = time.monotonic()
    return seen


def visit(server: Server, folder: Path, known: bytes, seen: Round, number: int, end: float) -> None:
    """Run one visitor until `end`, by `time.monotonic`."""
    visitor = Visitor(server.address)
    path = folder / f"{seen.megapixels}-{seen.visitors}-{number}.jpg"
    sent = 0
    while time.monotonic() < end:
        own = f"thing {seen.megapixels} {seen.visitors} {number} {sent}"
        path.write_bytes(known + own.encode())  # trailing bytes are not decoded, but make a new file
        start = time.monotonic()
        try:
            said = visitor.segment(picture=visitor.upload(path), words=f"{WORDS}; {own}")
            if said is None and own not in visitor.shown("legend"):
                said = "somebody else's answer"
        except Exception as error:  # every kind of error counts
            said = repr(error)
        if said is None:
            seen.times.append(time.monotonic() - start)
        else:
            seen.errors.append(said)
        sent += 1
    visitor.close()


def main() -> int:
    """Print the table; return 1 if the goal is missed, else 0."""
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=45.0, help="of each number of visitors")
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 4, 8, 16])
    options = parser.parse_args()
    reached = True
    print(f"{HEAD}\n|{'---|' * HEAD.count(' | ')}---|")
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        for seen in rounds(server, Path(name), options.visitors, options.seconds):
            print(seen.row(), flush=True)
            for said in sorted(set(seen.errors)):
                print(f"  {seen.errors.count(said)} x {said[:200]}")
            if (seen.visitors, seen.megapixels) == (GOAL_VISITORS, GOAL_MEGAPIXELS):
                reached = seen.reaches_the_goal
    goal = f"{GOAL_VISITORS} visitors with {GOAL_MEGAPIXELS} megapixels: all within {GOAL_SECONDS:.0f} s"
    print(f"\nGoal, {goal} and {GOAL_BYTES / 1e9:.1f} GB: {'reached' if reached else 'missed'}.")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
