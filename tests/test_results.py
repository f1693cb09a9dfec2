"""Results: one-line repr, overlays, display in notebooks, saving, and conversion for other programs."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import cliptrase_core as cc
from cliptrase_core.errors import InputError
from cliptrase_core.viz.overlay import overlay

WORDS = "cat; dog; cow | background: wall, floor"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "dog <b>.png"
    coarse = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(coarse).resize((64, 48)).save(path)
    return path


@pytest.fixture(scope="module")
def encoding(segmenter, photo):
    return segmenter.encode(photo)


@pytest.fixture(scope="module")
def result(segmenter, encoding):
    return segmenter.segment(encoding, WORDS)


@pytest.fixture(scope="module")
def refined(result, photo):
    return cc.refine(result, cc.read_image(photo), refiner="edges")


def test_a_repr_counts_one_thing_in_the_singular(segmenter, encoding, result):
    one = dataclasses.replace(result, patch_clusters=np.zeros_like(result.patch_clusters))
    assert repr(one).endswith(", 1 region>")
    assert " 1 word at " in repr(segmenter.scores(encoding, "cat"))


def test_a_repr_is_a_line_that_says_what_it_is(segmenter, encoding, result, refined, photo):
    shown = [repr(result), repr(refined), repr(encoding), repr(segmenter.inspect(photo))]
    assert all("\n" not in text and len(text) < 300 and "array" not in text for text in shown)
    assert "'dog <b>.png', 48 x 64" in shown[0]
    assert max(result.areas, key=result.areas.get) in shown[0]
    assert shown[1].startswith("<Refined")
    assert "patches of" in shown[2]
    assert shown[3].startswith("<AttentionMaps of layer 2")
    assert str(photo.parent) not in "".join(shown), "no folder leaks"


@pytest.mark.parametrize("make", [str, cc.read_image, Image.open, None], ids=["path", "array", "PIL", "none"])
def test_an_overlay_lies_on_the_picture_that_is_given(result, photo, make):
    if make is None:
        assert result.overlay().shape == (48, 64, 3)
        assert np.array_equal(result.overlay(opacity=0), result.canvas())
    else:
        assert np.array_equal(result.overlay(make(photo)), overlay(cc.read_image(photo), result))


def test_without_a_picture_the_small_one_is_shown_and_grey_without_that(segmenter, tmp_path, photo):
    crop = segmenter.segment(segmenter.encode(photo, "paper-224"), WORDS)
    assert np.array_equal(crop.canvas(), crop.model_input), "a paper preset labels what the model saw"
    assert np.array_equal(crop.canvas(photo), crop.model_input), "of which the picture itself reminds"
    again = cc.load_result(crop.save(tmp_path).json)
    assert again.model_input is None
    assert (again.canvas() == 127).all()


def test_drawing_on_a_canvas_changes_no_later_result(segmenter, photo):
    encoding = segmenter.encode(photo, "paper-224")
    result = segmenter.segment(encoding, WORDS)
    before = encoding.model_input.copy()
    canvas = result.canvas(photo)
    canvas[:] = 0
    assert np.array_equal(encoding.model_input, before)
    assert np.array_equal(result.canvas(photo), before)
    for pixels in (encoding.model_input, result.model_input):
        with pytest.raises(ValueError, match="read-only"):
            pixels[:] = 0
    again = segmenter.segment(segmenter.encode(photo, "paper-224"), WORDS, method="resclip")
    assert np.array_equal(segmenter.segment(encoding, WORDS, method="resclip").labels, again.labels)


def test_a_picture_of_another_size_is_refused(result):
    for shape in ((48, 63, 3), (10, 10, 3), (48, 64, 3, 1)):
        with pytest.raises(InputError):
            result.overlay(np.zeros(shape, np.uint8))


def test_maps_take_their_full_size_only_once_they_are_asked_for(segmenter, encoding, photo, tmp_path):
    made = segmenter.segment(encoding, "grass; tractor; sky")
    made.save(tmp_path, photo)
    assert not {"labels", "regions", "confidence"} & vars(made).keys()
    assert [made.labels.dtype, made.regions.dtype, made.confidence.dtype] == [np.int32, np.int32, np.float32]
    assert made.labels is made.labels
    mean = [float(made.confidence[made.labels == label].mean()) for label in np.unique(made.labels)]
    np.testing.assert_allclose(mean, [value for value in made.shares[1] if not np.isnan(value)], rtol=1e-5)


def test_a_result_keeps_no_picture_of_full_size(segmenter):
    large = segmenter.segment(segmenter.encode(np.zeros((600, 800, 3), np.uint8)), WORDS)
    assert large.model_input.nbytes < 600 * 800 * 3 / 50
    assert large.model_input.base is None


def test_a_notebook_shows_a_small_picture_and_a_legend_that_runs_nothing(result):
    assert result._repr_png_().startswith(b"\x89PNG")
    html = result._repr_html_()
    assert "<b>" not in html
    for name, share in result.areas.items():
        assert f"{name} {share:.1%}" in html


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "猫 & co"])
def test_names_are_escaped_in_a_notebook(segmenter, encoding, name):
    rng = np.random.default_rng(1)
    shown = segmenter.segment(encoding, text_features=rng.normal(size=(1, 16)), class_names=[name])._repr_html_()
    assert name not in shown.replace("猫 &amp; co", "")
    assert "<script" not in shown


def test_saving_takes_the_picture_s_name_and_reads_back(result, photo, tmp_path):
    files = result.save(tmp_path, photo, formats="png,overlay,npz,labelme,cutouts")
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["cutouts", "labelme", *(f"dog _b_.{end}" for end in ("json", "labels.png", "npz", "overlay.png"))]
    )
    again = cc.load_result(files.json)
    assert np.array_equal(again.labels, result.labels)
    assert again.name == photo.name
    assert result.save(tmp_path / "other", stem="mine").json.name == "mine.json"


@pytest.mark.parametrize("formats", ["yolo", "labelme", "cutouts"])
def test_what_needs_the_picture_says_so(result, tmp_path, formats):
    with pytest.raises(InputError, match=f"{formats}: expected the picture"):
        result.save(tmp_path / "new", formats=formats)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("settings", [{}, {"polygons": True}, {"per_class": True}, {"min_area": 9}])
def test_coco_of_one_result_covers_its_classes_but_the_background(result, settings):
    record = json.loads(json.dumps(result.to_coco(**{"min_area": 0, **settings})))
    api = COCO()
    api.dataset = record
    api.createIndex()
    assert record["images"][0] == {"id": 1, "file_name": "dog <b>.png", "height": 48, "width": 64}
    assert [entry["name"] for entry in record["categories"]] == ["cat", "dog", "cow"]
    for category in record["categories"]:
        mask = np.zeros((48, 64), int)
        for entry in api.imgToAnns[1]:
            if entry["category_id"] == category["id"]:
                own = api.annToMask(entry)
                assert entry["area"] == own.sum() >= settings.get("min_area", 0)
                mask += own
        truth = result.labels == result.class_names.index(category["name"])
        assert (mask == truth).all() if "min_area" not in settings else not mask[~truth].any()


def test_small_labels_are_read_only_too(segmenter, encoding):
    made = segmenter.segment(encoding, WORDS)
    with pytest.raises(ValueError, match="read-only"):
        made.small_labels[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        dataclasses.replace(made, labels=np.zeros((48, 64), np.uint8)).small_labels[:] = 1


def test_areas_of_classes_of_one_name_add_up(result):
    named = dataclasses.replace(result, class_names=tuple("sky" for _ in result.class_names))
    assert named.areas == pytest.approx({"sky": 1.0})


def test_coco_takes_a_path_as_the_name_of_the_file(result):
    for file_name in (Path("june/dog.png"), "june/dog.png"):
        record = json.loads(json.dumps(result.to_coco(file_name=file_name)))
        assert record["images"][0]["file_name"] == str(Path("june/dog.png"))


def test_coco_of_a_crop_or_of_another_size_needs_the_name_of_a_picture_that_fits(segmenter, photo):
    crop = segmenter.segment(segmenter.encode(photo, "paper-224"), WORDS)
    small = segmenter.segment(segmenter.encode(photo), WORDS, size=(24, 32))
    for part in (crop, small):
        with pytest.raises(InputError, match="file name: expected that of a picture with the labels' frame, got none"):
            part.to_coco()
        [entry] = part.to_coco(file_name="part.png")["images"]
        assert (entry["file_name"], entry["height"], entry["width"]) == ("part.png", *part.size)


@pytest.mark.parametrize(("size", "preset"), [((24, 32), "auto"), ((96, 128), "auto"), ((112, 112), "paper-224")])
def test_the_segmented_picture_is_brought_into_the_frame_of_the_labels(segmenter, photo, size, preset):
    made = segmenter.segment(segmenter.encode(photo, preset), WORDS, size=size)
    for image in (photo, cc.read_image(photo)):
        canvas = made.canvas(image)
        assert canvas.shape == (*size, 3)
        assert np.abs(canvas.astype(float) - made.canvas()).mean() < 12
        assert cc.refine(made, image, "edges").size == made.overlay(image).shape[:2] == size


def test_another_picture_of_the_same_size_is_refused(segmenter, result, photo, tmp_path):
    pixels = cc.read_image(photo)
    Image.fromarray(pixels[::-1]).save(tmp_path / "other.png")
    crop = segmenter.segment(segmenter.encode(photo, "paper-224"), WORDS)
    for made in (result, crop):
        for image in (pixels[::-1], pixels[:, ::-1], tmp_path / "other.png"):
            for use in (made.overlay, lambda image, made=made: cc.refine(made, image, "edges"),
                        lambda image, made=made: made.figure(image=image)):  # fmt: skip
                with pytest.raises(
                    InputError, match="picture: expected the file of 'dog <b>.png', got another picture"
                ):
                    use(image)
        grey = np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        for edited in (pixels // 2, 255 - (255 - pixels) // 2, grey, np.full_like(pixels, 99)):
            assert made.overlay(edited).shape == (*made.size, 3)


def test_polygons_by_class(result):
    found = result.to_polygons(min_area=0)
    assert set(found) == set(result.areas) - {"background"}
    assert all(outline.shape[1] == 2 and len(outline) >= 3 for outlines in found.values() for outline in outlines)


@pytest.mark.parametrize("wrong", [None, 3, ["a.json"]])
def test_what_is_no_path_of_a_saved_result_is_refused(wrong):
    with pytest.raises(InputError, match="saved result: expected the path of a .json"):
        cc.load_result(wrong)


@pytest.mark.parametrize("opacity", [None, "0.5", float("nan"), 2])
def test_an_opacity_that_is_no_share_is_refused(result, opacity):
    with pytest.raises(InputError, match="opacity: expected 0 to 1"):
        result.overlay(opacity=opacity)
