"""Fast processing of many pictures: read ahead, batch pictures of one size, write results in parallel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import torch

from cliptrase_core.io.export.images import opencv_threads_shared
from cliptrase_core.io.memory import PIXEL_BYTES, available

BATCH = 4
"""Maximum number of pictures in a forward pass. More are not faster on a CPU and wait for each other."""

IN_FLIGHT_PIXELS = 64_000_000
"""Maximum total pixels of pictures between reading and writing: five of 12 megapixels, some gigabytes of memory."""


class Work(Protocol):
    """Picture that has been read."""

    @property
    def kind(self) -> Hashable:
        """Group key; pictures with the same key can share a forward pass."""

    @property
    def pixels(self) -> int:
        """Number of pixels of the picture."""


Task = TypeVar("Task")
Read = TypeVar("Read", bound=Work)
Done = TypeVar("Done")


@contextmanager
def threads_shared(jobs: int) -> Iterator[None]:
    """Limit every job to its share of the cores.

    Small models gain more from parallel pictures than from threads within one picture. OpenCV's threads wait for each
    other by spinning.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // jobs))
    try:
        with opencv_threads_shared(jobs):
            yield
    finally:
        torch.set_num_threads(before)


class Pipeline(Generic[Task, Read, Done]):
    """Pipeline of two stages: `read` processes single tasks, `work` processes groups of one kind.

    Args:
        read: function that reads the picture of a task; runs ahead, in threads.
        work: function that processes pictures of one kind; runs in threads.
        jobs: number of threads for each stage.
        batch: maximum number of pictures in a group.
    """

    def __init__(
        self, read: Callable[[Task], Read], work: Callable[[Sequence[Read]], Sequence[Done]], jobs: int, batch: int
    ) -> None:
        """Store the settings; `run` starts the threads."""
        self._read, self._work = read, work
        self._jobs, self._batch = jobs, batch

    def run(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Yield the result of each task as soon as its group is finished; a group keeps the order of its tasks.

        If the caller stops the iteration, the run stops: groups in progress are finished, no others are started.
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
                        # Use smaller groups near the end, so that no thread is left idle.
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
    """State of all pictures of a run.

    Attributes:
        waiting: tasks that have not started.
        reading: pictures being read, in the order of the tasks.
        groups: pictures ready for work, by kind.
        working: groups in progress, with their number of pixels.
        held: total pixels of pictures that are read but not finished.
    """

    def __init__(self, waiting: deque[Task], room: int) -> None:
        self.waiting, self._room = waiting, room
        self.reading: deque[Future[Read]] = deque()
        self.groups: dict[Hashable, list[Read]] = {}
        self.working: dict[Future[Sequence[Done]], int] = {}
        self.held = self._largest = 0

    @property
    def left(self) -> int:
        """Number of pictures that are not in a group in progress."""
        return len(self.waiting) + self._read

    @property
    def _read(self) -> int:
        return len(self.reading) + sum(map(len, self.groups.values()))

    def may_read(self, ahead: int) -> bool:
        """Return whether one more picture, assumed as large as the largest so far, may be read within the limits."""
        if not self.waiting:
            return False
        nothing = not self.reading and not self.held
        return nothing or (self._read < ahead and self.held + (len(self.reading) + 1) * self._largest <= self._room)

    def take(self, picture: Read) -> None:
        """Add a picture to the group of its kind."""
        self.groups.setdefault(picture.kind, []).append(picture)
        self.held += picture.pixels
        self._largest = max(self._largest, picture.pixels)

    def next_group(self, batch: int) -> list[Read]:
        """Remove and return a full group, else the first one: a small group is better than an idle thread."""
        kind = next((kind for kind, group in self.groups.items() if len(group) >= batch), next(iter(self.groups)))
        group = self.groups.pop(kind)
        if len(group) > batch:
            self.groups[kind] = group[batch:]
        return group[:batch]


def _room() -> int:
    left = available()
    return IN_FLIGHT_PIXELS if left is None else min(IN_FLIGHT_PIXELS, left // (2 * PIXEL_BYTES))
