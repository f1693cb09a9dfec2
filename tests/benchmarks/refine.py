"""`python -m tests.benchmarks.refine`: effect of each refiner on the bundled photographs, and its time and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch

import cliptrase_core as cc
from cliptrase_core.evaluation.examples import read_examples, read_mask
from cliptrase_core.evaluation.sources import Examples
from cliptrase_core.io.files import asset
from cliptrase_core.io.image import read_image
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.names import MODES, PROMPTS
from cliptrase_core.refine import load_refiner
from cliptrase_core.refine.by_sam import SamRefiner
from cliptrase_core.refine.sam import Sam, build_large
from cliptrase_core.refine.sam_checkpoints import load_sam
from tests.benchmarks.measure import peak_memory

PIECES = 20
TRUE = "true outlines"


def outlined(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (H, W) labels: each connected component of the ground truth gets its most frequent predicted label."""
    answer = labels.copy()
    for label in np.unique(truth[truth != IGNORED]):
        _, components = cv2.connectedComponents((truth == label).astype(np.uint8))
        for component in range(1, components.max() + 1):
            answer[components == component] = np.bincount(labels[components == component]).argmax()
    return answer


def effects() -> Iterator[str]:
    """Yield a row for each refiner: mIoU, pixel accuracy, boundary F, milliseconds."""
    segmenter = cc.Segmenter.from_pretrained("nano")
    refiners = {"none": load_refiner("none"), "edges": load_refiner("edges")}
    # Each row loads its own SAM, so that its time does not profit from cached embeddings or answers of another row.
    refiners |= {f"sam-nano, {mode}": SamRefiner(load_sam("sam-nano")).in_mode(mode) for mode in MODES}
    refiners["sam-nano+edges, prompts"] = load_refiner("sam-nano+edges", mode=PROMPTS)
    rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in (*refiners, TRUE)}
    for example in read_examples(asset("examples")):
        image, truth = read_image(example.path), read_mask(example)
        result = segmenter.segment(segmenter.encode(image), example.words)
        for name in rows:
            start = time.perf_counter()
            labels = outlined(truth, result.labels) if name == TRUE else refiners[name](result, image).labels
            seconds = time.perf_counter() - start
            rows[name].append((*Examples.extra(truth, labels).values(), seconds))
    for name, values in rows.items():
        miou, accuracy, boundary, _ = np.mean(values, axis=0)
        milliseconds = 1000 * np.median([seconds for *_, seconds in values])
        yield f"| {name} | {miou:.1f} | {accuracy:.1f} | {boundary:.1f} | {milliseconds:.0f} ms |"


def model(name: str) -> Sam:
    """Return the embedded SAM, or one of Meta's sizes with random weights, since speed does not depend on them."""
    return load_sam(name) if name == "sam-nano" else Sam(build_large(name).eval().requires_grad_(False), name)


def ask(sam: Sam) -> tuple[float, float]:
    """Return the seconds for a picture of 640 x 480 with 20 components: for a new picture, then for a known one."""
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    labels = np.zeros((480, 640), np.int32)
    for component in range(PIECES - 1):
        row, column = divmod(component, 5)
        labels[20 + 115 * row : 110 + 115 * row, 20 + 125 * column : 120 + 125 * column] = component + 1
    result = cc.Segmentation(
        labels=labels,
        regions=np.full(labels.shape, -1, np.int32),
        confidence=np.ones(labels.shape, np.float32),
        class_names=tuple(str(component) for component in range(PIECES)),
        patch_clusters=np.full(30 * 40, -1),
        grid=(30, 40),
        settings={},
        timings={},
    )
    refiner = SamRefiner(sam).in_mode(PROMPTS)
    start = time.perf_counter()
    refiner(result, image)
    middle = time.perf_counter()
    refiner(replace(result, confidence=result.confidence / 2), image)  # another result of the same picture
    return middle - start, time.perf_counter() - middle


def costs() -> Iterator[str]:
    """Yield a row for each SAM: seconds for a new picture, seconds for a new result, memory."""
    for name in ("sam-nano", "vit_b"):
        sam = model(name)
        ask(sam)
        first, again = np.median([ask(sam) for _ in range(3)], axis=0)
        del sam
        peak = peak_memory(f"from tests.benchmarks.refine import ask, model\nsam = model({name!r})", "ask(sam)")
        yield f"| {name} | {first:.2f} s | {again:.2f} s | {peak / 1e9:.2f} GB |"


def main() -> None:
    """Print both tables."""
    torch.manual_seed(0)
    print("the bundled photographs, each among its own words, nano; boundary F within 3/224 of the short side:\n")
    print("| refiner | mIoU | pixel accuracy | boundary F | time |\n|---|---|---|---|---|")
    for row in effects():
        print(row, flush=True)
    print(f"\n640 x 480, {PIECES} components (vit_b: random weights of the real shape):\n")
    print("| SAM | a new picture | a new result of a known picture | memory above the model |\n|---|---|---|---|")
    for row in costs():
        print(row, flush=True)


if __name__ == "__main__":
    main()
