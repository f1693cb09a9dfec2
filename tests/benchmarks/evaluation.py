"""Speed of an evaluation relative to the forward pass of the image tower, and its memory during the run.

python -m tests.benchmarks.evaluation [--model ViT-B-16-quickgelu] [--pictures 40] [--batch 8]

A model with random weights labels eight JPEGs of 500 x 375 repeatedly, with preset `paper-224` and 20 words. The time
of the forward pass is the median of runs before and after. `--model tiny` uses a model of 3 blocks and JPEGs of
100 x 75, for many pictures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from cliptrase_core import Segmenter, dataset_vocabulary
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.predictors import PresetPredictor
from cliptrase_core.evaluation.run import Group, Part, only_writer, run_together
from cliptrase_core.evaluation.sources import Folders, read_stored
from cliptrase_core.options import SegmentOptions
from tests.conftest import tiny_clip

UNIQUE, TEMPLATES = 8, "simple7"


class Watched(Folders):
    """Pictures of folders; records the memory of the process (MB) at every picture."""

    memory: list[float]

    def load(self, index):
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6)
        return super().load(index)


def pictures(folder: Path, count: int, size: tuple[int, int]) -> list[Pair]:
    rng = np.random.default_rng(0)
    for index in range(UNIQUE):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{index}.jpg")
        mask = np.kron(rng.integers(0, 20, (5, 5)), np.ones((size[0] // 5, size[1] // 5)))
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{index}.png")
    return [Pair(str(i), folder / f"{i % UNIQUE}.jpg", folder / f"{i % UNIQUE}.png") for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--model", default="ViT-B-16-quickgelu")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    tiny = options.model == "tiny"
    model = tiny_clip() if tiny else open_clip.create_model(options.model).eval()
    segmenter, words = Segmenter.from_open_clip(model), dataset_vocabulary("voc20")
    segmenter.embed_words(words.prompts, TEMPLATES)
    side = 32 if tiny else 224
    pixels = torch.randn(options.batch, 3, side, side)

    def forwards(count: int) -> list[float]:
        seconds = []
        with torch.inference_mode():
            for _ in range(count):
                start = time.perf_counter()
                model.encode_image(pixels)
                seconds.append(time.perf_counter() - start)
        return seconds

    forwards(1)
    seconds = forwards(3)
    with tempfile.TemporaryDirectory() as folder:
        source = Watched(
            pictures(Path(folder), options.pictures, (75, 100) if tiny else (375, 500)), Numbers(), words, read_stored
        )
        source.memory = []
        predictor = PresetPredictor(segmenter, "auto" if tiny else "paper-224", SegmentOptions(templates=TEMPLATES))
        output = Path(folder) / "report.json"
        with only_writer(output, Group()):
            (found,) = run_together([Part(Job(source, predictor), {}, output)], options.batch, Group())
    seconds += forwards(3)
    pace, own = found.pace, options.batch / float(np.median(seconds))
    speed = pace.images / pace.seconds
    print(f"{speed:.2f} pictures a second, {speed / own:.2f}x the forward's {own:.2f}")
    print(f"image tower busy {pace.encoder_seconds / pace.seconds:.0%} of the time")
    print("memory in MB, ten times on the way:", [round(m) for m in source.memory[:: max(1, options.pictures // 10)]])


if __name__ == "__main__":
    main()
