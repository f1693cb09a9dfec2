"""Segment a data set in batches: read ahead in threads, run the model, count pixels, time each part."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cliptrase_core.cancel import steps
from cliptrase_core.errors import CliptraseError, memory_explained
from cliptrase_core.evaluation.metrics import confusion_matrix
from cliptrase_core.evaluation.predictions import Saver
from cliptrase_core.evaluation.predictors import Outcome, Predictor
from cliptrase_core.evaluation.records import Record, record_of
from cliptrase_core.evaluation.sources import Sample, Source

Batch = tuple[int, ...]
"""Indices of pictures that share a forward pass."""

_PUBLISHED_VOID = 255


@dataclass(frozen=True)
class Job:
    """What is done with every picture.

    Attributes:
        source: the data set.
        predictor: the protocol on a model.
        quirks: leave out what the published script leaves out.
        readers: threads that read ahead, and as many that turn encodings into labels.
        saver: keeps the labels; None keeps nothing but counts.
    """

    source: Source
    predictor: Predictor
    quirks: bool = False
    readers: int = 2
    saver: Saver | None = None

    def stamp(self, index: int) -> tuple[int, ...]:
        """Numbers that change when a file does that a picture's record follows from."""
        return (*self.source.stamp(index), *self.predictor.stamp(self.source.keys[index]))

    def read(self, index: int) -> Sample | CliptraseError:
        """A prepared sample, or why there is none."""
        try:
            with memory_explained(f"picture {self.source.keys[index]!r}"):
                return self.predictor.prepare(self.source.load(index))
        except CliptraseError as error:
            return error

    def outcome(self, index: int) -> tuple[Sample, Outcome]:
        """One picture by itself, for whoever wants to look at it."""
        sample = self.read(index)
        if isinstance(sample, CliptraseError):
            raise sample
        return sample, self.predictor.predict([sample])[0]()


def make_batches(count: int, size: int) -> list[Batch]:
    """Pictures 0..count-1 in order, `size` together.

    Batches depend on nothing else: products of matrices differ in the last bits with the size of a batch, so
    whoever shares or resumes work must share or repeat whole batches to get equal labels.
    """
    return [tuple(range(start, min(start + size, count))) for start in range(0, count, size)]


def run_batches(job: Job, batches: Sequence[Batch]) -> Iterator[tuple[list[Record], float]]:
    """Records of each batch in order, and the seconds that the image tower took for it."""
    ahead = max(2, -(-2 * job.readers // max(1, len(batches[0]) if batches else 1)))
    with ThreadPoolExecutor(job.readers) as readers, ThreadPoolExecutor(job.readers) as finishers:
        waiting: deque[list[Future[Sample | CliptraseError]]] = deque()
        finishing: deque[tuple[list[Future[Record]], float]] = deque()
        upcoming = iter(batches)
        for batch in steps(batches):
            while len(waiting) < ahead and (more := next(upcoming, None)) is not None:
                waiting.append([readers.submit(job.read, index) for index in more])
            samples = [future.result() for future in waiting.popleft()]
            finishing.append(_start(job, batch, samples, finishers))
            if len(finishing) > 1:  # the batch before is labelled while this one was encoded
                yield _finished(finishing.popleft())
        while finishing:
            yield _finished(finishing.popleft())


def _start(
    job: Job, batch: Batch, samples: Sequence[Sample | CliptraseError], pool: ThreadPoolExecutor
) -> tuple[list[Future[Record]], float]:
    good = [sample for sample in samples if isinstance(sample, Sample)]
    start = time.perf_counter()
    finish = iter(job.predictor.predict(good) if good else [])
    seconds = time.perf_counter() - start
    futures = []
    for index, sample in zip(batch, samples, strict=True):
        if isinstance(sample, Sample):
            futures.append(pool.submit(_count, job, index, sample, next(finish)))
        else:
            futures.append(pool.submit(_problem, job, index, sample))
    return futures, seconds


def _finished(entry: tuple[list[Future[Record]], float]) -> tuple[list[Record], float]:
    futures, seconds = entry
    return [future.result() for future in futures], seconds


def _problem(job: Job, index: int, error: CliptraseError) -> Record:
    return Record(job.source.keys[index], job.stamp(index), problem=" ".join(str(error).split()))


def _count(job: Job, index: int, sample: Sample, finish: Callable[[], Outcome]) -> Record:
    stamp = job.stamp(index)
    if job.quirks and sample.raw is not None and bool(np.all(sample.raw == _PUBLISHED_VOID)):
        return Record(sample.key, stamp, left_out="nothing but 255: the published script skips it (quirk B3)")
    try:
        with memory_explained(f"picture {sample.key!r}"):
            outcome = finish()
    except CliptraseError as error:
        outcome = error
    if isinstance(outcome, CliptraseError):
        return _problem(job, index, outcome)
    labels = np.asarray(outcome) if sample.labels is None else sample.labels[np.asarray(outcome)]
    if job.saver is not None:  # before the record, so that a record has its file
        job.saver.save(sample.key, labels)
    extra = job.source.extra(sample.truth, labels) if job.source.extra else {}
    return record_of(sample.key, stamp, confusion_matrix(sample.truth, labels, len(job.source.names)), extra)
