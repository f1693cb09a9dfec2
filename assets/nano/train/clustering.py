"""Try clustering values on composed scenes, the figures of decision record 008. Prints a line for each pair.

python assets/nano/train/clustering.py --stock FOLDER [--scenes 40]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from measure import segment_with, segmenter_with

import cliptrase_core as cc
from cliptrase_core.scenes.benchmark import class_names, compose_scenes, measure
from cliptrase_core.scenes.sprites import read_stock

EPS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08)  # times the square root of the number of patches
NEIGHBOURS = (2, 3, 5)  # of 196 patches
SEED = 11  # not the benchmark's: nothing is chosen by what is reported
PATCHES = 196


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--stock", type=Path, required=True, help="training styles: what assets/sprites/restyle.py wrote"
    )
    parser.add_argument("--checkpoint", type=Path, help="a training checkpoint instead of the shipped weights")
    parser.add_argument("--scenes", type=int, default=40)
    arguments = parser.parse_args()
    segmenter = segmenter_with(arguments.checkpoint)
    sprites = read_stock(arguments.stock / "training")
    scenes, names = compose_scenes(arguments.scenes, sprites, SEED), class_names(sprites)
    encodings: dict[int, cc.ImageEncoding] = {}
    for denoise, eps, neighbours in itertools.product(("cls", "none"), EPS, NEIGHBOURS):
        values = {"denoise": denoise, "eps": eps * PATCHES**0.5, "min_samples": neighbours}
        found = measure(segment_with(segmenter, encodings, **values), scenes, names)
        line = f"{denoise:5} eps {eps:.2f} min {neighbours}: mIoU {found.miou:.1f}, pixels right {found.accuracy:.1f}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
