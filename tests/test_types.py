"""Types that a checker sees: the lines of README are right, and wrong calls are found."""

from pathlib import Path

from mypy import api

import cliptrase_core as cc

RIGHT = """
from typing import Any
import cliptrase_core as cc
from cliptrase_core.refine import Fix

def fixed(result: cc.Segmentation, image: str) -> cc.Segmentation:
    return cc.refine.apply_fixes(result, image, [Fix(((0.4, 0.6),), "cat", sam="sam-nano")])

def refined(result: cc.Segmentation, image: str) -> cc.Refined:
    again: tuple[Fix, ...] = cc.refine.read_fixes([cc.refine.Fix(((0.4, 0.6),), "cat", radius=0.1).as_dict()])
    return cc.refine.apply_fixes(cc.refine(result, image, refiner="edges"), image, again)

def segmented(segmenter: cc.Segmenter, encoding: cc.ImageEncoding, given: dict[str, Any]) -> cc.Segmentation:
    segmenter.scores(encoding, "cat; dog", method=cc.METHODS["clearclip"], image_prior=True)
    segmenter.segment(encoding, "cat; dog", **given)
    return segmenter.segment(encoding, "cat; dog", eps=None, min_samples=2, vote=False, threshold=0.5)
"""
WRONG = """
import cliptrase_core as cc

def wrong(result: cc.Segmentation) -> None:
    cc.refine(1, "a.png")
    cc.refine.apply_fixes(result, "a.png", 3)
    cc.refine.nothing
    cc.load_reslt("a.json")
    result.overlay(opacityy=0.5)

def misspelt(segmenter: cc.Segmenter, encoding: cc.ImageEncoding) -> None:
    segmenter.segment(encoding, "cat; dog", min_sample=2)
    segmenter.scores(encoding, "cat; dog", method=3)
"""


def test_the_lines_of_the_readme_have_types_and_wrong_ones_are_found(tmp_path):
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    every = "\n".join(f"    cc.refine.{name}" for name in cc.refine.__all__)
    right.write_text(f"{RIGHT}\ndef names() -> None:\n{every}\n")
    wrong.write_text(WRONG)
    found = api.run(["--strict", "--config-file", str(Path("pyproject.toml").resolve()), str(right), str(wrong)])[0]
    errors = [line.partition("error: ") for line in found.splitlines() if "error: " in line]
    assert ["wrong.py" in place for place, _, _ in errors] == [True] * 7, found
    kinds = ["arg-type]", "arg-type]", "attr-defined]", "attr-defined]", "call-arg]", "call-arg]", "arg-type]"]
    assert [text.rpartition("[")[2] for _, _, text in errors] == kinds
