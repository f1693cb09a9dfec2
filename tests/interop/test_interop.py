"""Exports, read by the libraries of their formats; run by `make interop` in a separate environment.

`tests/interop/make.py` writes the folder that CLIPTRASE_INTEROP names. This file imports nothing of the project.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(os.environ.get("CLIPTRASE_INTEROP", "missing"))
NAMES = ("cat", "dog: <b>", "\u732b", "cow")
BACKGROUND = len(NAMES)
PICTURES = ("blocks", "empty", "holes", "one")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="make interop writes what is read here")


@pytest.fixture(scope="module")
def labels():
    """Labels by picture, without the component of one pixel that min_area removes."""
    with np.load(FOLDER / "labels.npz") as archive:
        found = {name: archive[name] for name in archive}
    found["holes"][55, 75] = 4
    return found


def expect_masks(detections, truth):
    for label in range(len(NAMES)):
        own = detections.mask[detections.class_id == label] if len(detections) else np.zeros((0, *truth.shape), bool)
        assert np.array_equal(own.any(axis=0), truth == label)
        assert (own.sum(axis=0) <= 1).all(), "no pixel in two components"


@pytest.mark.parametrize("kind", ["runs", "polygons"])
def test_pycocotools(labels, kind):
    coco = pytest.importorskip("pycocotools.coco")
    api = coco.COCO(FOLDER / kind / "coco/annotations.json")
    assert [entry["file_name"] for entry in api.loadImgs(api.getImgIds())] == [f"{name}.png" for name in PICTURES]
    names = {entry["id"]: entry["name"] for entry in api.loadCats(api.getCatIds())}
    assert sorted(names.values()) == sorted(NAMES)
    for image, name in enumerate(PICTURES, 1):
        for category, shown in names.items():
            masks = [api.annToMask(each) for each in api.loadAnns(api.getAnnIds(imgIds=image, catIds=category))]
            whole = np.sum(masks, axis=0) if masks else np.zeros_like(labels[name])
            assert np.array_equal(whole, labels[name] == NAMES.index(shown))


@pytest.mark.parametrize("kind", ["runs", "polygons"])
def test_supervision_reads_coco(labels, kind):
    supervision = pytest.importorskip("supervision")
    data = supervision.DetectionDataset.from_coco(
        str(FOLDER), str(FOLDER / kind / "coco/annotations.json"), force_masks=True
    )
    order = [NAMES.index(name) for name in data.classes]
    assert len(data) == len(PICTURES)
    for path, _, detections in data:
        detections.class_id = np.array([order[number] for number in detections.class_id], int)
        truth = labels[Path(path).stem]
        if kind == "runs":
            expect_masks(detections, truth)
            continue
        for label in range(len(NAMES)):  # supervision rounds polygons to whole pixels: edges differ by up to 1 px
            own = detections.mask[detections.class_id == label].any(axis=0) if len(detections) else truth < 0
            union = (own | (truth == label)).sum()
            assert union == 0 or (own & (truth == label)).sum() / union > 0.6


def test_supervision_reads_yolo(labels):
    supervision = pytest.importorskip("supervision")
    below = FOLDER / "runs/yolo"
    data = supervision.DetectionDataset.from_yolo(
        str(below / "images"), str(below / "labels"), str(below / "data.yaml"), force_masks=True
    )
    order = [NAMES.index(name) for name in data.classes]
    assert len(data) == len(PICTURES)
    for path, _, detections in data:
        detections.class_id = np.array([order[number] for number in detections.class_id], int)
        expect_masks(detections, labels[Path(path).stem])


def test_ultralytics_reads_yolo(labels):
    pytest.importorskip("ultralytics")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    description = check_det_dataset(str(FOLDER / "runs/yolo/data.yaml"), autodownload=False)
    names = list(description["names"].values())
    data = YOLODataset(img_path=description["train"], data=description, task="segment", augment=False)
    assert len(data.labels) == len(PICTURES)
    for entry in data.labels:
        truth = labels[Path(entry["im_file"]).stem]
        assert entry["shape"] == truth.shape
        whole = np.zeros((len(names), *truth.shape), np.uint8)
        for number, segment in zip(entry["cls"][:, 0].astype(int), entry["segments"], strict=True):
            polygon = segment * truth.shape[::-1]
            whole[number] += polygon2mask(truth.shape, [polygon.reshape(-1)], color=1)
        for number, name in enumerate(names):
            assert np.array_equal(whole[number], truth == NAMES.index(name))


def test_labelme(labels):
    pytest.importorskip("labelme")
    from labelme._label_file import read_label_file
    from labelme.utils import shape_to_mask

    for name in PICTURES:
        path = FOLDER / f"runs/labelme/{name}.json"
        found = read_label_file(str(path))
        truth = labels[name]
        whole = np.zeros((len(NAMES), *truth.shape), int)
        for shape in found.shapes:
            mask = shape_to_mask(truth.shape, shape["points"], shape["shape_type"])
            whole[NAMES.index(shape["label"])] += mask
        for label in range(len(NAMES)):
            assert np.array_equal(whole[label], truth == label)
        assert found.image_data == (FOLDER / f"{name}.png").read_bytes()
        assert json.loads(path.read_text(encoding="utf-8"))["imagePath"] == f"{name}.png"


@pytest.mark.parametrize("name", PICTURES)
def test_grey_labels_masks_and_cutouts_are_what_cv2_and_skimage_expect(labels, name):
    cv2 = pytest.importorskip("cv2")
    grey = cv2.imread(str(FOLDER / f"runs/{name}.index.png"), cv2.IMREAD_UNCHANGED)
    if name != "holes":
        assert np.array_equal(grey, labels[name])
    masks = sorted((FOLDER / "runs/masks" / name).glob("*.png"))
    assert len(masks) == len(set(np.unique(labels[name])) - {BACKGROUND})
    for path in masks:
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) <= {0, 255}
        cut = cv2.imread(str(FOLDER / "runs/cutouts" / name / path.name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(cut[..., 3], mask)
