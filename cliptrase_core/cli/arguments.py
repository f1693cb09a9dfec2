"""The arguments of every command that runs a model: which one, from where, on what."""

from __future__ import annotations

import argparse
import os

from cliptrase_core.models import loading
from cliptrase_core.models.precision import AUTO, PRECISIONS


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """Add `--model`, `--pretrained`, `--device` and `--precision`; their defaults come from the environment."""
    command.add_argument(
        "--model",
        default=os.environ.get("CLIPTRASE_MODEL") or loading.NANO,
        help="nano (embedded) or an open_clip architecture, with weights after a colon (default: %(default)s)",
    )
    command.add_argument("--pretrained", metavar="TAG|FILE", help="weights by open_clip's tag or from a file")
    command.add_argument("--device", default=os.environ.get("CLIPTRASE_DEVICE"), help="cpu, cuda, ... (default: best)")
    command.add_argument(
        "--precision",
        default=os.environ.get("CLIPTRASE_PRECISION") or "fp32",
        choices=[*PRECISIONS, AUTO],
        help="auto measures whether bf16 is faster here",
    )
