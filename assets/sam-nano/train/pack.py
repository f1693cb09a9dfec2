"""Write the weights of sam-nano from a training checkpoint, in 8 bits.

python assets/sam-nano/train/pack.py --checkpoint full.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from cliptrase_core.refine.sam_files import FOLDER
from cliptrase_core.storage import pack


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=FOLDER / "model.safetensors")
    arguments = parser.parse_args()
    save_file(pack(torch.load(arguments.checkpoint, map_location="cpu")["model"]), arguments.output)


if __name__ == "__main__":
    main()
