"""Run pictures through a model at speed: read ahead, batch pictures of one size, write results beside."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import torch

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.export.images import opencv_threads_shared
from cliptrase_core.io.memory import PIXEL_BYTES, available

BATCH = 4
"""Pictures that share a forward pass: more gain nothing on a CPU, and wait for each other."""

MOST_JOBS = 16
IN_FLIGHT_PIXELS = 64_000_000
"""Of all pictures that were read and whose results are not written yet: five of 12 megapixels, some gigabytes."""


class Work(Protocol):
    """A picture that was read."""

    @property
    def kind(self) -> Hashable:
        """What pictures that can share a forward pass have in common."""

    @property
    def pixels(self) -> int:
        """Of the picture."""


Task = TypeVar("Task")
Read = TypeVar("Read", bound=Work)
Done = TypeVar("Done")


def read_jobs(text: str) -> int:
    """How many pictures are worked on at once: "auto" is one for each core that may be used.

    Raises:
        InputError: neither "auto" nor a number from 1 to 64.
    """
    if text == "auto":
        return min(MOST_JOBS, usable_cores())
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    raise InputError(explain("jobs", expected="auto, or a number from 1 to 64", got=repr(text), remedy="Leave it out."))


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@contextmanager
def threads_shared(jobs: int) -> Iterator[None]:
    """Let every job compute on its share of the cores: small models gain more from pictures side by side than from
    threads within one, and OpenCV's threads wait for each other by spinning."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // jobs))
    try:
        with opencv_threads_shared(jobs):
            yield
    finally:
        torch.set_num_threads(before)


class Pipeline(Generic[Task, Read, Done]):
    """Runs tasks through `read`, then groups of one kind through `work`.

    Args:
        read: makes a picture of a task; called ahead, by threads.
        work: finishes some pictures of one kind; called by threads.
        jobs: threads for each.
        batch: most pictures of a group.
    """

    def __init__(
        self, read: Callable[[Task], Read], work: Callable[[Sequence[Read]], Sequence[Done]], jobs: int, batch: int
    ) -> None:
        """Start nothing yet."""
        self._read, self._work = read, work
        self._jobs, self._batch = jobs, batch

    def run(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """What became of each task, as it is finished; of one kind in their order.

        Whoever stops asking stops the run: what is being written is finished, nothing else is begun.
        """
        flow: _Flow[Task, Read, Done] = _Flow(deque(tasks), _room())
        with ThreadPoolExecutor(self._jobs, "read") as readers, ThreadPoolExecutor(self._jobs, "work") as workers:
            try:
                while flow.waiting or flow.reading or flow.groups or flow.working:
                    while flow.may_read(self._jobs * self._batch):
                        flow.reading.append(readers.submit(self._read, flow.waiting.popleft()))
                    while flow.reading and flow.reading[0].done():
                        flow.take(flow.reading.popleft().result())
                    while len(flow.working) < self._jobs and flow.groups:
                        # Towards the end smaller ones, so that no thread works on four while the others have nothing.
                        group = flow.next_group(min(self._batch, max(1, flow.left // (2 * self._jobs))))
                        flow.working[workers.submit(self._work, group)] = sum(picture.pixels for picture in group)
                        del group
                    first: list[Future[Any]] = [*list(flow.reading)[:1], *flow.working]
                    wait(first, return_when=FIRST_COMPLETED)
                    for done in [future for future in flow.working if future.done()]:
                        flow.held -= flow.working.pop(done)
                        yield from done.result()
            finally:
                begun: list[Future[Any]] = [*flow.reading, *flow.working]
                for future in begun:
                    future.cancel()


class _Flow(Generic[Task, Read, Done]):
    """Where every picture of a run is.

    Attributes:
        waiting: not begun.
        reading: in their order.
        groups: read, by kind.
        working: groups at work, with their pixels.
        held: pixels that were read and are not finished.
    """

    def __init__(self, waiting: deque[Task], room: int) -> None:
        self.waiting, self._room = waiting, room
        self.reading: deque[Future[Read]] = deque()
        self.groups: dict[Hashable, list[Read]] = {}
        self.working: dict[Future[Sequence[Done]], int] = {}
        self.held = self._largest = 0

    @property
    def left(self) -> int:
        """Pictures that no thread works on yet."""
        return len(self.waiting) + self._read

    @property
    def _read(self) -> int:
        return len(self.reading) + sum(map(len, self.groups.values()))

    def may_read(self, ahead: int) -> bool:
        """Whether one more picture may be read: as large as the largest so far, it would not fill the memory."""
        if not self.waiting:
            return False
        nothing = not self.reading and not self.held
        return nothing or (self._read < ahead and self.held + (len(self.reading) + 1) * self._largest <= self._room)

    def take(self, picture: Read) -> None:
        """Put a picture that was read to those of its kind."""
        self.groups.setdefault(picture.kind, []).append(picture)
        self.held += picture.pixels
        self._largest = max(self._largest, picture.pixels)

    def next_group(self, batch: int) -> list[Read]:
        """A full group if there is one, else the first: a thread without work is worse than a small group."""
        kind = next((kind for kind, group in self.groups.items() if len(group) >= batch), next(iter(self.groups)))
        group = self.groups.pop(kind)
        if len(group) > batch:
            self.groups[kind] = group[batch:]
        return group[:batch]


def _room() -> int:
    left = available()
    return IN_FLIGHT_PIXELS if left is None else min(IN_FLIGHT_PIXELS, left // (2 * PIXEL_BYTES))
