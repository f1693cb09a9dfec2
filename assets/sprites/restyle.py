"""Destroy the style of a drawing and keep its shape, so that a model learns shapes: slow steps, done once per sprite.

    python assets/sprites/restyle.py --sprites sprites.npz --output FOLDER

Writes `pixels.npy` (colours multiplied by alpha), `labels.npy`, `styles.npy`, `names.json`. Held-out styles are
written apart and as they are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from cliptrase_core.scenes.colour import INK_BELOW
from cliptrase_core.scenes.sprites import premultiply

HERE = Path(__file__).resolve().parent
SIZE = 128
STRONG_STEP = 520  # summed Sobel answer of three channels above which a line is drawn inside a drawing
MARGIN = 4  # pixels left free around a drawing, so that an outline fits


def fit(pixels: np.ndarray) -> np.ndarray:
    """Crop a drawing to what is visible and let it fill the square: sets leave different margins."""
    rows, columns = np.nonzero(pixels[..., 3] > 20)
    drawing = Image.fromarray(pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = (SIZE - 2 * MARGIN) / max(drawing.size)
    width, height = (max(1, round(side * scale)) for side in drawing.size)
    square = Image.new("RGBA", (SIZE, SIZE))
    square.paste(drawing.resize((width, height), Image.Resampling.BICUBIC), ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(square)


def is_ink(pixels: np.ndarray) -> bool:
    """Whether a drawing is line work in one dark ink."""
    return bool(pixels[..., :3][pixels[..., 3] > 127].mean() < INK_BELOW)


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask without holes; small gaps in a line are closed first."""
    return ndimage.binary_fill_holes(ndimage.binary_closing(mask, iterations=2)) | mask


def _over(colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours under a softened mask: (SIZE, SIZE, 4) uint8."""
    alpha = ndimage.gaussian_filter(mask.astype(np.float32) * 255, 0.7)
    return np.concatenate([np.clip(colours, 0, 255), alpha[..., None]], axis=-1).astype(np.uint8)


def _edges(pixels: np.ndarray, thickness: int) -> np.ndarray:
    """Where a draughtsman would draw a line: the outline, and strong steps of colour inside."""
    mask = pixels[..., 3] > 127
    colours = ndimage.gaussian_filter(pixels[..., :3].astype(np.float32), (1, 1, 0))
    step = sum(np.abs(ndimage.sobel(colours, axis)).sum(-1) for axis in (0, 1))
    outline = ndimage.binary_dilation(mask, iterations=1) & ~ndimage.binary_erosion(mask, iterations=1)
    inside = (step > STRONG_STEP) & ndimage.binary_erosion(mask, iterations=2)
    lines = outline | inside
    return ndimage.binary_dilation(lines, iterations=thickness) if thickness else lines


def _flat(rng: np.random.Generator, pixels: np.ndarray, colours: int) -> np.ndarray:
    """(SIZE, SIZE, 3) float: few colours, specks removed."""
    smooth = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).filter(ImageFilter.MedianFilter(5))
    indexed = smooth.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = np.array(indexed.getpalette(), np.float32)[: 3 * colours].reshape(-1, 3)
    if rng.random() < 0.5:
        palette = rng.uniform(0, 255, palette.shape).astype(np.float32)
    return palette[np.minimum(np.asarray(indexed), len(palette) - 1)]


def outlined(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Flat fills inside dark lines."""
    mask = filled(pixels[..., 3] > 127)
    colours = _flat(rng, pixels, int(rng.integers(2, 6)))
    edges = _edges(pixels, int(rng.integers(0, 2)))
    colours[edges] = rng.uniform(0, 60)
    return _over(colours, mask | edges)


def line_drawing(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Lines on one pale or strong colour."""
    mask = filled(pixels[..., 3] > 127)
    edges = _edges(pixels, int(rng.integers(0, 2)))
    paper = np.full(3, 250.0) if rng.random() < 0.4 else rng.uniform(60, 255, 3)
    colours = np.where(edges[..., None], rng.uniform(0, 70), paper)
    return _over(colours, mask | edges)


def flat(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Flat fills without lines."""
    return _over(_flat(rng, pixels, int(rng.integers(2, 7))), pixels[..., 3] > 127)


def textured(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Colours washed out, a texture and a shading laid over them."""
    colours = ndimage.gaussian_filter(pixels[..., :3].astype(np.float32), (2, 2, 0))
    cells = int(rng.integers(4, 40))
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    texture = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))[..., None]
    ramp = np.linspace(-1, 1, SIZE, dtype=np.float32)
    shade = (ramp[:, None] * rng.normal() + ramp[None] * rng.normal())[..., None] * 0.3
    return _over(colours * (0.5 + texture) * (1 + shade), pixels[..., 3] > 127)


def coloured_in(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Line work whose enclosed fields get each a colour, as in a colouring book."""
    ink = pixels[..., 3] > 127
    fields, count = ndimage.label(filled(ink) & ~ink)
    if rng.random() < 0.5:
        palette = np.repeat(rng.uniform(90, 255, (1, 3)), count + 1, axis=0)
    else:
        palette = rng.uniform(60, 255, (count + 1, 3))
    colours = np.where(ink[..., None], rng.uniform(0, 70), palette[fields])
    return _over(colours, filled(ink))


def hollow(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Only the outlines of line work, on a filled shape."""
    ink = pixels[..., 3] > 127
    edges = ndimage.binary_dilation(ink) & ~ndimage.binary_erosion(ink, iterations=int(rng.integers(1, 3)))
    colours = np.where(edges[..., None], rng.uniform(0, 70), rng.uniform(100, 255, 3))
    return _over(colours, filled(ink) | edges)


Restyler = Callable[[np.random.Generator, np.ndarray], np.ndarray]
PAINTED: tuple[Restyler, ...] = (outlined, outlined, line_drawing, textured)
INKED: tuple[Restyler, ...] = (coloured_in, coloured_in, hollow)


def restyle(rng: np.random.Generator, pixels: np.ndarray) -> list[np.ndarray]:
    """The drawing and its restyled copies, each (SIZE, SIZE, 4) uint8."""
    return [pixels, *(step(rng, pixels) for step in (INKED if is_ink(pixels) else PAINTED))]


def copies(job: tuple[int, np.ndarray, bool]) -> list[np.ndarray]:
    """All copies of one drawing; its number seeds them, so that any count of processes gives the same.

    Args:
        job: number, (SIZE, SIZE, 4) drawing, whether to restyle it.
    """
    number, pixels, many = job
    return restyle(np.random.default_rng([0, number]), fit(pixels)) if many else [fit(pixels)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sprites", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    sets = json.loads((HERE / "sets.json").read_text(encoding="utf-8"))
    with np.load(arguments.sprites) as drawn:
        source, labels, styles = drawn["pixels"], drawn["labels"], drawn["styles"]
        names = drawn["label_names"].tolist()
    held_out = np.array([facts["held_out"] for facts in sets.values()])[styles]
    for folder, chosen, many in (("training", ~held_out, True), ("held-out", held_out, False)):
        target = arguments.output / folder
        target.mkdir(parents=True, exist_ok=True)
        jobs = [(number, source[number], many) for number in np.flatnonzero(chosen)]
        with multiprocessing.Pool() as pool:
            groups = pool.map(copies, jobs, chunksize=16)
        repeats = [len(group) for group in groups]
        np.save(target / "pixels.npy", premultiply(np.stack([one for group in groups for one in group])))
        np.save(target / "labels.npy", np.repeat(labels[chosen], repeats))
        np.save(target / "styles.npy", np.repeat(styles[chosen], repeats))
        np.save(target / "restyled.npy", np.concatenate([np.arange(n) > 0 for n in repeats]))
        (target / "names.json").write_text(json.dumps(names), encoding="utf-8")


if __name__ == "__main__":
    main()
