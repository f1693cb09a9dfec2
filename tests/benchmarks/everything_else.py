"""Effect of `everything_else` and `skip_missing` on photographs: `python -m tests.benchmarks.everything_else`."""

from __future__ import annotations

import numpy as np

import cliptrase_core as cc
from cliptrase_core.evaluation.examples import read_examples, read_mask
from cliptrase_core.io.files import asset

LEAST_AREA = 0.05
NOT_THERE = ("elephant", "pizza", "laptop", "bicycle", "zebra", "boat", "train", "airplane", "umbrella", "book")


def main() -> None:
    """Print mean IoU of single words, and how often a class is called missing."""
    segmenter = cc.Segmenter.from_pretrained("nano")
    overlaps, called = [], {True: [], False: []}
    for example in read_examples(asset("examples")):
        encoding, truth = segmenter.encode(str(example.path)), read_mask(example)
        for label, name in enumerate(example.classes):
            own, counted = truth == label, truth >= 0
            if own.mean() < 0.01:
                continue
            found = segmenter.segment(encoding, [name], everything_else=True).labels == 0
            share = (own & counted).sum() / counted.sum()
            overlaps.append((share, (found & own & counted).sum() / ((found | own) & counted).sum()))
        large = [name for label, name in enumerate(example.classes) if (truth == label).mean() >= LEAST_AREA]
        absent = [word for word in NOT_THERE if word not in example.classes]
        missing = segmenter.segment(encoding, [*large, *absent], skip_missing=True).settings["missing"]
        for there, names in ((True, large), (False, absent)):
            called[there] += [name in missing for name in names]
    fills, otsu = np.mean(overlaps, axis=0) * 100
    print(f"{len(overlaps)} single words: mean IoU {fills:.0f} where it fills all, {otsu:.0f} with everything else")
    print(
        f"called missing: {np.mean(called[True]):.0%} of {len(called[True])} classes that are there, "
        f"{np.mean(called[False]):.0%} of {len(called[False])} that are not"
    )


if __name__ == "__main__":
    main()
