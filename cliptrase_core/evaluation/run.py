"""Run an evaluation: lock the report, resume, share work among processes, collect."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import distributed
from tqdm import tqdm

from cliptrase_core.errors import CliptraseError, InputError, explain
from cliptrase_core.evaluation.batches import Batch, Job, make_batches, run_batches
from cliptrase_core.evaluation.records import Header, Ledger, Record, every_record, forget, part_path, read_ledgers


@dataclass(frozen=True)
class Pace:
    """How fast a run was.

    Attributes:
        images: pictures that this run labelled itself, all processes together.
        resumed: pictures that earlier runs had labelled.
        seconds: of the whole loop, by the clock.
        encoder_seconds: that one process on average spent in the image tower.
    """

    images: int
    resumed: int
    seconds: float
    encoder_seconds: float


@dataclass(frozen=True)
class Finished:
    """What a run found: a record of every picture in the order of the data set, and how fast."""

    records: Sequence[Record]
    pace: Pace


def records_folder(output: Path) -> Path:
    """Where the records behind a report are kept."""
    return output.with_name(f"{output.stem}.records")


@contextmanager
def only_writer(output: Path, group: Group) -> Iterator[None]:
    """Hold a report's lock; the system frees it when the process dies.

    Raises:
        InputError: another process writes this report, or its folder cannot be written.
    """
    lock = FileLock(output.with_name(f"{output.name}.lock"))

    def take() -> None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            got = "another process that writes it now"
            remedy = "Wait until it is done, or choose another --output."
            raise InputError(
                explain(f"report {output.name!r}", expected="no other writer", got=got, remedy=remedy)
            ) from error
        except OSError as error:
            got = f"{output.parent}: {error.strerror}"
            remedy = "Choose another --output."
            raise InputError(
                explain("output", expected="a folder that can be written", got=got, remedy=remedy)
            ) from error

    group.by_first(take)
    try:
        yield
    finally:
        lock.release()


def run(job: Job, header: Header, output: Path, batch: int, group: Group, *, fresh: bool = False) -> Finished | None:
    """Evaluate what earlier runs have not; call it while `only_writer` is held.

    Args:
        job: what is done with every picture.
        header: what is evaluated and how; earlier records of another header are refused.
        output: the report's file; records are kept beside it.
        batch: pictures that share a forward pass.
        group: the processes that share the work.
        fresh: forget earlier records.

    Returns:
        In the first process what was found, in the others None.

    Raises:
        InputError: earlier records are of something else, or damaged.
    """
    folder = records_folder(output)
    keys = job.source.keys
    known = group.by_first(lambda: _known(folder, header, job, fresh))
    batches = [b for b in make_batches(len(keys), batch) if any(keys[index] not in known for index in b)]
    start = time.perf_counter()
    mine, encoder_seconds = _work(job, batches[group.rank :: group.world], known, part_path(folder, group.rank), header)
    gathered = group.gather((mine, encoder_seconds))
    if not group.first:
        return None
    new = {record.key: record for part, _ in gathered for record in part}
    _keep_others(folder, new, header)
    pace = Pace(
        images=len(new),
        resumed=len(keys) - len(new),
        seconds=time.perf_counter() - start,
        encoder_seconds=sum(seconds for _, seconds in gathered) / len(gathered),
    )
    everything = new | known
    return Finished([everything[key] for key in keys], pace)


def _keep_others(folder: Path, new: Mapping[str, Record], header: Header) -> None:
    """Keep what processes wrote whose files lie elsewhere: machines need not share a file system."""
    here = every_record(folder)
    if others := [record for key, record in new.items() if here.get(key) != record]:
        with Ledger(part_path(folder, 0), header) as ledger:
            ledger.append(others)


def _known(folder: Path, header: Header, job: Job, fresh: bool) -> dict[str, Record]:
    if fresh:
        forget(folder)
    known = read_ledgers(folder, header, {key: job.stamp(index) for index, key in enumerate(job.source.keys)})
    if job.saver is None:
        return known
    job.saver.open(fresh)
    return {key: record for key, record in known.items() if record.problem or record.left_out or job.saver.has(key)}


def _work(
    job: Job, batches: Sequence[Batch], known: dict[str, Record], path: Path, header: Header
) -> tuple[list[Record], float]:
    """This process's own new records, and seconds in the image tower."""
    done: list[Record] = []
    encoder_seconds = 0.0
    quiet = path.name != part_path(path.parent, 0).name  # one bar is enough
    pictures = sum(map(len, batches))
    with Ledger(path, header) as ledger, tqdm(total=pictures, unit="image", disable=quiet) as bar:
        for records, seconds in run_batches(job, batches):
            # A batch is repeated whole; what is known of its pictures stays.
            new = [record for record in records if record.key not in known]
            ledger.append(new)
            done += new
            encoder_seconds += seconds
            bar.update(len(records))
    return done, encoder_seconds


T = TypeVar("T")

_PATIENCE = timedelta(hours=12)
"""How long the fastest process waits for the slowest."""


class Group:
    """The processes that share one evaluation; alone unless `torchrun` started more.

    Args:
        rank: of this process, from 0.
        world: how many there are.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        """Remember who this is."""
        self.rank, self.world = rank, world

    @property
    def first(self) -> bool:
        """Whether this process writes the report."""
        return self.rank == 0

    def by_first(self, action: Callable[[], T]) -> T:
        """What the first process's action gave, in every process.

        Raises:
            CliptraseError: what it raised, in every process.
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
        """What every process brings, in the order of ranks; only the first gets it, the others an empty list."""
        if self.world == 1:
            return [mine]
        everyone: list[T | None] | None = [None] * self.world if self.first else None
        distributed.gather_object(mine, everyone, dst=0)
        return [part for part in everyone or [] if part is not None]


GLOO, NCCL = "gloo", "nccl"


@contextmanager
def joined(device: str | None = None) -> Iterator[Group]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Only records travel, a few kilobytes a picture: by nccl where every process has a GPU to itself, else by gloo. nccl
    refuses two processes on one GPU, and processes that do not all take the same way wait for each other without end;
    so each says what it has, in the store that `torchrun` keeps, before any chooses.

    Args:
        device: that was asked for; None for the best.
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
    """What all processes reach; `torchrun` keeps it."""

    def set(self, key: str, value: str) -> None:
        """Put a value there for all."""
        ...

    def get(self, key: str) -> bytes:
        """Wait until a value is there."""
        ...


def common_backend(store: Store, rank: int, world: int, own_gpu: bool) -> str:
    """How records travel, the same answer in every process.

    Args:
        store: that all processes reach.
        rank: of this process.
        world: how many there are.
        own_gpu: whether this one has a GPU to itself.
    """
    store.set(f"cliptrase/own_gpu/{rank}", "yes" if own_gpu else "no")
    answers = [store.get(f"cliptrase/own_gpu/{other}") for other in range(world)]  # waits for each
    return NCCL if all(answer == b"yes" for answer in answers) else GLOO


def has_own_gpu(device: str | None) -> bool:
    """Whether each process of this machine gets a GPU that no other one uses, and nccl is there to reach it.

    Args:
        device: that was asked for; None for the best.
    """
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return (
        device in (None, "cuda")
        and torch.cuda.is_available()
        and distributed.is_nccl_available()
        and together <= torch.cuda.device_count()
    )


def own_device(device: str | None) -> str | None:
    """The device of this process: its own among the GPUs of its machine, unless another was asked for.

    Args:
        device: that was asked for; None for the best, "cuda" for any GPU.
    """
    local = os.environ.get("LOCAL_RANK")
    if device not in (None, "cuda") or local is None or not torch.cuda.is_available():
        return device
    return f"cuda:{int(local) % torch.cuda.device_count()}"


def started_by() -> list[str]:
    """How the processes of this run are started, as a command line begins: "torchrun", "--nproc-per-node=2"."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ["python"]
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    several = [f"--nnodes={machines}"] if machines > 1 else []
    return ["torchrun", *several, f"--nproc-per-node={os.environ.get('LOCAL_WORLD_SIZE', '1')}"]
