"""`python -m tests.benchmarks.load [--seconds 45] [--visitors 1 4 8 16]`: many people at once, with photographs.

The real server on the loopback, embedded model, no network. Each visitor uploads a photograph that nobody has sent
yet, presses Segment with a word of his own, reads the answer, and begins anew. Half of each round's seconds go to
photographs of 2 megapixels, half to those of 12. Visitors are threads of this process: they share the machine with the
server.
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
    """What was seen while some visitors sent photographs of one size.

    Attributes:
        visitors: at once.
        megapixels: of each photograph.
        began: by `time.monotonic`.
        ended: when the last answer came.
        times: seconds from the upload to the result, one for each answer.
        errors: what was said instead.
        resident: bytes of the server, ten times a second.
    """

    visitors: int
    megapixels: int
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        cells = [self.visitors, self.megapixels, len(self.times), f"{len(self.times) / (self.ended - self.began):.2f}"]
        cells += [f"{value:.2f} s" for value in (median(self.times), max(self.times))] if self.times else ["-", "-"]
        cells += [len(self.errors), *(f"{size / 1e9:.2f} GB" for size in (self.resident[-1], max(self.resident)))]
        return f"| {' | '.join(map(str, cells))} |"

    @property
    def reaches_the_goal(self) -> bool:
        """Whether everybody got an answer of his own in time and memory, for the round that has a goal."""
        fast = bool(self.times) and max(self.times) <= GOAL_SECONDS
        return fast and not self.errors and max(self.resident) <= GOAL_BYTES


def rounds(server: Server, folder: Path, visitors: Sequence[int], seconds: float) -> Iterator[Round]:
    """One round after the other; the page's first result is waited for before."""
    first = Visitor(server.address)
    first.segment(picture=first.upload(EXAMPLES / "shepherd.jpg"), words="dog; road")
    first.close()
    for megapixels, size in SIZES.items():
        known = photograph(folder / f"{megapixels}.jpg", size=size, quality=80).read_bytes()
        for count in visitors:
            yield one_round(server, folder, known, Round(count, megapixels), seconds / len(SIZES))


def one_round(server: Server, folder: Path, known: bytes, seen: Round, seconds: float) -> Round:
    """Let all visitors come at once and go on until the time is over."""
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
    """What one visitor does until a time."""
    visitor = Visitor(server.address)
    path = folder / f"{seen.megapixels}-{seen.visitors}-{number}.jpg"
    sent = 0
    while time.monotonic() < end:
        own = f"thing {seen.megapixels} {seen.visitors} {number} {sent}"
        path.write_bytes(known + own.encode())  # what follows the picture is not read, but makes another file of it
        start = time.monotonic()
        try:
            said = visitor.segment(picture=visitor.upload(path), words=f"{WORDS}; {own}")
            if said is None and own not in visitor.shown("legend"):
                said = "somebody else's answer"
        except Exception as error:  # whatever it is, it counts
            said = repr(error)
        if said is None:
            seen.times.append(time.monotonic() - start)
        else:
            seen.errors.append(said)
        sent += 1
    visitor.close()


def main() -> int:
    """Print the table; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
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
