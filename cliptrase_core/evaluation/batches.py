"""Segment a data set in batches: read ahead in threads, run the model, count pixels, time each batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cliptrase_core.cancel import steps
from cliptrase_core.errors import CliptraseError, memory_explained, one_line
from cliptrase_core.evaluation.metrics import confusion_matrix
from cliptrase_core.evaluation.predictions import Saver
from cliptrase_core.evaluation.predictors import Finish, Predictor
from cliptrase_core.evaluation.records import Record, record_of
from cliptrase_core.evaluation.sources import Labels, Sample, Source

Batch = tuple[int, ...]
"""Indices of the pictures of one forward pass."""

SKIPPED = "nothing but 255: the published script skips it (quirk B3)"
"""Reason in the record of a picture that has no labels, though it could be used."""
_PUBLISHED_VOID = 255


@dataclass(frozen=True, eq=False)
class Reading:
    """Result of reading one picture.

    Attributes:
        key: name of the picture in the data set.
        stamp: stamp of its files from before they were read, so that the next run scores a file again that was
            replaced in between.
        found: prepared sample, or the error that prevented it.
    """

    key: str
    stamp: tuple[int, ...]
    found: Sample | CliptraseError


@dataclass(frozen=True)
class Job:
    """Work to do for each picture.

    Attributes:
        source: data set.
        predictor: protocol together with its model.
        quirks: True skips the pictures that the published script skips.
        readers: number of threads that read ahead; the same number of threads turns encodings into labels.
        saver: writer of the label files; None saves counts only.
    """

    source: Source
    predictor: Predictor
    quirks: bool = False
    readers: int = 2
    saver: Saver | None = None

    def stamp(self, index: int) -> tuple[int, ...]:
        """Return numbers that change when a file on which the record of this picture depends changes."""
        return (*self.source.stamp(index), *self.predictor.stamp(self.source.keys[index]))

    def read(self, index: int) -> Reading:
        """Read and prepare a sample, or store the error if that fails."""
        key, stamp = self.source.keys[index], self.stamp(index)
        try:
            with memory_explained(f"picture {key!r}"):
                return Reading(key, stamp, self.predictor.prepare(self.source.load(index)))
        except CliptraseError as error:
            return Reading(key, stamp, error)

    def segmented(self, index: int) -> tuple[Sample, Labels]:
        """Read and segment one picture alone, for inspection. Raises CliptraseError if that fails."""
        sample = self.read(index).found
        if isinstance(sample, CliptraseError):
            raise sample
        ((finish,),) = self.predictor.predict_each([sample], [self.predictor])
        return sample, finish()


def make_batches(count: int, size: int) -> list[Batch]:
    """Divide pictures 0..count-1 into batches of `size`, in order.

    Batches depend on nothing else. The last bits of matrix products depend on the batch size. Code that distributes
    or resumes a run must therefore distribute or repeat whole batches to get equal labels.
    """
    return [tuple(range(start, min(start + size, count))) for start in range(0, count, size)]


Work = tuple[Batch, Sequence[int]]
"""A batch, and the places of the jobs that it is processed for."""


def run_batches(jobs: Sequence[Job], work: Sequence[Work]) -> Iterator[tuple[list[list[Record]], float]]:
    """Yield the records of each batch in order, and the time of its forward pass through the image tower in seconds.

    Args:
        jobs: jobs on the same source, whose predictors share the encodings of each batch.
        work: batches with their jobs.

    Yields:
        For each job of the batch, the records of the batch; and the seconds.
    """
    source = jobs[0]  # data and readers are the same for all
    ahead = max(2, -(-2 * source.readers // max(1, len(work[0][0]) if work else 1)))
    with ThreadPoolExecutor(source.readers) as readers, ThreadPoolExecutor(source.readers) as finishers:
        waiting: deque[list[Future[Reading]]] = deque()
        finishing: deque[tuple[list[Future[list[Record]]], float]] = deque()
        upcoming = iter(work)
        for _, places in steps(work):
            while len(waiting) < ahead and (more := next(upcoming, None)) is not None:
                waiting.append([readers.submit(source.read, index) for index in more[0]])
            readings = [future.result() for future in waiting.popleft()]
            finishing.append(_start([jobs[place] for place in places], readings, finishers))
            if len(finishing) > 1:  # finish the previous batch after this one has started, so that both overlap
                yield _finished(finishing.popleft())
        while finishing:
            yield _finished(finishing.popleft())


def _start(
    jobs: Sequence[Job], readings: Sequence[Reading], pool: ThreadPoolExecutor
) -> tuple[list[Future[list[Record]]], float]:
    good = [reading.found for reading in readings if isinstance(reading.found, Sample)]
    start = time.perf_counter()
    found = jobs[0].predictor.predict_each(good, [job.predictor for job in jobs]) if good else []
    finish = zip(*found, strict=True)
    seconds = time.perf_counter() - start
    futures = []
    for reading in readings:
        if isinstance(reading.found, Sample):
            futures.append(pool.submit(_count_each, jobs, reading.stamp, reading.found, next(finish)))
        else:
            futures.append(pool.submit(_problem_each, jobs, reading, reading.found))
    return futures, seconds


def _finished(entry: tuple[list[Future[list[Record]]], float]) -> tuple[list[list[Record]], float]:
    futures, seconds = entry
    return [list(records) for records in zip(*(future.result() for future in futures), strict=True)], seconds


def _count_each(jobs: Sequence[Job], stamp: tuple[int, ...], sample: Sample, finish: Sequence[Finish]) -> list[Record]:
    """Count a picture for one job after the other, since they may share a further pass of it."""
    return [_count(job, stamp, sample, each) for job, each in zip(jobs, finish, strict=True)]


def _problem_each(jobs: Sequence[Job], reading: Reading, error: CliptraseError) -> list[Record]:
    return [_problem(reading.key, reading.stamp, error) for _ in jobs]


def _problem(key: str, stamp: tuple[int, ...], error: CliptraseError) -> Record:
    return Record(key, stamp, problem=one_line(error))


def _count(job: Job, stamp: tuple[int, ...], sample: Sample, finish: Finish) -> Record:
    if job.quirks and sample.raw is not None and bool(np.all(sample.raw == _PUBLISHED_VOID)):
        return Record(sample.key, stamp, left_out=SKIPPED)
    try:
        with memory_explained(f"picture {sample.key!r}"):
            labels = sample.in_data_set(finish())
    except CliptraseError as error:
        return _problem(sample.key, stamp, error)
    if job.saver is not None:  # save before the record is made, so that each record has its file
        job.saver.save(sample.key, labels)
    extra = job.source.extra(sample.ground_truth, labels) if job.source.extra else {}
    return record_of(sample.key, stamp, confusion_matrix(sample.ground_truth, labels, len(job.source.names)), extra)
