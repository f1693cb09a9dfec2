"""Data sets of three small pictures, written in the layout of each publisher or annotation tool.

All have the same ground truth: rectangles of the set's classes on an empty ground. `CASES` defines how each set is
written, and the labels of its pixels.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths
from scipy import io as matlab

from cliptrase_core.io.masks import IGNORED
from tests.datasets import write_mask, write_picture

SIZES = ((24, 32), (32, 20), (28, 28))
STEMS = ("a", "b", "c")
GROUND = -2
"""Value of pixels without a class in these ground truths."""

GroundTruth = np.ndarray


def truth_of(place: int, classes: int = 2) -> GroundTruth:
    """Return (H, W): classes 0, 1 and so on in rectangles that do not touch the border; `GROUND` elsewhere."""
    height, width = SIZES[place]
    truth = np.full((height, width), GROUND)
    for label in range(classes):
        top, left = 2 + 9 * (label % 2), 2 + 8 * ((label + place) % 2)
        truth[top : top + 6 + place, left : left + 7] = label
    return truth


def boxes(truth: GroundTruth) -> list[tuple[int, int, int, int, int]]:
    """Return (label, left, top, right, bottom) of each class; right and bottom are exclusive."""
    found = []
    for label in sorted(set(truth.ravel().tolist()) - {GROUND}):
        rows, columns = np.nonzero(truth == label)
        found.append((label, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return [tuple(map(int, box)) for box in found]


def picture(path: Path, place: int) -> None:
    write_picture(path, np.random.default_rng(place), SIZES[place])


def grey(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def coloured(path: Path, truth: GroundTruth, colours: Mapping[int, tuple[int, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    out = np.zeros((*truth.shape, 3), np.uint8)
    for label, colour in colours.items():
        out[truth == label] = colour
    Image.fromarray(out).save(path)


def renumbered(truth: GroundTruth, numbers: Mapping[int, int]) -> np.ndarray:
    return np.vectorize(numbers.get)(truth)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def as_json(path: Path, content: object) -> None:
    text(path, json.dumps(content))


def labelmap(root: Path, mode: str = "colours") -> None:
    colours = {GROUND: (0, 0, 0), 0: (250, 50, 83), 1: (51, 221, 255)}
    text(
        root / "labelmap.txt",
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\nred_car:51,221,255::\n",
    )
    text(root / "ImageSets/Segmentation/default.txt", "a\nb\nc\n")
    for place, stem in enumerate(STEMS):
        picture(root / f"JPEGImages/{stem}.jpg", place)
        path, truth = root / f"SegmentationClass/{stem}.png", truth_of(place)
        if mode == "colours":
            coloured(path, truth, colours)
        elif mode == "palette":
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(renumbered(truth, {GROUND: 4, 0: 2, 1: 7}).astype(np.uint8), "P")
            image.putpalette([255] * 6 + [250, 50, 83] + [255] * 3 + [0] * 3 + [255] * 6 + [51, 221, 255])
            image.save(path)
        else:
            grey(path, renumbered(truth, {GROUND: 0, 0: 1, 1: 2}))


def camvid_colours(root: Path, kind: str) -> None:
    colours = {GROUND: (0, 0, 0), 0: (128, 0, 0), 1: (64, 0, 64)}
    if kind == "published":
        text(root / "label_colors.txt", "128 0 0\t\tBuilding\n64 0 64\tLaneMkgsNonDriv\n0 0 0\tVoid\n")
        images, masks, end = "701_StillsRaw_full", "LabeledApproved_full", "_L.png"
    elif kind == "datumaro":
        text(root / "label_colors.txt", "0 0 0 Void\n128 0 0 Building\n64 0 64 LaneMkgsNonDriv\n")
        images, masks, end = "default", "defaultannot", ".png"
    else:
        text(root / "class_dict.csv", "name,r,g,b\nBuilding,128,0,0\nLaneMkgsNonDriv,64,0,64\nVoid,0,0,0\n")
        images, masks, end = "val", "val_labels", "_L.png"
    for place, stem in enumerate(STEMS):
        picture(root / images / f"{stem}.png", place)
        coloured(root / masks / f"{stem}{end}", truth_of(place), colours)


def camvid_numbers(root: Path) -> None:
    for place, stem in enumerate(STEMS):
        picture(root / f"test/{stem}.png", place)
        grey(root / f"testannot/{stem}.png", renumbered(truth_of(place), {GROUND: 11, 0: 0, 1: 10}))


def cityscapes(root: Path, kind: str, mixed: bool = False) -> None:
    numbers = {GROUND: 3, 0: 7, 1: 33} if kind == "labelIds" else {GROUND: 255, 0: 0, 1: 18}
    for place, stem in enumerate(STEMS):
        city = "" if mixed else f"val/{'ulm' if place else 'bonn'}/"
        picture(root / f"leftImg8bit/{city}{stem}_leftImg8bit.png", place)
        city = city if kind == "labelIds" else ""
        grey(root / f"gtFine/{city}{stem}_gtFine_{kind}.png", renumbered(truth_of(place), numbers))


CATEGORIES = [{"id": 17, "name": "cat", "isthing": 1}, {"id": 3, "name": "red_car", "isthing": 1}]


def coco_entries(names: str = "{stem}.jpg") -> list[dict]:
    return [
        {"id": 100 + place, "file_name": names.format(stem=stem), "height": SIZES[place][0], "width": SIZES[place][1]}
        for place, stem in enumerate(STEMS)
    ]


def panoptic(root: Path) -> None:
    annotations = []
    for place, stem in enumerate(STEMS):
        picture(root / f"val2017/{stem}.jpg", place)
        coloured(root / f"annotations/panoptic_val2017/{stem}.png", truth_of(place), {0: (5, 1, 0), 1: (7, 0, 2)})
        segments = [{"id": 5 + 256, "category_id": 17}, {"id": 7 + 2 * 65536, "category_id": 3}]
        annotations.append({"image_id": 100 + place, "file_name": f"{stem}.png", "segments_info": segments})
    content = {"images": coco_entries(), "annotations": annotations, "categories": CATEGORIES}
    as_json(root / "annotations/panoptic_val2017.json", content)


def instances(root: Path, kind: str = "polygons") -> None:
    annotations = []
    for place, stem in enumerate(STEMS):
        picture(root / (f"valid/{stem}.jpg" if kind == "roboflow" else f"val2017/{stem}.jpg"), place)
        truth = truth_of(place)
        for label, left, top, right, bottom in boxes(truth):
            drawn: object = [[left, top, right, top, right, bottom, left, bottom]]
            if kind != "polygons" and label:
                runs = run_lengths.encode(np.asfortranarray((truth == label).astype(np.uint8)))
                drawn = {"size": runs["size"], "counts": runs["counts"].decode()}
            elif kind != "polygons":
                flat = (truth == label).ravel(order="F").astype(int)
                ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
                drawn = {"size": list(truth.shape), "counts": np.diff(ends).tolist()}
            entry = {"image_id": 100 + place, "category_id": (17, 3)[label], "segmentation": drawn, "iscrowd": 0}
            annotations.append(entry)
    path = "valid/_annotations.coco.json" if kind == "roboflow" else "annotations/instances_val2017.json"
    names = "../somewhere/else/{stem}.jpg" if kind == "runs" else "{stem}.jpg"
    as_json(root / path, {"images": coco_entries(names), "annotations": annotations, "categories": CATEGORIES})


def context(root: Path, unseen: bool = False) -> None:
    home = root / "VOCdevkit/VOC2010"
    text(home / "ImageSets/Main/val.txt", "a\nb\nc\n")
    for place, stem in enumerate(STEMS):
        picture(home / f"JPEGImages/{stem}.jpg", place)
        path = home / f"trainval/{stem}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = renumbered(truth_of(place), {GROUND: 1 if unseen else 0, 0: 2, 1: 397})
        matlab.savemat(path, {"LabelMap": values.astype(np.uint16)}, do_compression=True)
    picture(home / "JPEGImages/of_the_training_set.jpg", 0)


def loveda(root: Path) -> None:
    for place, stem in enumerate(STEMS):
        base = root / "Val" / ("Urban" if place else "Rural")
        picture(base / f"images_png/{stem}.png", place)
        truth = truth_of(place, 3)
        grey(base / f"masks_png/{stem}.png", renumbered(truth, {GROUND: 0, 0: 2, 1: 7, 2: 1}))


def labelme(root: Path, kind: str = "polygons") -> None:
    for place, stem in enumerate(STEMS):
        folder = root / "photos" if kind == "folders" else root
        picture(folder / f"{stem}.jpg", place)
        shapes = []
        for label, left, top, right, bottom in boxes(truth_of(place)):
            right, bottom = right - 1, bottom - 1  # labelme fills the pixels of the outline too
            points = [[left, top], [right, top], [right, bottom], [left, bottom]]
            shape = {"label": ("cat", "red_car")[label], "points": points, "shape_type": "polygon"}
            if kind == "mixed" and label:
                shape |= {"points": [[right, bottom], [left, top]], "shape_type": "rectangle"}
            elif kind == "mixed":
                out = io.BytesIO()
                Image.fromarray(np.ones((bottom - top + 1, right - left + 1), np.uint8)).save(out, "PNG")
                mask = base64.b64encode(out.getvalue()).decode()
                shape |= {"points": [[left, top], [right, bottom]], "shape_type": "mask", "mask": mask}
            shapes.append(shape)
        shapes.append({"label": "cat", "points": [[1, 1]], "shape_type": "point"})
        named = f"..\\photos\\{stem}.jpg" if kind == "folders" else f"{stem}.jpg"
        content = {"version": "5.4", "flags": {}, "shapes": shapes, "imagePath": named, "imageData": None}
        content |= {"imageHeight": SIZES[place][0], "imageWidth": SIZES[place][1]}
        as_json(root / ("drawn" if kind == "folders" else ".") / f"{stem}.json", content)


def cvat(root: Path, kind: str = "polygons") -> None:
    labels = "".join(f"<label><name>{name}</name><color>#fa3253</color></label>" for name in ("cat", "red_car"))
    lines = [f"<annotations><version>1.1</version><meta><job><labels>{labels}</labels></job></meta>"]
    for place, stem in enumerate(STEMS):
        picture(root / f"images/{stem}.jpg", place)
        height, width = SIZES[place]
        lines.append(f'<image id="{place}" name="{stem}.jpg" width="{width}" height="{height}">')
        for label, left, top, right, bottom in boxes(truth_of(place)):
            name = ("cat", "red_car")[label]
            if kind == "polygons":
                points = f"{left}.0,{top}.0;{right},{top};{right},{bottom};{left},{bottom}"
                shape = f'<polygon label="{name}" points="{points}" z_order="0"/>'
            elif label:
                shape = f'<box label="{name}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" z_order="1"/>'
            else:
                across, down = right - left + 2, bottom - top
                runs = ", ".join(["1", *[str(right - left), "2"] * (down - 1), str(right - left), "1"])
                where = f'left="{left - 1}" top="{top}" width="{across}" height="{down}"'
                shape = f'<mask label="{name}" rle="{runs}" {where} z_order="0"/>'
            lines.append(shape)
        lines.append('<points label="cat" points="1,1" z_order="9"/></image>')
    text(root / "annotations.xml", "\n".join([*lines, "</annotations>"]))


def parquet(root: Path) -> None:
    import pyarrow
    from pyarrow import parquet as files

    rows = []
    for place, stem in enumerate(STEMS):
        photo, mask = io.BytesIO(), io.BytesIO()
        picture(root / "x.jpg", place)
        photo.write((root / "x.jpg").read_bytes())
        (root / "x.jpg").unlink()
        values = renumbered(truth_of(place), {GROUND: 0, 0: 1, 1: 2}).astype(np.uint8)
        Image.fromarray(values).save(mask, "PNG")
        rows.append({"image": {"bytes": photo.getvalue(), "path": f"{stem}.jpg"}, "label": {"bytes": mask.getvalue()}})
    (root / "data").mkdir(parents=True, exist_ok=True)
    path = root / "data/validation-00000-of-00001.parquet"
    files.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    as_json(root / "id2label.json", {"0": "background", "1": "cat", "2": "red_car"})


def ade(root: Path) -> None:
    """Write ADE20K; number 2978 is wall, 2420 is sky, and 1 is an object that is not in ade847."""
    colours = {number: (number // 256 * 10, number % 256, 9) for number in (2978, 2420, 1)}
    for place, stem in enumerate(STEMS):
        base = root / f"images/ADE/validation/{'urban/street' if place else 'nature/bog'}"
        picture(base / f"ADE_val_{stem}.jpg", place)
        coloured(
            base / f"ADE_val_{stem}_seg.png", truth_of(place), {0: colours[2978], 1: colours[2420], GROUND: colours[1]}
        )
        coloured(base / f"ADE_val_{stem}_parts_1.png", truth_of(place), {})


def voc_colours(root: Path) -> None:
    home = root / "VOCdevkit/VOC2012"
    text(home / "ImageSets/Segmentation/val.txt", "a\nb\nc\n")
    colours = {GROUND: (0, 0, 0), 0: (128, 0, 0), 1: (0, 64, 128), 2: (224, 224, 192)}
    for place, stem in enumerate(STEMS):
        picture(home / f"JPEGImages/{stem}.jpg", place)
        coloured(home / f"SegmentationClass/{stem}.png", truth_of(place, 3), colours)


def index_masks(images: str, masks: str, numbers: Mapping[int, int]) -> Callable[[Path], None]:
    """Return a function that writes pictures, and masks with the publisher's numbers."""

    def write(root: Path) -> None:
        for place, stem in enumerate(STEMS):
            picture(root / images / f"{stem}.jpg", place)
            write_mask(root / masks / f"{stem}.png", renumbered(truth_of(place), numbers))

    return write


@dataclass(frozen=True)
class Case:
    """Data set in one layout.

    Attributes:
        write: function that writes the set into a folder.
        means: expected label of each value of the ground truth, among the set's own classes or those of the setting;
            "background" is the label after the last class.
        layout: name of the reader; None for a setting's own layouts.
        setting: benchmark whose classes are read; None for the set's own classes.
        keys: names of the pictures.
        classes: number of classes in the ground truth.
        own: class names in the set's own files.
    """

    write: Callable[[Path], None]
    means: Mapping[int, int | str]
    layout: str | None = None
    setting: str | None = None
    keys: tuple[str, ...] = STEMS
    classes: int = 2
    own: tuple[str, ...] = ()


TWO = {GROUND: "background", 0: 0, 1: 1}
STRICT = {GROUND: IGNORED, 0: 0, 1: 1}
OWN = ("cat", "red car")
DRAWN = (*OWN, "background")
CAMVID = ("Building", "lane marking that is not for driving")
CITIES = {GROUND: IGNORED, 0: 0, 1: 18}
IN_ELSEWHERE = tuple(f"somewhere/else/{stem}" for stem in STEMS)
IN_DRAWN = tuple(f"drawn/{stem}" for stem in STEMS)
IN_ROWS = tuple(f"data/validation-00000-of-00001/00000{row}" for row in range(3))
IN_SCENES = ("nature/bog/ADE_val_a", "urban/street/ADE_val_b", "urban/street/ADE_val_c")
IN_DOMAINS = ("Rural/a", "Urban/b", "Urban/c")
LAND = ("building", "road", "water", "barren", "forest", "agriculture", "background")
ADE = ("ADEChallengeData2016/images/validation", "ADEChallengeData2016/annotations/validation")
STUFF = ("coco/val2017", "coco/stuffthingmaps/val2017")


def of(write: Callable[..., None], *arguments: object) -> Callable[[Path], None]:
    """Return a function that calls `write` with a folder and these arguments."""
    return lambda root: write(root, *arguments)


CASES = {
    "CVAT masks": Case(labelmap, TWO, "labelmap", own=DRAWN),
    "CVAT masks with a palette": Case(of(labelmap, "palette"), TWO, "labelmap", own=DRAWN),
    "datumaro masks of places": Case(of(labelmap, "places"), TWO, "labelmap", own=DRAWN),
    "CamVid as published": Case(of(camvid_colours, "published"), STRICT, "colours", own=CAMVID),
    "CamVid with a table": Case(of(camvid_colours, "table"), STRICT, "colours", own=CAMVID),
    "CamVid of datumaro": Case(of(camvid_colours, "datumaro"), STRICT, "colours", own=CAMVID),
    "CamVid of SegNet": Case(camvid_numbers, {GROUND: IGNORED, 0: 0, 1: 10}, "camvid"),
    "Cityscapes nested": Case(of(cityscapes, "labelIds"), CITIES, "cityscapes", "cityscapes"),
    "Cityscapes, masks flat": Case(of(cityscapes, "labelTrainIds"), CITIES, "cityscapes", "cityscapes"),
    "Cityscapes flat": Case(of(cityscapes, "labelIds", True), CITIES, "cityscapes", "cityscapes"),
    "COCO panoptic": Case(panoptic, STRICT, "coco-panoptic", own=OWN),
    "COCO instances": Case(instances, TWO, "coco-instances", own=DRAWN),
    "COCO run lengths": Case(of(instances, "runs"), TWO, "coco-instances", keys=IN_ELSEWHERE, own=DRAWN),
    "COCO of Roboflow": Case(of(instances, "roboflow"), TWO, "coco-instances", own=DRAWN),
    "PASCAL Context, 59": Case(context, {GROUND: IGNORED, 0: 0, 1: 49}, "pascal-context", "pc59"),
    "PASCAL Context, 60": Case(of(context, True), {GROUND: 59, 0: 0, 1: 49}, "pascal-context", "pc60"),
    "PASCAL Context, 459": Case(context, {GROUND: IGNORED, 0: 1, 1: 396}, "pascal-context", "pc459"),
    "LoveDA": Case(loveda, {GROUND: IGNORED, 0: 0, 1: 5, 2: 6}, "loveda", keys=IN_DOMAINS, classes=3, own=LAND),
    "labelme": Case(labelme, TWO, "labelme", own=DRAWN),
    "labelme in folders": Case(of(labelme, "folders"), TWO, "labelme", keys=IN_DRAWN, own=DRAWN),
    "labelme masks and boxes": Case(of(labelme, "mixed"), TWO, "labelme", own=DRAWN),
    "CVAT XML": Case(cvat, TWO, "cvat", own=DRAWN),
    "CVAT XML, masks and boxes": Case(of(cvat, "mixed"), TWO, "cvat", own=DRAWN),
    "parquet": Case(parquet, TWO, "parquet", keys=IN_ROWS, own=DRAWN),
    "ADE20K full": Case(ade, {GROUND: IGNORED, 0: 0, 1: 2}, "ade-full", "ade847", keys=IN_SCENES),
    "VOC in colours": Case(voc_colours, {GROUND: 20, 0: 0, 1: 19, 2: IGNORED}, None, "voc21", classes=3),
    "ADE raw": Case(index_masks(*ADE, {GROUND: 0, 0: 1, 1: 150}), {GROUND: IGNORED, 0: 0, 1: 149}, None, "ade150"),
    "stuffthingmaps raw": Case(
        index_masks(*STUFF, {GROUND: 255, 0: 0, 1: 181}), {GROUND: IGNORED, 0: 0, 1: 170}, None, "coco171"
    ),
}
