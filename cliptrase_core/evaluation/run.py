"""Run an evaluation: lock the report, resume earlier work, distribute work to processes, collect records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import distributed
from tqdm import tqdm

from cliptrase_core.errors import CliptraseError, InputError
from cliptrase_core.evaluation.batches import SKIPPED, Job, Work, make_batches, run_batches
from cliptrase_core.evaluation.records import Header, Ledger, Record, every_record, forget, part_path, read_ledgers
from cliptrase_core.io.files import not_written


@dataclass(frozen=True)
class Pace:
    """Speed of a run.

    Attributes:
        images: number of pictures segmented by this run, in all processes together.
        resumed: number of pictures segmented by earlier runs.
        seconds: wall-clock time of the whole loop, in seconds.
        encoder_seconds: mean time per process in the image encoder, in seconds.
    """

    images: int
    resumed: int
    seconds: float
    encoder_seconds: float


@dataclass(frozen=True)
class Finished:
    """Result of a run: the records of all pictures in the order of the data set, and the speed."""

    records: Sequence[Record]
    pace: Pace


@dataclass(frozen=True)
class Part:
    """One report of a run.

    Attributes:
        job: data set, predictor and options to process each picture.
        header: settings of the evaluation; earlier records with another header are refused.
        output: file of the report; the records are in a folder beside it.
    """

    job: Job
    header: Header
    output: Path


def records_folder(output: Path) -> Path:
    """Return the folder of the records of a report."""
    return output.with_name(f"{output.stem}.records")


@contextmanager
def only_writer(output: Path, group: Group) -> Iterator[None]:
    """Hold the lock of a report; the operating system releases it if the process dies.

    Raises:
        InputError: another process writes this report, or its folder is not writable.
    """
    lock = FileLock(output.with_name(f"{output.name}.lock"))

    def take() -> None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            got = "another process that writes it now"
            remedy = "Wait until it is done, or choose another --output."
            raise InputError(f"report {output.name!r}", expected="no other writer", got=got, remedy=remedy) from error
        except OSError as error:
            raise not_written("output folder", output.parent, error, "--output") from error

    group.by_first(take)
    try:
        yield
    finally:
        lock.release()


def run_together(parts: Sequence[Part], batch: int, group: Group, *, fresh: bool = False) -> list[Finished] | None:
    """Evaluate the pictures that have no record of an earlier run; call this function inside `only_writer`.

    Args:
        parts: reports on the same data, whose predictors differ in the method alone; each picture is encoded once.
        batch: number of pictures in one forward pass.
        group: processes that share the work.
        fresh: remove earlier records first.

    Returns:
        The result of each part in the first process, None in the others.

    Raises:
        InputError: earlier records have other settings, or are damaged.
    """
    keys = parts[0].job.source.keys
    known = group.by_first(lambda: [_known(part, fresh) for part in parts])
    lacking = [
        (indices, [place for place, there in enumerate(known) if any(keys[index] not in there for index in indices)])
        for indices in make_batches(len(keys), batch)
    ]
    work = [(indices, places) for indices, places in lacking if places]
    start = time.perf_counter()
    mine, encoder_seconds = _work(parts, work[group.rank :: group.world], known, group.rank)
    gathered = group.gather((mine, encoder_seconds))
    if not group.first:
        return None
    seconds = time.perf_counter() - start
    found = []
    for place, part in enumerate(parts):
        new = {record.key: record for records, _ in gathered for record in records[place]}
        _keep_others(records_folder(part.output), new, part.header)
        pace = Pace(
            images=len(new),
            resumed=len(keys) - len(new),
            seconds=seconds,
            encoder_seconds=sum(seconds for _, seconds in gathered) / len(gathered),
        )
        everything = new | known[place]
        found.append(Finished([everything[key] for key in keys], pace))
    return found


def _keep_others(folder: Path, new: Mapping[str, Record], header: Header) -> None:
    """Store records of processes on other machines too, since machines need not share a file system."""
    here = every_record(folder)
    if others := [record for key, record in new.items() if here.get(key) != record]:
        with Ledger(part_path(folder, 0), header) as ledger:
            ledger.append(others)


def _known(part: Part, fresh: bool) -> dict[str, Record]:
    job, folder = part.job, records_folder(part.output)
    if fresh:
        forget(folder)
    known = read_ledgers(folder, part.header, {key: job.stamp(index) for index, key in enumerate(job.source.keys)})
    if job.saver is None:
        return known
    job.saver.open(fresh)
    return {
        key: record
        for key, record in known.items()
        if record.problem or record.left_out == SKIPPED or job.saver.has(key)
    }


def _work(
    parts: Sequence[Part], work: Sequence[Work], known: Sequence[dict[str, Record]], rank: int
) -> tuple[list[list[Record]], float]:
    """Process the batches of this process; return the new records of each part and the seconds in the image encoder."""
    done: list[list[Record]] = [[] for _ in parts]
    encoder_seconds = 0.0
    pictures = sum(len(batch) for batch, _ in work)
    quiet = True if not pictures or rank > 0 else None  # only one process shows a bar; None: off unless on a terminal
    with ExitStack() as stack:
        paths = [part_path(records_folder(part.output), rank) for part in parts]
        ledgers = [stack.enter_context(Ledger(path, part.header)) for path, part in zip(paths, parts, strict=True)]
        bar = stack.enter_context(tqdm(total=pictures, unit="image", disable=quiet))
        for (batch, places), (each, seconds) in zip(work, run_batches([part.job for part in parts], work), strict=True):
            for place, records in zip(places, each, strict=True):
                # A batch is always repeated as a whole; pictures that have a record keep it.
                new = [record for record in records if record.key not in known[place]]
                ledgers[place].append(new)
                done[place] += new
            encoder_seconds += seconds
            bar.update(len(batch))
    return done, encoder_seconds


T = TypeVar("T")

_PATIENCE = timedelta(hours=12)
"""Maximal time that the fastest process waits for the slowest."""


class Group:
    """Group of processes that share one evaluation; a single process unless `torchrun` started more.

    Args:
        rank: rank of this process, from 0.
        world: number of processes.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        """Store rank and number of processes."""
        self.rank, self.world = rank, world

    @property
    def first(self) -> bool:
        """True in the first process, which writes the report."""
        return self.rank == 0

    def by_first(self, action: Callable[[], T]) -> T:
        """Run an action in the first process, and return its result in every process.

        Raises:
            CliptraseError: error of the action, raised in every process.
        """
        answer: list[tuple[T | None, CliptraseError | None]] = [(None, None)]
        if self.first:
            try:
                answer = [(action(), None)]
            except CliptraseError as error:
                answer = [(None, error)]
        if self.world > 1:
            distributed.broadcast_object_list(answer, src=0)
        value, refused = answer[0]
        if refused is not None:
            raise refused
        return value  # type: ignore[return-value]

    def gather(self, mine: T) -> list[T]:
        """Return the values of all processes, by rank, in the first process, and an empty list in the others."""
        if self.world == 1:
            return [mine]
        everyone: list[T | None] | None = [None] * self.world if self.first else None
        distributed.gather_object(mine, everyone, dst=0)
        return [part for part in everyone or [] if part is not None]


GLOO, NCCL = "gloo", "nccl"


@contextmanager
def joined(device: str | None = None) -> Iterator[Group]:
    """Join the group of processes that `torchrun` started, and leave it at the end.

    Processes exchange only records, a few kilobytes for each picture: by nccl if every process has its own GPU, else by
    gloo. nccl refuses two processes on one GPU, and processes with different backends wait for each other without end.
    So each process first writes to the store of `torchrun` whether it has its own GPU; then all choose one backend.

    Args:
        device: requested device; None for the best one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    store, rank, world = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    backend = common_backend(store, rank, world, has_own_gpu(device))
    if backend == NCCL:
        torch.cuda.set_device(own_device(device))
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_PATIENCE)
    try:
        yield Group(rank, world)
    finally:
        distributed.destroy_process_group()


class Store(Protocol):
    """Interface of the key-value store that `torchrun` provides to all processes."""

    def set(self, key: str, value: str) -> None:
        """Set a value for all processes."""
        ...

    def get(self, key: str) -> bytes:
        """Wait until a value exists, and return it."""
        ...


def common_backend(store: Store, rank: int, world: int, own_gpu: bool) -> str:
    """Return the backend for the exchange of records, the same one in every process.

    Args:
        store: store shared by all processes.
        rank: rank of this process.
        world: number of processes.
        own_gpu: True if this process has its own GPU.
    """
    store.set(f"cliptrase/own_gpu/{rank}", "yes" if own_gpu else "no")
    answers = [store.get(f"cliptrase/own_gpu/{other}") for other in range(world)]  # waits for each process
    return NCCL if all(answer == b"yes" for answer in answers) else GLOO


def has_own_gpu(device: str | None) -> bool:
    """Return whether each process of this machine gets a GPU of its own, and nccl is available.

    Args:
        device: requested device; None for the best one.
    """
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return (
        device in (None, "cuda")
        and torch.cuda.is_available()
        and distributed.is_nccl_available()
        and together <= torch.cuda.device_count()
    )


def own_device(device: str | None) -> str | None:
    """Return the device of this process: one GPU of its machine by local rank, unless another device is requested.

    Args:
        device: requested device; None for the best one, "cuda" for any GPU.
    """
    local = os.environ.get("LOCAL_RANK")
    if device not in (None, "cuda") or local is None or not torch.cuda.is_available():
        return device
    return f"cuda:{int(local) % torch.cuda.device_count()}"


def started_by() -> list[str]:
    """Return the first words of the command line that starts this run, such as ["torchrun", "--nproc-per-node=2"]."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ["python"]
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    several = [f"--nnodes={machines}"] if machines > 1 else []
    return ["torchrun", *several, f"--nproc-per-node={os.environ.get('LOCAL_WORLD_SIZE', '1')}"]
