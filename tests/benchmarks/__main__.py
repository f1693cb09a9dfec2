"""`python -m tests.benchmarks [--output FILE]`: the table of docs/benchmarks, measured on this machine.

Uses random ViT-B/16 weights: speed does not depend on their values, but the number of clusters does, so it is
printed. Half-precision labels are compared on the embedded model and the bundled examples.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import open_clip
import torch

from cliptrase_core import Segmenter, dataset_vocabulary, read_image
from tests.benchmarks.measure import paired, peak_memory, ratio

ROOT = Path(__file__).parents[2]
Row = tuple[str, str, str, str]
CLASSES = 20
PUBLISHED = {224: 2.9, 336: 8.5}
"""Whole-picture time of the published script, relative to the plain forward: medians of paired runs on two cores."""

VIT_B = """
import logging, numpy as np, open_clip, torch
logging.disable(logging.WARNING)
from cliptrase_core import Segmenter
segmenter = Segmenter.from_open_clip(open_clip.create_model("ViT-B-16-quickgelu"))
image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
"""


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    lines = [*header(), "| what | against | target | measured |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for row in rows():
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def header() -> Iterator[str]:
    yield f"# Benchmarks, {datetime.date.today().isoformat()}"
    yield ""
    yield f"Command: `python -m tests.benchmarks`. {platform.machine()}, {torch.get_num_threads()} threads, "
    yield f"Python {platform.python_version()}, torch {torch.__version__}, open_clip {open_clip.__version__}, fp32 "
    yield "unless said. ViT-B/16 with random weights, 512 x 512 noise-and-blocks picture, medians of paired runs."
    yield ""


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16-quickgelu").eval()
    segmenter = Segmenter.from_open_clip(model)
    yield from picture_rows(segmenter)
    yield from word_rows(segmenter, model)
    yield click_row(segmenter)
    yield from memory_rows()
    yield from half_precision_rows(segmenter)
    yield start_row()


def test_picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (8, 8, 3)).repeat(64, 0).repeat(64, 1)
    return (0.8 * blocks + 0.2 * rng.integers(0, 256, blocks.shape)).astype(np.uint8)


def forward(size: int):
    """Return a function that runs open_clip's own image forward at `size` pixels, with a separate model."""
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16-quickgelu", force_image_size=size).eval()
    pixels = torch.randn(1, 3, size, size)

    def run() -> None:
        with torch.inference_mode():
            model.encode_image(pixels)

    return run


def picture_rows(segmenter: Segmenter) -> Iterator[Row]:
    image = test_picture()
    text = torch.nn.functional.normalize(torch.randn(CLASSES, 512), dim=-1)
    words = {"text_features": text, "class_names": [f"class {i}" for i in range(CLASSES)]}
    for size in (224, 336, 448):
        preset = "auto" if size == 448 else f"paper-{size}"

        def encode(preset: str = preset, size: int = size):
            return segmenter.encode(image, preset, short_side=size)

        def whole(encode=encode):
            return segmenter.segment(encode(), **words)

        plain, encoded, segmented = paired([forward(size), encode, whole])
        base = f"open_clip's forward at {size}, {median(plain) * 1e3:.0f} ms"
        yield f"`encode` at {size}", base, "<= 1.03x", f"{ratio(encoded, plain):.2f}x"
        if size in PUBLISHED:
            times = ratio(segmented, plain)
            clusters = int(whole().patch_clusters.max()) + 1
            what = f"`encode` + `segment` at {size}, {CLASSES} classes, words cached ({clusters} clusters)"
            yield what, base, "<= 1.20x", f"{times:.2f}x"
            target = {224: ">= 2.4x faster", 336: ">= 7x faster"}[size]
            theirs = f"the published script, {PUBLISHED[size]}x the forward"
            yield f"whole picture, `paper-{size}`", theirs, target, f"{PUBLISHED[size] / times:.1f}x faster"


def word_rows(segmenter: Segmenter, model: torch.nn.Module) -> Iterator[Row]:
    encoding = segmenter.encode(test_picture(), short_side=224)
    nouns = iter(real_words())
    cached = "; ".join(next(nouns) for _ in range(CLASSES))
    segmenter.segment(encoding, cached)

    def fresh() -> None:
        segmenter.segment(encoding, "; ".join(next(nouns) for _ in range(CLASSES)))

    def one_more() -> None:
        segmenter.segment(encoding, f"{cached}; {next(nouns)}")

    plain, new, one, known = paired([forward(224), fresh, one_more, lambda: segmenter.segment(encoding, cached)])
    base = "open_clip's forward at 224"
    yield f"{CLASSES} new words, 7 templates, encoded picture", base, "<= 1.5x", f"{ratio(new, plain):.2f}x"
    yield "one more word", base, "<= 0.15x", f"{ratio(one, plain):.2f}x"
    yield "cached words", base, "<= 0.10x", f"{ratio(known, plain):.2f}x"


def real_words() -> list[str]:
    """Return the class names of three data sets that contain no comma, like words that users type."""
    words = [word for name in ("coco171", "ade847", "pc459") for word in dataset_vocabulary(name).prompts]
    return [word for word in dict.fromkeys(words) if "," not in word]


def click_row(segmenter: Segmenter) -> Row:
    captured = segmenter.capture(test_picture(), short_side=336)
    (times,) = paired([lambda: captured.maps(11).patch_maps(3, 4)])
    return (
        "a click on a patch at 336, ViT-B/16, maps of a layer computed anew",
        "-",
        "<= 50 ms",
        f"{median(times) * 1e3:.0f} ms",
    )


def memory_rows() -> Iterator[Row]:
    encode = "segmenter.encode(image, short_side=1024)"
    start = time.perf_counter()
    peak = peak_memory(VIT_B, f'segmenter.segment({encode}, "cat; dog; grass")')
    seconds = time.perf_counter() - start
    what = "1024 x 1024, N = 4096, encode + segment: peak memory above the model"
    yield what, f"whole process {seconds:.0f} s", "<= 1.5 GB", f"{peak / 1e9:.2f} GB"
    setup = VIT_B + "encoding = segmenter.encode(image)\ntext = torch.randn(847, 512)\n"
    work = 'segmenter.segment(encoding, text_features=text, class_names=[f"c{i}" for i in range(847)])'
    peak = peak_memory(setup, work)
    yield "847 classes on a 1024 x 1024 result: peak memory above the model", "-", "<= 1 GB", f"{peak / 1e9:.2f} GB"


def half_precision_rows(segmenter: Segmenter) -> Iterator[Row]:
    half = Segmenter.from_open_clip(segmenter.info.model, precision="bf16")
    image = test_picture()
    full_times, half_times = paired([lambda: segmenter.encode(image), lambda: half.encode(image)])
    speed = ratio(full_times, half_times)
    yield "bf16 `encode` at 224", "own fp32", ">= 2.5x faster", f"{speed:.1f}x faster"
    for name, own_words in (("bf16", True), ("bf16", False), ("fp16", True)):
        equal = equal_labels(name, own_words)
        words = "their own words" if own_words else "VOC's 20 words"
        share = f"{np.mean(equal):.1%} (least {min(equal):.1%})" if equal else "no examples found"
        yield f"{name} labels on `nano`, {len(equal)} bundled examples, {words}", "own fp32", ">= 99 % equal", share


def equal_labels(precision: str, own_words: bool) -> list[float]:
    """Return the share of pixels of each bundled photograph that have the same label as in fp32."""
    pair = [Segmenter.from_pretrained("nano", device="cpu", precision=name) for name in ("fp32", precision)]
    equal, folder = [], ROOT / "assets" / "examples"
    for example in json.loads((folder / "examples.json").read_text(encoding="utf-8")):
        picture, words = read_image(folder / example["file"]), example["words"] if own_words else "voc20"
        labels = [model.segment(model.encode(picture), words).labels for model in pair]
        equal.append(float((labels[0] == labels[1]).mean()))
    return equal


def start_row() -> Row:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "CLIPTRASE_MODEL": "nano", "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.perf_counter() - start < 120:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=2).read()
                break
            except OSError:
                time.sleep(0.1)
        seconds = time.perf_counter() - start
    finally:
        server.terminate()
        server.wait()
    return "page ready, offline, `nano`", "-", "<= 10 s", f"{seconds:.1f} s"


if __name__ == "__main__":
    main()
