"""Several processes as `torchrun` starts them: who one is, and how the first tells the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from cliptrase_core.errors import CliptraseError

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
        told: list[tuple[T | None, CliptraseError | None]] = [(None, None)]
        if self.first:
            try:
                told = [(action(), None)]
            except CliptraseError as error:
                told = [(None, error)]
        if self.world > 1:
            distributed.broadcast_object_list(told, src=0)
        value, refused = told[0]
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


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Gloo on every machine: only records travel, a few kilobytes a picture, and never what is on a GPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group()
        return
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Group(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


def own_device() -> str | None:
    """The GPU of this process among those of its machine; None where there is none, or one process."""
    local = os.environ.get("LOCAL_RANK")
    if local is None or not torch.cuda.is_available():
        return None
    return f"cuda:{int(local) % torch.cuda.device_count()}"
