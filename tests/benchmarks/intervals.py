"""Coverage of the intervals of `evaluate` in a simulation: how often they contain the expected figure, and their own.

python -m tests.benchmarks.intervals [--sets 300]

Each data set has 200 pictures with about four classes each, of 150 classes by Zipf's law with exponent 1.2 (about 107
are in a set; rare ones are mostly poor), or of 20 equally frequent ones. Two predictions of different quality share the
pictures. The expected figure is the mean over all simulated sets of that size. Two minutes on one core.
"""

from __future__ import annotations

import argparse

import numpy as np

from cliptrase_core.evaluation.metrics import ClassCounts, Rule, bounds_of, figures, resampled_figures, total

PICTURES, MORE = 200, 1500
KINDS: dict[str, tuple[int, float, float, Rule]] = {
    "long tail": (150, 1.2, 1.2, "paper"),
    "long tail, mmseg": (150, 1.2, 1.2, "mmseg"),
    "balanced": (20, 0.0, 0.0, "paper"),
}
"""Number of classes, exponent, logit of the quality of the most frequent class above that of the middle, rule."""


def pair(rng: np.random.Generator, shares: np.ndarray, logits: np.ndarray) -> list[ClassCounts]:
    """Return the counts of both predictions on new pictures; `logits` (2, C) is the quality of each class."""
    classes, each = len(shares), 1 + rng.poisson(3, PICTURES)
    rows = np.repeat(np.arange(PICTURES), each)
    true = np.zeros((PICTURES, classes))
    np.add.at(true, (rows, rng.choice(classes, size=each.sum(), p=shares)), rng.lognormal(size=each.sum()))
    true = np.round(50_000 * true / true.sum(1, keepdims=True))
    common, found = rng.normal(0, 0.8, (PICTURES, 1)), []
    for one in logits:
        hit = np.round(true / (1 + np.exp(-one - common - rng.normal(0, 1, true.shape))))
        given, missed = hit.copy(), (true - hit).sum(1)
        for share, wrong in ((0.6, rng.choice(classes, PICTURES, p=shares)), (0.4, rng.integers(0, classes, PICTURES))):
            np.add.at(given, (np.arange(PICTURES), wrong), np.round(share * missed))
        found.append(ClassCounts(hit, true, given))
    return found


def estimates(counts: list[ClassCounts], rule: Rule) -> np.ndarray:
    """Return mIoU of the first prediction, and the difference of the second to it."""
    first, second = (float(figures(total(one), rule)["mIoU"]) for one in counts)
    return np.array([first, second - first])


def simulate(kind: str, sets: int) -> None:
    """Print one row for mIoU and one for the difference: shares of sets in per cent, plain percentiles and shifted."""
    classes, exponent, tilt, rule = KINDS[kind]
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, classes + 1) ** exponent
    shares /= shares.sum()
    first = np.linspace(tilt, -tilt, classes) + rng.normal(-0.3, 0.8, classes)
    logits = np.stack([first, first + rng.normal(0.4, 0.4, classes)])
    found, bounds = [], []
    for _ in range(sets):
        counts = pair(rng, shares, logits)
        found.append(estimates(counts, rule))
        before, after = (resampled_figures(one, rule, {})["mIoU"] for one in counts)
        both = zip((before, after - before), found[-1], strict=True)
        bounds.append([(np.percentile(values, (2.5, 97.5)), bounds_of(values, one)) for values, one in both])
    known, ends = np.array(found), np.array(bounds)  # (sets, 2), (sets, 2, plain or shifted, low or high)
    others = [estimates(pair(rng, shares, logits), rule) for _ in range(MORE)]
    for place, name in enumerate(("mIoU", "difference")):
        cells = []
        for value in (np.concatenate([known, others]).mean(0)[place], known[:, place, None]):
            inside = (ends[:, place, :, 0] <= value) & (value <= ends[:, place, :, 1])
            cells += [f"{100 * share:.0f} %" for share in inside.mean(0)]
        print(f"| {kind} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--sets", type=int, default=300)
    options = parser.parse_args()
    print("| classes | figure | expected: plain | shifted | estimate: plain | shifted |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        simulate(kind, options.sets)


if __name__ == "__main__":
    main()
