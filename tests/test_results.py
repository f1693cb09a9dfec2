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

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
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


@pytest.mark.parametrize("formats", ["json", "json,npz"])
def test_a_refined_result_is_read_as_a_plain_one_and_the_documentation_says_so(refined, photo, tmp_path, formats):
    files = refined.save(tmp_path, photo, formats=formats)
    loaded = cc.load_result(files.json)
    assert type(loaded) is cc.Segmentation
    assert np.array_equal(loaded.labels, refined.labels)
    assert loaded.settings["refiner"] == "edges"
    assert json.loads(files.json.read_text(encoding="utf-8"))["refinement"]["changed"] == refined.report.changed
    assert "A refined result is read as a plain `Segmentation`" in cc.load_result.__doc__


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
@pytest.mark.parametrize("formats", ["json", "json,npz"])
def test_a_loaded_result_takes_copies_of_its_picture_and_no_other(segmenter, tmp_path, preset, formats):
    made, photos = [], [EXAMPLES / f"{name}.jpg" for name in ("horses", "colosseum", "palace")]
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((320, 240))) for path in photos]
    for place, picture in enumerate(pixels):
        result = segmenter.segment(segmenter.encode(picture, preset), "horse; sky; house")
        made.append(cc.load_result(result.save(tmp_path, stem=f"a{place}", formats=formats).json))
    for place, loaded in enumerate(made):
        again = cc.load_result(loaded.save(tmp_path / "again", stem="a", formats=formats).json)
        assert again.input_trace == loaded.input_trace
        assert len(again.input_trace.sha256) == 64
        for own in (loaded, again):
            for other in {*range(3)} - {place}:
                with pytest.raises(InputError, match="picture: expected .*, got another picture"):
                    own.overlay(pixels[other])
                with pytest.raises(InputError, match="got another picture"):
                    cc.refine.apply_fixes(own, pixels[other], [cc.refine.Fix(((0.5, 0.5),), "sky", radius=0.1)])
            for quality in (90, 20):
                Image.fromarray(pixels[place]).save(tmp_path / "copy.jpg", quality=quality)
                assert own.overlay(tmp_path / "copy.jpg").shape == (*own.size, 3)
            for edited in (pixels[place] // 2, 255 - (255 - pixels[place]) // 2):
                assert own.overlay(edited).shape == (*own.size, 3)
    with pytest.raises(InputError, match="got another picture"):
        cc.export(made[:2], tmp_path / "out", ["yolo"], images=[pixels[1], pixels[0]])
    swapped = cc.refine(made[0], pixels[0], "none")
    with pytest.raises(InputError, match="got another picture"):
        swapped.overlay(pixels[1])


def test_a_loaded_result_at_the_size_of_its_labels_takes_the_resized_picture(segmenter, tmp_path):
    path = EXAMPLES / "cows.jpg"
    result = segmenter.segment(segmenter.encode(path), "cow; grass", size=(60, 80))
    loaded = cc.load_result(result.save(tmp_path, path).json)
    own, other = (np.asarray(Image.open(EXAMPLES / name).convert("RGB").resize((80, 60))) for name in
                  ("cows.jpg", "room.jpg"))  # fmt: skip
    assert loaded.overlay(own).shape == loaded.overlay(path).shape == (60, 80, 3)
    with pytest.raises(InputError, match="expected the file of 'cows.jpg', got another picture"):
        loaded.overlay(other)


def test_a_loaded_result_of_a_flat_picture_takes_its_copies(segmenter, tmp_path):
    ramp = np.repeat(np.linspace(120, 128, 320).astype(np.uint8)[None, :, None], 240, 0).repeat(3, 2)
    for place, pixels in enumerate((np.zeros_like(ramp), np.full_like(ramp, 127), ramp)):
        result = segmenter.segment(segmenter.encode(pixels), "sky; wall")
        loaded = cc.load_result(result.save(tmp_path, stem=f"a{place}").json)
        Image.fromarray(pixels).save(tmp_path / "copy.jpg", quality=20)
        assert loaded.overlay(tmp_path / "copy.jpg").shape == loaded.overlay(pixels).shape == ramp.shape


def test_a_result_without_a_thumbnail_is_read_and_one_with_another_text_is_refused(segmenter, photo, tmp_path):
    files = segmenter.segment(segmenter.encode(photo), WORDS).save(tmp_path, formats="json")
    record = json.loads(files.json.read_text(encoding="utf-8"))
    assert len(record["input_thumbnail"]) < 400
    older = {key: value for key, value in record.items() if key not in ("input_thumbnail", "input_sha256")}
    files.json.write_text(json.dumps(older), encoding="utf-8")
    assert cc.load_result(files.json).overlay(cc.read_image(photo)[::-1]).shape == (48, 64, 3)
    assert "input_sha256" not in cc.load_result(files.json).save(tmp_path / "again").json.read_text(encoding="utf-8")
    for key in ("input_thumbnail", "input_sha256"):
        for wrong in ("AAAA", "猫", "%%", 3, [1], {"a": 1}, True):
            files.json.write_text(json.dumps({**record, key: wrong}), encoding="utf-8")
            with pytest.raises(InputError, match="saved result: expected a .json that this program wrote"):
                cc.load_result(files.json)


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
