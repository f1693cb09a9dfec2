"""What both embedded models' training shares: phases that resume, a learning rate, checkpoints, a curve on disk."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Run:
    """How a training runs.

    Attributes:
        folder: of its checkpoints and of `curve.jsonl`.
        minutes: between checkpoints.
        workers: processes that compose pictures.
        device: as torch names it.
        scale: share of each phase's pictures, for slow machines.
        rank: which of the processes of `torchrun` this is.
        processes: how many there are; each takes its part of every batch.
    """

    folder: Path
    minutes: float
    workers: int
    device: str
    scale: float
    rank: int = 0
    processes: int = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `Run` is made of."""
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints; an old one is resumed")
    parser.add_argument("--minutes", type=float, default=3.0, help="between checkpoints")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of the model; one each where two trainings share a CPU")
    parser.add_argument("--scale", type=float, default=1.0, help="share of each phase's pictures, for slow machines")


def read_options(arguments: argparse.Namespace) -> Run:
    """The run that was asked for; makes its folder and fixes torch's seed and threads."""
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    rank, processes = 0, int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        torch.distributed.init_process_group("nccl" if arguments.device.startswith("cuda") else "gloo")
        rank = torch.distributed.get_rank()
    return Run(
        arguments.checkpoints, arguments.minutes, arguments.workers, arguments.device, arguments.scale, rank, processes
    )


def average_gradients(parameters: Sequence[torch.nn.Parameter], processes: int) -> None:
    """Replace every gradient by its mean over the processes, which begin with equal weights and so keep them equal."""
    if processes == 1:
        return
    # A weight that this process did not use may have been used by another.
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    for parameter, part in zip(parameters, together.split([g.numel() for g in gradients]), strict=True):
        parameter.grad = part.view_as(parameter) / processes


def learning_rate(highest: float, step: int, steps: float) -> float:
    """Rate of a step: it rises over 100 steps and falls along a cosine to a twentieth."""
    fall = (1 + math.cos(math.pi * min(1.0, step / steps))) / 2
    return highest * min(1.0, (step + 1) / 100) * (0.05 + 0.95 * fall)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of weights the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def resume(path: Path, model: Any, optimizer: torch.optim.Optimizer, device: str) -> int:
    """Load a checkpoint into model and optimizer where one lies, and say how much it has seen, else 0."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["seen"])


def save(path: Path, model: Any, optimizer: torch.optim.Optimizer, seen: int) -> None:
    """Write a checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen}, part)
    os.replace(part, path)


def record(folder: Path, line: dict[str, Any]) -> None:
    """Add a line to the curve, and show it."""
    text = json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in line.items()})
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    with (folder / "curve.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


class Average:
    """A running mean that forgets: every new value counts 3 %."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.value: float | None = None

    def add(self, value: float) -> None:
        """Take one more value."""
        self.value = value if self.value is None else 0.97 * self.value + 0.03 * value
