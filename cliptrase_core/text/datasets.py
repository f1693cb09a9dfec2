"""Vocabularies of data sets that come with the package, and other names of these data sets."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

DATASETS = ("voc20", "voc21", "pc59", "pc60", "pc459", "ade150", "ade847", "coco171", "coco80", "cityscapes")
"""Data sets whose words come with the package."""

_ALSO_CALLED = {
    "voc20": "voc pascalvoc voc2007 voc2012 pascalvoc2007 pascalvoc2012 pascalvoc20",
    "voc21": "pascalvoc21",
    "pc59": "pascalcontext context59 pascalcontext59",
    "pc60": "context60 pascalcontext60",
    "pc459": "context459 pascalcontext459 pascalcontextfull",
    "ade150": "ade ade20k ade20k150",
    "ade847": "adefull ade20kfull ade20k847",
    "coco171": "cocostuff cocostuff171 cocostuff164k cocostuff10k",
    "coco80": "coco mscoco coco2014 coco2017 cocoobject cocoobject80 coco81",
    "cityscapes": "",
}
_DATASET_CALLED = {alias: name for name, aliases in _ALSO_CALLED.items() for alias in (name, *aliases.split())}


def dataset_called(text: str) -> str | None:
    """The data set that people call so, whatever the case and the signs between: "VOC-20", "ADE 20K"."""
    return _DATASET_CALLED.get(re.sub(r"[\s._-]+", "", text.casefold())) if len(text) < 40 else None


@cache
def dataset_entries() -> dict[str, dict[str, list[str]]]:
    """Classes and background words of each data set, as published."""
    source = resources.files("cliptrase_core.text").joinpath("classes.json")
    data: dict[str, dict[str, list[str]]] = json.loads(source.read_text(encoding="utf-8"))
    return data
