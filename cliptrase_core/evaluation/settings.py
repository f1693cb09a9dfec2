"""The benchmark settings: vocabulary, folder layouts, and values of the protocols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.evaluation.colours import read_voc_mask
from cliptrase_core.evaluation.layouts import Layout, missing_folders
from cliptrase_core.evaluation.numbers import (
    ALL_ELSE_IS_BACKGROUND,
    B1,
    BITS_16,
    CITY,
    PLAIN,
    RAW_ALL_ELSE,
    RAW_OBJECTS,
    RAW_STUFF,
    STUFF_IS_BACKGROUND,
    VOID_IS_BACKGROUND,
    ZERO_IS_BACKGROUND,
    ZERO_IS_NOTHING,
    Numbers,
)

EXAMPLES = "examples"
"""Name of the bundled photographs with masks drawn by hand; they need no download."""


@dataclass(frozen=True)
class Setting:
    """One benchmark.

    Attributes:
        name: name on the command line.
        title: name in reports.
        layouts: possible folder layouts of the data; the first complete one is used.
        prior: True if the published script weighs words by the whole picture in this setting (quirk B7).
    """

    name: str
    title: str
    layouts: tuple[Layout, ...]
    prior: bool = False


def setting_by_name(name: str) -> Setting:
    """Return a benchmark by its name.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("setting", name, SETTINGS)
    return SETTINGS[name]


def _voc(plain: Numbers | None, quirk: Numbers, raw: Numbers) -> tuple[Layout, ...]:
    folder = "VOC2012"
    published = Layout(
        "VOC2012, prepared for detectron2",
        f"{folder}/images_detectron2/val",
        f"{folder}/annotations_detectron2/val",
        plain,
        quirk,
    )
    devkits = (
        Layout(
            f"{home}, {masks}",
            f"{home}/JPEGImages",
            f"{home}/{masks}",
            raw,
            listing=f"{home}/ImageSets/Segmentation/val.txt",
            read_mask=read_voc_mask,
        )
        for home in (folder, f"VOCdevkit/{folder}")
        for masks in ("SegmentationClass", "SegmentationClassAug")
    )
    return (published, *devkits)


def _context(plain: Numbers, raw: Numbers) -> tuple[Layout, ...]:
    home = "VOCdevkit/VOC2010"
    return (
        Layout("pcontext", "pcontext/val/image", "pcontext/val/label", plain, plain),
        Layout(
            f"{home}, SegmentationClassContext",
            f"{home}/JPEGImages",
            f"{home}/SegmentationClassContext",
            raw,
            listing=f"{home}/ImageSets/SegmentationContext/val.txt",
        ),
    )


def _coco(numbers: Numbers, quirk: Numbers, slide: Numbers | None = None) -> Layout:
    masks = "coco/stuffthingmaps_detectron2/val2017"
    return Layout("COCO, stuffthingmaps for detectron2", "coco/val2017", masks, numbers, quirk, slide)


def _raw_coco(numbers: Numbers, slide: Numbers | None = None) -> tuple[Layout, ...]:
    return (
        Layout(
            "COCO, stuffthingmaps as published", "coco/val2017", "coco/stuffthingmaps/val2017", numbers, None, slide
        ),
        Layout(
            "coco_stuff164k, masks as published",
            "coco_stuff164k/images/val2017",
            "coco_stuff164k/annotations/val2017",
            numbers,
            None,
            slide,
        ),
    )


def _ade847(images: str) -> Layout:
    home = "ADE20K_2021_17_01"
    masks = f"{home}/annotations_detectron2/validation"
    return Layout(
        f"{home}/{images}",
        f"{home}/{images}/validation",
        masks,
        BITS_16,
        BITS_16,
        mask_end=".tif",
    )


_ADE = "ADEChallengeData2016"
_MMSEG_STUFF = Layout(
    "coco_stuff164k",
    "coco_stuff164k/images/val2017",
    "coco_stuff164k/annotations/val2017",
    PLAIN,
    mask_end="_labelTrainIds.png",
)
_MMSEG_OBJECT = Layout(
    "coco_object",
    "coco_object/images/val2017",
    "coco_object/annotations/val2017",
    ZERO_IS_BACKGROUND,
    mask_end="_instanceTrainIds.png",
)


def _cityscapes(end: str, numbers: Numbers) -> Layout:
    places = ("cityscapes/leftImg8bit/val", "cityscapes/gtFine/val")
    return Layout(f"cityscapes, {end}", *places, numbers, image_end="_leftImg8bit.png", mask_end=f"_gtFine_{end}.png")


SETTINGS = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            Setting(
                "coco171",
                "COCO-Stuff 171",
                (_coco(PLAIN, PLAIN), _MMSEG_STUFF, *_raw_coco(RAW_STUFF)),
            ),
            Setting(
                "voc20",
                "VOC 2012, 20",
                _voc(PLAIN, PLAIN, ZERO_IS_NOTHING),
                prior=True,
            ),
            Setting("pc59", "PASCAL Context 59", _context(PLAIN, ZERO_IS_NOTHING)),
            Setting(
                "pc459",
                "PASCAL Context 459",
                (
                    Layout(
                        "pcontext_full",
                        "pcontext_full/val/image",
                        "pcontext_full/val/label",
                        BITS_16,
                        BITS_16,
                        mask_end=".tif",
                    ),
                ),
            ),
            Setting(
                "ade150",
                "ADE20K 150",
                (
                    Layout(
                        "ADEChallengeData2016, prepared for detectron2",
                        f"{_ADE}/images/validation",
                        f"{_ADE}/annotations_detectron2/validation",
                        PLAIN,
                        PLAIN,
                    ),
                    *(
                        Layout(
                            home,
                            f"{home}/images/validation",
                            f"{home}/annotations/validation",
                            ZERO_IS_NOTHING,
                        )
                        for home in (_ADE, f"ade/{_ADE}")
                    ),
                ),
            ),
            Setting("ade847", "ADE20K 847", (_ade847("images_detectron2"), _ade847("images"))),
            Setting(
                "coco80",
                "COCO objects 80",
                (
                    _coco(STUFF_IS_BACKGROUND, B1, ALL_ELSE_IS_BACKGROUND),
                    _MMSEG_OBJECT,
                    *_raw_coco(RAW_OBJECTS, RAW_ALL_ELSE),
                ),
            ),
            Setting(
                "voc21",
                "VOC 2012, 20 and background",
                _voc(None, VOID_IS_BACKGROUND, ZERO_IS_BACKGROUND),
            ),
            Setting(
                "pc60",
                "PASCAL Context 59 and background",
                # PASCAL Context has no void borders: 255 in these masks is always background.
                _context(VOID_IS_BACKGROUND, ZERO_IS_BACKGROUND),
            ),
            Setting(
                "cityscapes",
                "Cityscapes 19",
                (
                    _cityscapes("labelTrainIds", PLAIN),
                    _cityscapes("labelIds", CITY),
                ),
            ),
        )
    }
)


def find_layout(setting: Setting, root: Path, protocol: str, quirks: bool) -> tuple[Layout, Numbers]:
    """Return the first complete and readable layout, and the convention of its numbers.

    Raises:
        InputError: no complete layout (the message has the missing folder), or only layouts with unreadable masks.
    """
    readable = [(layout, layout.numbers_under(protocol, quirks)) for layout in setting.layouts]
    for layout, numbers in readable:
        if numbers is not None and not missing_folders(layout, root):
            return layout, numbers
    unreadable = [layout for layout, numbers in readable if numbers is None and not missing_folders(layout, root)]
    if unreadable:
        raise InputError(
            f"data of {setting.name}",
            expected="masks that the published script reads" if quirks else "masks that tell background from void",
            got=unreadable[0].title,
            remedy="Point --data at the prepared folders that it reads, or leave out --reference-quirks."
            if quirks
            else "They use one number for background and void: unpack the original masks beside them (see "
            "docs/evaluation.md), or give --reference-quirks.",
        )
    possible = [layout for layout, numbers in readable if numbers is not None]
    wanted = min(possible, key=lambda layout: len(missing_folders(layout, root)))
    missing = " and ".join(str(path) for path in missing_folders(wanted, root))
    raise InputError(
        f"data of {setting.name}",
        expected=f"{wanted.title} below {root}",
        got=f"no {missing}",
        remedy=f"Unpack it there, or run 'evaluate --check --setting {setting.name} --data ...' for all layouts.",
    )
