"""Write results for other programs to open; run by the project's Python in `make interop`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import cliptrase_core as cc

NAMES = ("cat", "dog: <b>", "\u732b", "cow", "background")


def results() -> dict[str, tuple[cc.Segmentation, np.ndarray]]:
    """Return results by name: holes, islands and tiny components; only background; only one class; random blocks."""
    rng = np.random.default_rng(0)
    holes = np.full((60, 80), 4)
    holes[5:50, 5:70] = 0
    holes[10:40, 10:30] = 1
    holes[15:30, 15:25] = 4
    holes[20:25, 50:60] = 2
    holes[55, 75] = 2  # a tiny component
    blocks = np.kron(rng.integers(0, 5, (8, 10)), np.ones((13, 17), int))
    maps = {"holes": holes, "empty": np.full((40, 30), 4), "one": np.zeros((33, 47), int), "blocks": blocks}
    made = {}
    for name, labels in maps.items():
        size = labels.shape
        result = cc.Segmentation(
            labels=labels.astype(np.int32),
            regions=np.full(size, -1, np.int32),
            confidence=np.ones(size, np.float32),
            class_names=NAMES,
            patch_clusters=np.full(1, -1),
            grid=(1, 1),
            settings={},
            timings={},
        )
        coarse = rng.integers(0, 256, (3, 3, 3), np.uint8)
        made[name] = result, np.asarray(Image.fromarray(coarse).resize(size[::-1]))
    return made


def main(folder: Path) -> None:
    """Write the pictures, their results in every format, and the raw labels."""
    folder.mkdir(parents=True, exist_ok=True)
    made = results()
    for name, (_, image) in made.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    images = [folder / f"{name}.png" for name in made]
    for kind, polygons in (("runs", False), ("polygons", True)):
        cc.export(
            {name: result for name, (result, _) in made.items()},
            folder / kind,
            ["coco", "yolo", "labelme", "index", "masks", "cutouts"],
            images=images,
            min_area=2,
            polygons=polygons,
        )
    np.savez(folder / "labels.npz", **{name: result.labels for name, (result, _) in made.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
