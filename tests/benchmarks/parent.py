"""`python -m tests.benchmarks.parent [COMMIT]`: speed of the core relative to an earlier commit (the parent).

Both run in turn, each time in a process of its own, so that drift of the machine affects them equally. Only functions
of the public interface are measured, with random ViT-B/16 weights. This file runs in the earlier checkout too, so it
uses no helper of the others: `measure.py` may have been different there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMES = 7
WORDS = "dog cat grass sky tree road person car building water wall floor table chair bed sheep cow horse bird flower"


def measure() -> dict[str, float]:
    """Return the median seconds of each operation of the `cliptrase_core` that this process imports."""
    import numpy as np  # only in the measured process
    import open_clip
    import torch
    from PIL import Image

    import cliptrase_core as cc

    torch.manual_seed(0)  # clusters depend on the weights
    segmenter = cc.Segmenter.from_open_clip(open_clip.create_model("ViT-B-16-quickgelu"))
    blocks = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 21, 3), dtype=np.uint8))
    small, words = np.asarray(blocks.resize((640, 480))), WORDS.split()
    encoding = segmenter.encode(small)
    result = segmenter.segment(encoding, words)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.jpg")
        blocks.resize((4000, 3000)).save(file, quality=90)
        large = segmenter.encode(cc.read_image(file))
        work: dict[str, Callable[[], object]] = {
            "encode 640 x 480": lambda: segmenter.encode(small),
            "20 known words, 640 x 480": lambda: segmenter.segment(encoding, words),
            "20 known words, 12 megapixels": lambda: segmenter.segment(large, words),
            "20 new words": lambda: segmenter.segment(encoding, [f"{word} {time.monotonic_ns()}" for word in words]),
            "read a JPEG of 12 megapixels": lambda: cc.read_image(file),
            "refine by edges, 640 x 480": lambda: cc.refine(result, small, refiner="edges"),
        }
        return {name: _median(function) for name, function in work.items()}


def _median(function: Callable[[], object]) -> float:
    function()
    times = []
    for _ in range(TIMES):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measured(tree: Path) -> dict[str, float]:
    """Measure the checkout `tree` in a process of its own."""
    code = f"import runpy; print(__import__('json').dumps(runpy.run_path({str(Path(__file__))!r})['measure']()))"
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="python -m tests.benchmarks.parent", description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD~1", help="commit to compare with (default: the parent)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder, "earlier")
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(earlier), options.commit], check=True)
        try:
            rounds = [(measured(ROOT), measured(earlier)) for _ in range(options.rounds)]
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(earlier)], check=True)
    print(f"| what | {options.commit} | now | ratio | least to most |\n|---|---|---|---|---|")
    for name in rounds[0][0]:
        ratios = [now[name] / before[name] for now, before in rounds]
        now, before = (1e3 * statistics.median(pair[side][name] for pair in rounds) for side in (0, 1))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"| {name} | {before:.1f} ms | {now:.1f} ms | {statistics.median(ratios):.2f}x | {spread} |")


if __name__ == "__main__":
    main()
