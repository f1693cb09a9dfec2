"""Reading data sets: every layout of every setting, the user's own folders, and unusable files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.data import check, find_data
from cliptrase_core.evaluation.folder import folder_set, read_folder_set
from cliptrase_core.evaluation.layouts import find_pairs
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.predictors import crop_ground_truth
from cliptrase_core.evaluation.request import Request
from cliptrase_core.evaluation.settings import EXAMPLES, SETTINGS, find_layout, setting_by_name
from cliptrase_core.evaluation.sources import Folders, read_stored, read_turned
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.image import read_image
from cliptrase_core.io.masks import IGNORED, read_numbers
from tests.conftest import DATA
from tests.datasets import voc_devkit, write_dataset, write_mask, write_picture

I = IGNORED  # noqa: E741 - as short as the numbers beside it
CITY = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14}
CITY |= {28: 15, 31: 16, 32: 17, 33: 18, 0: I, 1: I, 4: I, 29: I, 255: I}

# Setting, folder of pictures, folder of masks, ending of masks, {number in the file: label}, quirks, protocol.
COCO = ("coco/val2017", "coco/stuffthingmaps_detectron2/val2017", ".png")
VOC = ("VOC2012/images_detectron2/val", "VOC2012/annotations_detectron2/val", ".png")
CONTEXT = ("pcontext/val/image", "pcontext/val/label", ".png")
ADE = "ADEChallengeData2016"
FULL = "ADE20K_2021_17_01"
LAYOUTS = [
    ("coco171", *COCO, {0: 0, 79: 79, 80: 80, 170: 170, 255: I}, False),
    ("coco80", *COCO, {0: 0, 79: 79, 80: 80, 81: 80, 170: 80, 255: I}, False),
    ("coco80", *COCO, {0: 0, 79: 79, 80: 80, 81: I, 170: I, 255: 80}, True),
    ("voc20", *VOC, {0: 0, 19: 19, 255: I}, False),
    ("voc21", *VOC, {0: 0, 19: 19, 255: 20}, True),
    ("pc59", *CONTEXT, {0: 0, 58: 58, 255: I}, False),
    ("pc60", *CONTEXT, {0: 0, 58: 58, 255: 59}, False),
    ("pc459", "pcontext_full/val/image", "pcontext_full/val/label", ".tif", {0: 0, 255: 255, 458: 458, 65535: I}, True),
    (
        "ade150",
        f"{ADE}/images/validation",
        f"{ADE}/annotations_detectron2/validation",
        ".png",
        {149: 149, 255: I},
        True,
    ),
    ("ade150", f"{ADE}/images/validation", f"{ADE}/annotations/validation", ".png", {0: I, 1: 0, 150: 149}, False),
    (
        "ade150",
        f"ade/{ADE}/images/validation",
        f"ade/{ADE}/annotations/validation",
        ".png",
        {0: I, 1: 0, 150: 149},
        False,
    ),
    (
        "ade847",
        f"{FULL}/images_detectron2/validation",
        f"{FULL}/annotations_detectron2/validation",
        ".tif",
        {0: 0, 255: 255, 846: 846, 65535: I},
        False,
    ),
    (
        "ade847",
        f"{FULL}/images/validation",
        f"{FULL}/annotations_detectron2/validation",
        ".tif",
        {846: 846, 65535: I},
        True,
    ),
    (
        "coco171",
        "coco_stuff164k/images/val2017",
        "coco_stuff164k/annotations/val2017",
        "_labelTrainIds.png",
        {0: 0, 170: 170, 255: I},
        False,
    ),
    (
        "coco80",
        "coco_object/images/val2017",
        "coco_object/annotations/val2017",
        "_instanceTrainIds.png",
        {0: 80, 1: 0, 80: 79, 255: I},
        False,
    ),
]


def loaded(setting, root, *, quirks=False):
    layout, numbers = find_layout(SETTINGS[setting], root, "paper", quirks)
    source = Folders(find_pairs(layout, root), numbers, setting_words(setting), read_stored)
    return [source.load(index) for index in range(len(source.keys))]


@pytest.mark.parametrize(("setting", "images", "masks", "end", "meaning", "quirks"), LAYOUTS)
def test_every_number_of_a_layout_gets_its_label(tmp_path, setting, images, masks, end, meaning, quirks):
    write_dataset(tmp_path / images, tmp_path / masks, lambda rng: np.array(list(meaning)), mask_end=end)
    samples = loaded(setting, tmp_path, quirks=quirks)
    assert [sample.key for sample in samples] == ["a", "b", "c"]
    for sample in samples:
        assert sample.image.shape[:2] == sample.ground_truth.shape
        raw = np.array(Image.open(tmp_path / masks / f"{sample.key}{end}"))
        for number, label in meaning.items():
            assert (sample.ground_truth[raw == number] == label).all()
        assert set(np.unique(raw)) == set(meaning)


@pytest.mark.parametrize("home", ["VOC2012", "VOCdevkit/VOC2012"])
@pytest.mark.parametrize("masks", ["SegmentationClass", "SegmentationClassAug"])
@pytest.mark.parametrize(("setting", "zero"), [("voc20", I), ("voc21", 20)])
def test_voc_as_it_is_unpacked_tells_void_from_background(tmp_path, home, masks, setting, zero):
    base = tmp_path / home
    lists = base / "ImageSets/Segmentation/val.txt"
    write_dataset(base / "JPEGImages", base / masks, lambda rng: np.array([0, 1, 20, 255]), listing=lists)
    write_picture(base / "JPEGImages/of_the_training_set.jpg", np.random.default_rng(9), (40, 40))
    samples = loaded(setting, tmp_path)
    assert [sample.key for sample in samples] == ["a", "b", "c"], "the list decides, not the folder"
    assert set(np.unique(samples[0].ground_truth)) == {zero, 0, 19, I}


@pytest.mark.parametrize(("setting", "zero"), [("pc59", I), ("pc60", 59)])
def test_pascal_context_as_mmseg_keeps_it(tmp_path, setting, zero):
    base = tmp_path / "VOCdevkit/VOC2010"
    lists = base / "ImageSets/SegmentationContext/val.txt"
    masks = base / "SegmentationClassContext"
    write_dataset(base / "JPEGImages", masks, lambda rng: np.array([0, 1, 59]), listing=lists)
    assert set(np.unique(loaded(setting, tmp_path)[0].ground_truth)) == {zero, 0, 58}


@pytest.mark.parametrize(("end", "meaning"), [("labelTrainIds", {0: 0, 18: 18, 255: I}), ("labelIds", CITY)])
def test_cityscapes_in_its_city_folders(tmp_path, end, meaning):
    base = tmp_path / "cityscapes"
    write_dataset(
        base / "leftImg8bit/val",
        base / "gtFine/val",
        lambda rng: np.array(list(meaning)),
        names=("bonn/bonn_1", "ulm/ulm_1", "ulm/ulm_2"),
        image_end="_leftImg8bit.png",
        mask_end=f"_gtFine_{end}.png",
    )
    sample = loaded("cityscapes", tmp_path)[2]
    assert sample.key == "ulm/ulm_2"
    raw = np.array(Image.open(base / f"gtFine/val/ulm/ulm_2_gtFine_{end}.png"))
    np.testing.assert_array_equal(sample.ground_truth, np.vectorize(meaning.get)(raw))


def test_the_root_may_be_the_data_set_s_own_folder(tmp_path):
    write_dataset(tmp_path / VOC[0], tmp_path / VOC[1], lambda rng: np.array([0, 255]))
    assert len(loaded("voc20", tmp_path / "VOC2012")) == 3


def test_a_missing_folder_is_named(tmp_path):
    (tmp_path / VOC[0]).mkdir(parents=True)
    with pytest.raises(InputError, match=r"no .*VOC2012.annotations_detectron2.val"):
        find_layout(SETTINGS["voc20"], tmp_path, "paper", quirks=False)


def test_check_says_what_is_there_and_what_is_missing(tmp_path):
    write_dataset(tmp_path / VOC[0], tmp_path / VOC[1], lambda rng: np.array([0, 255]))
    (tmp_path / VOC[1] / "b.png").unlink()
    lines = list(check("voc20", tmp_path))
    assert lines[1].endswith("3 pictures, 0 pictures and 1 mask are missing")
    assert any("JPEGImages" in line and line.startswith("  - ") for line in lines[2:])
    (tmp_path / COCO[0]).mkdir(parents=True)
    write_mask(tmp_path / COCO[1] / "a.png", np.zeros((4, 4)))
    lines = list(check(None, tmp_path))
    assert len(lines) > len(SETTINGS)
    assert "expected pictures" in next(line for line in lines if "stuffthingmaps" in line)
    assert any("3 pictures" in line for line in lines), "an empty folder does not end the list"


def test_what_is_missing_is_named_of_a_layout_that_could_be_read(tmp_path):
    with pytest.raises(InputError, match="JPEGImages"):
        find_layout(SETTINGS["voc21"], tmp_path, "paper", quirks=False)
    with pytest.raises(InputError, match="images_detectron2"):
        find_layout(SETTINGS["voc20"], tmp_path, "paper", quirks=True)


@pytest.mark.parametrize("name", ["nothing", EXAMPLES])
def test_a_name_that_is_no_benchmark_is_refused_with_those_that_are(name):
    with pytest.raises(InputError, match=rf"setting: expected one of {', '.join(SETTINGS)}, got '{name}'"):
        setting_by_name(name)


def test_folders_of_one_s_own_by_yaml(tmp_path):
    write_dataset(tmp_path / "photos", tmp_path / "labels", lambda rng: np.array([0, 1, 2, 9]), mask_end="_m.png")
    (tmp_path / "mine.yaml").write_text(
        "images: photos\nmasks: labels\nmask_end: _m.png\nfirst: 1\nignored: [9]\nbackground: [0]\n"
        "vocabulary: 'cat, kitten; dog | background: wall'\n"
    )
    own = read_folder_set(tmp_path / "mine.yaml")
    assert own.name == "mine"
    pairs = find_pairs(own.layout, Path())
    sample = Folders(pairs, own.numbers, own.words, read_image).load(0)
    assert set(np.unique(sample.ground_truth)) == {0, 1, 2, I}
    assert own.words.class_names[sample.ground_truth[0, 0]] == "background"


def test_a_listing_may_hold_any_names_and_pictures_of_any_kind(tmp_path):
    names = ("my dog", "b", "c")
    listing = tmp_path / "list.txt"
    folders = tmp_path / "i", tmp_path / "m"
    write_dataset(*folders, lambda rng: np.array([0, 1]), names=names, image_end=".png", listing=listing)
    write_picture(tmp_path / "i/._b.jpg", np.random.default_rng(0), (8, 8))
    entries = {"images": "i", "masks": "m", "vocabulary": "cat; dog"}
    assert len(find_pairs(folder_set(entries, tmp_path).layout, Path())) == 3, "hidden files are no pictures"
    listing.write_text("my dog\n\nc\ngone\n")
    pairs = find_pairs(folder_set({**entries, "listing": "list.txt"}, tmp_path).layout, Path())
    assert [(pair.key, pair.image.is_file()) for pair in pairs] == [("c", True), ("gone", False), ("my dog", True)]
    with pytest.raises(InputError, match="one name a line"):
        find_pairs(folder_set({**entries, "listing": "nowhere.txt"}, tmp_path).layout, Path())


def test_sliding_windows_count_void_of_coco_as_background(tmp_path):
    write_dataset(tmp_path / COCO[0], tmp_path / COCO[1], lambda rng: np.array([0, 79, 80, 170, 255]))
    layout, numbers = find_layout(SETTINGS["coco80"], tmp_path, "mmseg-slide", quirks=False)
    source = Folders(find_pairs(layout, tmp_path), numbers, setting_words("coco80", "sclip"), read_stored)
    assert set(np.unique(source.load(0).ground_truth)) == {0, 79, 80}


@pytest.mark.parametrize("protocol", ["paper", "whole", "sclip"])
def test_ones_own_photographs_are_upright_under_every_protocol(tmp_path, protocol):
    """A square one fits its mask in any orientation, so nothing else would notice."""
    (tmp_path / "i").mkdir()
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255  # a white upper half
    Image.fromarray(np.rot90(upright)).save(tmp_path / "i/a.png", exif=turned_right())
    write_mask(tmp_path / "m/a.png", (upright[..., 0] == 0).astype(int))
    own = folder_set({"images": "i", "masks": "m", "vocabulary": "cat; dog"}, tmp_path)
    sample = find_data(Request(own, protocol=protocol)).source.load(0)
    np.testing.assert_array_equal(sample.image, upright)
    np.testing.assert_array_equal(sample.ground_truth, upright[..., 0] == 0)


def test_an_export_with_a_benchmarks_classes_is_upright_too(tmp_path):
    """Only the files of the benchmark itself are read as stored."""
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png", exif=turned_right())
    shape = {"label": "cat", "points": [[0, 0], [4, 0], [4, 8], [0, 8]], "shape_type": "polygon"}
    labelled = {"shapes": [shape], "imagePath": "a.png", "imageHeight": 8, "imageWidth": 4}
    (tmp_path / "a.json").write_text(json.dumps(labelled))
    sample = find_data(Request("voc20", tmp_path)).source.load(0)
    assert sample.image.shape == (8, 4, 3)
    root = voc_devkit(tmp_path / "voc")
    Image.new("RGB", (64, 90)).save(root / "VOCdevkit/VOC2012/JPEGImages/b.jpg", exif=turned_right())
    assert find_data(Request("voc20", root)).source.load(1).image.shape == (90, 64, 3)


def turned_right() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_picture_is_turned_for_sliding_windows_only(tmp_path):
    Image.new("RGB", (8, 4)).save(tmp_path / "t.jpg", exif=turned_right())
    assert read_stored(tmp_path / "t.jpg").shape == (4, 8, 3)
    assert read_turned(tmp_path / "t.jpg").shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"masks": "m", "vocabulary": "cat"}, "no images"),
        ({"images": "i", "masks": "m", "vocabulary": "cat", "colour": 1}, "unknown entry 'colour'"),
        ({"images": "nowhere", "masks": "m", "vocabulary": "cat"}, "images: expected a folder"),
        ({"images": "i", "masks": "m", "vocabulary": "cat", "first": -1}, "0 to 65535, got -1"),
        ({"images": "i", "masks": "m", "vocabulary": "cat", "ignored": ["x"]}, "got 'x'"),
        ({"images": 3, "masks": "m", "vocabulary": "cat"}, "images: expected a text"),
        ({"images": "i", "masks": "m", "vocabulary": "cat", "background": 0}, "got 0 twice"),
        ({"images": "i", "masks": "m", "vocabulary": "cat", "first": 255, "ignored": [255]}, "255 twice"),
        ({"images": "i", "masks": "m", "vocabulary": "cat; dog", "first": 65535}, "got numbers up to 65536"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path, entries, said):
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=said):
        folder_set(entries, tmp_path)


@pytest.mark.parametrize("text", ["- a\n- b\n", "images: [\n"])
def test_a_file_that_is_no_description_is_refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=r"x\.yaml"):
        read_folder_set(tmp_path / "x.yaml")


def spoil(root: Path, what: str) -> None:
    image, mask = root / VOC[0] / "b.jpg", root / VOC[1] / "b.png"
    if what == "no mask":
        mask.unlink()
    elif what == "other size":
        write_mask(mask, np.zeros((64, 90)))
    elif what == "unknown numbers":
        write_mask(mask, np.full((90, 64), 77))
    elif what == "a mask in colours":
        Image.new("RGB", (64, 90)).save(mask)
    elif what == "16 bits":
        Image.fromarray(np.full((90, 64), 40_000, np.uint16)).save(mask)
    elif what == "a cut picture":
        image.write_bytes(image.read_bytes()[:200])
    else:
        image.write_bytes((DATA / "images" / "bomb.png").read_bytes())


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no mask", "no such file"),
        ("other size", "expected the picture's size 90 x 64, got 64 x 90"),
        ("unknown numbers", r"expected 0 to 19, 255 \(ignored\), got also 77"),
        ("a mask in colours", r"one in colours \(RGB\)"),
        ("16 bits", "got also 40000"),
        ("a cut picture", "damaged, truncated"),
        ("a bomb", "at most"),
    ],
)
def test_a_pair_that_cannot_be_used_says_why(tmp_path, what, said):
    write_dataset(tmp_path / VOC[0], tmp_path / VOC[1], lambda rng: np.array([0, 255]))
    spoil(tmp_path, what)
    layout, numbers = find_layout(SETTINGS["voc20"], tmp_path, "paper", quirks=False)
    source = Folders(find_pairs(layout, tmp_path), numbers, setting_words("voc20"), read_stored)
    with pytest.raises(InputError, match=said):
        source.load(1)
    source.load(0)


@pytest.mark.parametrize("kind", ["grey", "palette", "tiff"])
def test_numbers_are_read_as_they_stand_whatever_holds_them(tmp_path, kind):
    values = np.array([[0, 1, 254], [255, 7, 9]])
    path = tmp_path / ("m.tif" if kind == "tiff" else "m.png")
    if kind == "palette":
        write_mask(path, values)
    else:
        Image.fromarray(values.astype(np.uint16 if kind == "tiff" else np.uint8)).save(path)
    np.testing.assert_array_equal(read_numbers(path), values)


@pytest.mark.parametrize("size", [(60, 80), (90, 64), (224, 224), (500, 333), (225, 448)])
def test_truth_is_cropped_as_torchvision_crops_it(size):
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    truth = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    theirs = CenterCrop(224)(Resize(224, InterpolationMode.NEAREST)(Image.fromarray(truth)))
    np.testing.assert_array_equal(crop_ground_truth(truth.astype(np.int32), 224), np.array(theirs))


def test_numbers_that_mean_nothing_are_listed():
    with pytest.raises(InputError, match=r"expected 1 to 3, 0 \(background\), got also 4, 9"):
        Numbers(first=1, ignored=(), background=(0,)).read(np.array([[0, 1, 4, 9]]), 3)
