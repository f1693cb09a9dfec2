"""Broken and hostile data sets in their original layouts: one-line errors, and no path leaves the data folder."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io as matlab

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.data import check, find_data
from cliptrase_core.evaluation.readers import labelme as labelme_reader
from cliptrase_core.evaluation.readers.ade import _table
from cliptrase_core.evaluation.readers.base import picture_called
from cliptrase_core.evaluation.readers.registry import READERS, recognised
from cliptrase_core.evaluation.request import Request
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.export.dataset import export
from cliptrase_core.io.image import read_image
from cliptrase_core.names import LAYOUTS
from tests.evaluation.readers.sets import CASES, as_json, coloured, grey, text, truth_of
from tests.evaluation.readers.test_readers import data_of


def write(content):
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def edit(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


def change(action):
    """Return a function that changes a JSON file in place."""

    def changed(path):
        content = json.loads(path.read_text())
        action(content)
        path.write_text(json.dumps(content))

    return changed


def gone(path):
    path.unlink()


def foreign(path):
    coloured(path, truth_of(1), {0: (1, 2, 3)})


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def set_in(key, place, **values):
    return change(lambda content: content[key][place].update(values))


MAPPED = "SegmentationClass/b.png"
MAT = "VOCdevkit/VOC2010/trainval/b.mat"
INSTANCES = "annotations/instances_val2017.json"
PANOPTIC = "annotations/panoptic_val2017.json"
ROWS = "data/validation-00000-of-00001.parquet"
SCENE = "images/ADE/validation/urban/street/ADE_val_b_seg.png"
SHORT = {"size": [32, 20], "counts": "00"}
# Case, file, change to it, expected error for the second picture.
OF_A_PICTURE = [
    ("CVAT masks", MAPPED, gone, "'b.png'.*no such file"),
    ("CVAT masks", MAPPED, foreign, r"'b.png'.*the colours of labelmap.txt, got also 1 2 3\."),
    ("CVAT masks", MAPPED, lambda path: grey(path, np.full((32, 20), 9)), "the number 9 of 3 colours"),
    ("CVAT masks", MAPPED, write(b""), "'b.png'.*an empty file"),
    ("CVAT masks", MAPPED, lambda path: Image.new("RGB", (20, 32)).save(path, "JPEG"), "a JPEG changes colours"),
    ("CVAT masks", MAPPED, cut, "'b.png'.*damaged"),
    ("CVAT masks", MAPPED, lambda path: coloured(path, truth_of(0), {}), "picture's size 32 x 20, got 24 x 32"),
    ("CamVid as published", "LabeledApproved_full/b_L.png", foreign, "label_colors.txt, got also 1 2 3"),
    ("CamVid with a table", "val_labels/b_L.png", gone, "'b_L.png'.*no such file"),
    ("CamVid of SegNet", "testannot/b.png", lambda path: grey(path, np.full((32, 20), 12)), "got also 12"),
    ("Cityscapes nested", "gtFine/val/ulm/b_gtFine_labelIds.png", gone, "'b_gtFine_labelIds.png'.*no such file"),
    ("Cityscapes flat", "gtFine/b_gtFine_labelIds.png", lambda path: grey(path, np.full((32, 20), 99)), "also 99"),
    ("COCO panoptic", "annotations/panoptic_val2017/b.png", foreign, "'b.png'.*got segment 197121, of no category"),
    ("COCO panoptic", "annotations/panoptic_val2017/b.png", gone, "'b.png'.*no such file"),
    ("COCO panoptic", PANOPTIC, set_in("annotations", 1, segments_info=3), "a list of segments of b.png"),
    ("COCO panoptic", PANOPTIC, set_in("annotations", 1, segments_info=[]), "got segment 261"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, category_id=99), "got category 99"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=[], bbox=[1, 1, 9, 9]), "got a box alone"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=[[1, 1, 2, 2]]), "none that encloses pixels"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=[["x"] * 6]), "numbers in polygons"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=[[1e9] * 6]), "none that encloses"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=[[float("nan")] * 6]), "none that encloses"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation=SHORT), "of 640 pixels, got others"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation={**SHORT, "counts": [3, 4]}), "640 pixels"),
    ("COCO instances", INSTANCES, set_in("annotations", 2, segmentation={"counts": [640]}), "of size None"),
    ("COCO instances", INSTANCES, set_in("images", 1, height=10**6, width=10**6), "at most 40,000,000 pixels"),
    ("COCO instances", INSTANCES, set_in("images", 1, height="32"), "height and width of 'b.jpg'"),
    ("COCO instances", INSTANCES, set_in("images", 1, height=33), "picture's size 32 x 20, got 33 x 20"),
    ("PASCAL Context, 59", MAT, gone, "'b.mat'.*no such file"),
    ("PASCAL Context, 59", MAT, cut, "'b.mat'.*damaged"),
    ("PASCAL Context, 59", MAT, write(b"MATLAB 7.3 MAT-file"), "a .mat of version 5"),
    ("PASCAL Context, 59", MAT, lambda path: matlab.savemat(path, {"x": [1]}), "as LabelMap, got x"),
    ("PASCAL Context, 59", MAT, lambda path: matlab.savemat(path, {"LabelMap": [[0.5]]}), "whole numbers"),
    ("PASCAL Context, 459", MAT, lambda path: matlab.savemat(path, {"LabelMap": np.full((32, 20), 460)}), "also 460"),
    ("LoveDA", "Val/Urban/masks_png/b.png", lambda path: grey(path, np.full((32, 20), 8)), "also 8"),
    ("labelme", "b.json", cut, "'b.json'.*does not parse"),
    ("labelme", "b.json", write('{"shapes": 3}'), "a list of shapes"),
    ("labelme", "b.json", change(lambda one: one["shapes"][0].update(points=[[1, 2], [3]])), "points as x, y"),
    ("labelme", "b.json", change(lambda one: one["shapes"][0].update(points=[[1e99, 2]] * 3)), "within the picture"),
    ("labelme", "b.json", change(lambda one: one["shapes"][0].update(shape_type="cube")), "got a cube of 4 points"),
    ("labelme", "b.json", change(lambda one: one["shapes"][0].update(shape_type="circle")), "a circle of 4 points"),
    ("labelme", "b.json", change(lambda one: one.update(imageWidth=10**7, imageHeight=10**7)), "at most 40,000,000"),
    ("labelme", "b.json", change(lambda one: one.update(imageWidth="20")), "imageHeight and imageWidth"),
    ("labelme masks and boxes", "b.json", change(lambda one: one["shapes"][0].update(mask="AAAA")), "a PNG as mask"),
    ("CVAT XML, masks and boxes", "annotations.xml", edit('width="20"', 'width="x"'), "others for 'b.jpg'"),
    ("ADE20K full", SCENE, gone, "'ADE_val_b_seg.png'.*no such file"),
    ("ADE20K full", SCENE, lambda path: grey(path, np.zeros((32, 20))), "objects as colours, got a grey PNG"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "action", "said"), OF_A_PICTURE)
def test_a_broken_picture_says_why_and_the_others_are_read(tmp_path, name, file, action, said):
    case = CASES[name]
    case.write(tmp_path)
    action(tmp_path / file)
    source = data_of(case, tmp_path).source
    with pytest.raises(InputError) as refused:
        source.load(1)
    line = str(refused.value)
    assert re.search(said, line), line
    assert "\n" not in line
    assert str(tmp_path) not in line
    source.load(0)
    source.load(2)
    assert any(said in line for line in check(case.setting, tmp_path) for said in ("not usable", "are missing"))


VIDEO = "</meta>", "</meta><track id='0' label='cat'></track>"
BOMB = "<annotations>", '<!DOCTYPE a [<!ENTITY x "y">]><annotations>'
# Case, file, change to it, expected error for the whole set.
OF_A_SET = [
    ("CVAT masks", "labelmap.txt", write("cat\n"), "'labelmap.txt'.*got 'cat'"),
    ("CVAT masks", "labelmap.txt", write("#only remarks\n"), "names with their colours, got none"),
    ("CVAT masks", "labelmap.txt", write("a:1,2,3::\nb:1,2,3::\n"), "1 2 3 for two classes"),
    ("CVAT masks", "labelmap.txt", write("a:1,2,3::\nA:1,2,4::\n"), "classes in labelmap.txt: .*each class once"),
    ("CVAT masks", "labelmap.txt", write("a:1,2,300::\n"), "a colour such as"),
    ("CVAT masks", "labelmap.txt", write("a;b:1,2,3::\n"), "classes in labelmap.txt: .*one class an entry"),
    ("CVAT masks", "labelmap.txt", write(b"\xff\xfe\x00"), "'labelmap.txt'.*neither UTF-8 nor UTF-16"),
    ("CVAT masks", "labelmap.txt", write("background:1,2,3::\n"), "names of classes, got none"),
    ("CVAT masks", "JPEGImages", lambda path: path.rename(path.with_name("x")), "masks alone.*save images"),
    ("CVAT masks", "ImageSets/Segmentation/default.txt", write(""), "each of its own name, got none"),
    ("CamVid as published", "label_colors.txt", write("1 2 Animal\n"), "lines such as '64 128 64 Animal'"),
    ("CamVid with a table", "class_dict.csv", write("name,r,g\nx,1,2\n"), "columns name, r, g, b, got name, r, g"),
    ("CamVid with a table", "class_dict.csv", write("name,r,g,b\nx,1,2\n"), "a name and three numbers"),
    ("CamVid with a table", "val_labels", lambda path: path.rename(path.with_name("x")), "val with val_labels"),
    ("COCO panoptic", PANOPTIC, cut, "'panoptic_val2017.json'.*does not parse"),
    ("COCO panoptic", "annotations/panoptic_val2017", lambda path: path.rename(path.with_name("x")), "no folder"),
    ("COCO instances", INSTANCES, write("[" * 100_000), "'instances_val2017.json'.*does not parse"),
    ("COCO instances", INSTANCES, write("[]"), "a JSON of COCO's, got list"),
    ("COCO instances", INSTANCES, write("{}"), "a list of images, got none"),
    ("COCO instances", INSTANCES, change(lambda one: one.update(images=[])), "each of its own name, got none"),
    ("COCO instances", INSTANCES, change(lambda one: one.update(categories=[])), "categories with names"),
    ("COCO instances", INSTANCES, set_in("categories", 1, name="cat"), "classes in instances_val2017.json: .*once"),
    ("COCO instances", INSTANCES, set_in("images", 1, file_name="a.jpg"), "two of the name 'a'"),
    ("COCO instances", INSTANCES, set_in("images", 1, file_name=7), "the name of a picture, got 7"),
    ("COCO instances", INSTANCES, set_in("images", 1, file_name="a\0b.jpg"), "the name of a picture"),
    ("COCO instances", INSTANCES, set_in("annotations", 1, image_id=None), "a number as image_id"),
    ("CVAT XML", "annotations.xml", cut, "'annotations.xml'.*does not parse"),
    ("CVAT XML", "annotations.xml", edit(*VIDEO), "CVAT for video: export it as 'CVAT for images'"),
    ("CVAT XML", "annotations.xml", edit(*BOMB), "has a document type"),
    ("CVAT XML", "annotations.xml", write("<svg/>"), "of annotations, got 'svg'"),
    ("CVAT XML", "annotations.xml", edit("<label>", "<lable>"), "does not parse"),
    ("CVAT XML", "annotations.xml", edit('"b.jpg"', '"a.jpg"'), "two of the name 'a'"),
    ("CVAT XML", "annotations.xml", edit('"b.jpg"', '".."'), "the name of a picture"),
    ("parquet", ROWS, cut, "'validation-00000-of-00001.parquet'.*does not parse"),
    ("parquet", "id2label.json", gone, "id2label.json beside them"),
    ("parquet", "id2label.json", write('{"x": "cat"}'), "a name for each number"),
    ("parquet", "id2label.json", write('{"70000": "cat"}'), "numbers from 0 to 65535"),
]


@pytest.mark.parametrize(("name", "file", "action", "said"), OF_A_SET)
def test_a_broken_set_ends_with_one_line_and_exit_code_2(tmp_path, capsys, name, file, action, said):
    CASES[name].write(tmp_path)
    action(tmp_path / file)
    with pytest.raises(InputError):
        recognised(tmp_path, None)
    assert cli.main(["evaluate", "--data", str(tmp_path), "--output", str(tmp_path / "out.json")]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert error.count("\n") == 1
    assert any("expected" in line for line in check(None, tmp_path))


SHAPES = [
    ('label="cat" points', 'label="cow" points', "labels that it lists, got 'cow'"),
    ('points="2.0,2.0;', 'points="2.0;', "shapes with labels and points, got others for '.*jpg'"),
    ('points="2.0,2.0;', 'points="nan,2.0;', "shapes with labels and points"),
    ('points="2.0,2.0;', 'points="1e9,2.0;', "shapes with labels and points"),
    ('z_order="0"', 'z_order="x"', "shapes with labels and points"),
    ('height="24"', 'height="999999999"', "at most 40,000,000 pixels"),
]


@pytest.mark.parametrize(("old", "new", "said"), SHAPES)
def test_shapes_of_cvat_that_mean_nothing_are_refused(tmp_path, old, new, said):
    CASES["CVAT XML"].write(tmp_path)
    edit(old, new)(tmp_path / "annotations.xml")
    with pytest.raises(InputError, match=said):
        data_of(CASES["CVAT XML"], tmp_path).source.load(0)


@pytest.mark.parametrize(("old", "new"), [('rle="1,', 'rle="2,'), ('left="1"', 'left="-1"'), ('top="2"', 'top="30"')])
def test_masks_of_cvat_that_do_not_fill_their_box_are_refused(tmp_path, old, new):
    case = CASES["CVAT XML, masks and boxes"]
    case.write(tmp_path)
    assert old in (tmp_path / "annotations.xml").read_text()
    edit(old, new)(tmp_path / "annotations.xml")
    with pytest.raises(InputError, match="shapes with labels and points"):
        data_of(case, tmp_path).source.load(0)


@pytest.mark.parametrize(
    "name",
    ["../../secret/a.jpg", "/secret/a.jpg", "..\\..\\secret\\a.jpg", "C:\\secret\\a.jpg", "images/../../secret/a.jpg"],
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    text(tmp_path / "secret/a.jpg", "x")
    inside = tmp_path / "set/images"
    inside.mkdir(parents=True)
    found = picture_called(name, [inside, inside.parent], tmp_path / "set/x.json")
    assert inside.parent in found.parents
    assert ".." not in found.parts
    assert not found.is_file()
    text(inside / "a.jpg", "x")
    assert picture_called(name, [inside, inside.parent], tmp_path / "set/x.json") == inside / "a.jpg"


def test_a_folder_of_no_known_layout_says_what_was_looked_for_and_found(tmp_path):
    text(tmp_path / "set/notes.txt", "x")
    (tmp_path / "set/photos").mkdir()
    with pytest.raises(InputError) as refused:
        recognised(tmp_path / "set", None)
    line = str(refused.value)
    assert all(name in line for name in LAYOUTS)
    assert "got 'notes.txt', 'photos/'. Give --setting" in line
    with pytest.raises(InputError, match=r"labelmap.txt with SegmentationClass \(labelmap\), got 'notes.txt'"):
        recognised(tmp_path / "set", "labelmap")
    with pytest.raises(InputError, match="got an empty folder"):
        recognised(tmp_path / "set/photos", None)
    with pytest.raises(InputError, match="layout: expected one of labelmap"):
        recognised(tmp_path / "set", "voc")


@pytest.mark.parametrize(
    "names", [("labelme", "CVAT XML"), ("COCO panoptic", "COCO instances"), ("parquet", "labelme")]
)
def test_two_data_sets_in_one_folder_are_not_guessed_at(tmp_path, names):
    for name in names:
        CASES[name].write(tmp_path)
    with pytest.raises(InputError, match="expected one data set, got layout .*, layout .*. Give --setting"):
        recognised(tmp_path, None)
    assert recognised(tmp_path, CASES[names[0]].layout).title


@pytest.mark.parametrize(
    ("name", "setting"), [("Cityscapes nested", "cityscapes"), ("ADE20K full", "ade847"), ("ADE raw", "ade150")]
)
def test_a_benchmark_is_recognised_without_its_name(tmp_path, name, setting):
    CASES[name].write(tmp_path)
    assert recognised(tmp_path, None) == setting


def test_a_benchmark_of_several_settings_asks_which(tmp_path):
    CASES["VOC in colours"].write(tmp_path)
    with pytest.raises(InputError, match="got setting voc20, setting voc21"):
        recognised(tmp_path, None)


VOC = setting_words("voc20").class_names


def test_names_of_an_export_become_the_classes_of_a_benchmark(tmp_path):
    CASES["CVAT masks"].write(tmp_path)
    lines = ["background:0,0,0::", "tvmonitor:250,50,83::", "Potted_Plant:51,221,255::", "ignored:224,224,192::"]
    (tmp_path / "labelmap.txt").write_text("\n".join(lines))
    sample = find_data(Request("voc21", root=tmp_path)).source.load(0)
    assert set(np.unique(sample.ground_truth)) == {20, VOC.index("tv"), VOC.index("pottedplant")}
    assert set(np.unique(find_data(Request("voc20", root=tmp_path)).source.load(0).ground_truth)) == {-1, 19, 15}
    (tmp_path / "labelmap.txt").write_text("\n".join([*lines, "unicorn:1,1,1::"]))
    with pytest.raises(InputError, match="other classes than voc21: no 'aeroplane', and 'unicorn'"):
        find_data(Request("voc21", root=tmp_path, layout="labelmap"))


@pytest.mark.parametrize(("protocol", "ground"), [("paper", -1), ("mmseg-slide", 80)])
def test_panoptic_categories_become_objects_and_stuff_their_background(tmp_path, protocol, ground):
    CASES["COCO panoptic"].write(tmp_path)
    names = [*setting_words("coco80").class_names[:80], "wall-brick"]
    categories = [{"id": place + 200, "name": name} for place, name in enumerate(names)]
    path = tmp_path / PANOPTIC
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["segments_info"] = [{"id": 261, "category_id": 215}, {"id": 131079, "category_id": 280}]
    path.write_text(json.dumps({**content, "categories": categories}))
    sample = find_data(Request("coco80", root=tmp_path, protocol=protocol)).source.load(0)
    assert set(np.unique(sample.ground_truth)) == {15, 80, ground}


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path, monkeypatch):
    CASES["parquet"].write(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="expected pyarrow, which reads parquet.*pip install pyarrow"):
        recognised(tmp_path, None)


def test_objects_of_ade20k_full_stand_in_the_order_of_the_alphabet():
    """The index of ADE20K is sorted up to number 3,100, so that a misplaced number breaks the order."""
    table = _table()
    names = setting_words("ade847").class_names
    known = [(number, names[label].casefold()) for number, label in enumerate(table.tolist()) if label != 65535]
    assert len(known) == 847
    early = [name for number, name in known if number < 3100]
    assert early == sorted(early)


def test_records_follow_the_list_of_colours(tmp_path):
    CASES["CVAT masks"].write(tmp_path)
    before = find_data(Request(recognised(tmp_path, None))).source.stamp(0)
    edit("cat", "cow")(tmp_path / "labelmap.txt")
    text(tmp_path / "labelmap.txt", (tmp_path / "labelmap.txt").read_text() + "\n")
    assert find_data(Request(recognised(tmp_path, None))).source.stamp(0) != before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--first", "1"), "first: expected what its own files say, got --first with labelme"),
        (("--words", "sclip"), "words: expected what its own files say"),
        (("--vocabulary", "cat; dog; cow | background: wall"), "2 classes and background words, got 3 classes"),
        (("--vocabulary", "cat; dog"), "2 classes and background words, got 2 classes without"),
        (("--layout", "cvat"), r"expected annotations.xml \(cvat\), got 'a.jpg', 'a.json', 'b.jpg', ..."),
        (("--setting", "voc20"), "data of voc20.*The folder has labelme.*other classes than voc20: no 'aeropl"),
        (
            ("--setting", "voc20", "--layout", "labelme"),
            "expected its classes, got labelme, 3 JSON files",
        ),
    ],
)
def test_what_a_found_set_cannot_heed_is_one_line(tmp_path, capsys, arguments, said):
    CASES["labelme"].write(tmp_path)
    line = ["evaluate", "--data", str(tmp_path), *arguments, "--output", str(tmp_path / "out/r.json")]
    assert cli.main(line) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert error.count("\n") == 1


def test_check_opens_masks_of_a_forced_layout(tmp_path, capsys):
    CASES["labelme"].write(tmp_path)
    CASES["CVAT XML"].write(tmp_path)
    assert cli.main(["evaluate", "--check", "--data", str(tmp_path), "--layout", "cvat"]) == 0
    out = capsys.readouterr().out
    assert "cat, red car, background" in out
    assert "classes 1 to 2; background 0" in out


def test_every_reader_is_tested_in_its_own_layout():
    assert {case.layout for case in CASES.values()} - {None} == set(READERS)


def test_labels_of_labelme_stand_in_its_list(tmp_path):
    CASES["labelme"].write(tmp_path)
    text(tmp_path / "labels.txt", "__ignore__\n_background_\nred_car\n")
    with pytest.raises(InputError, match="labels of labels.txt, got 'cat'"):
        data_of(CASES["labelme"], tmp_path).source.load(0)
    text(tmp_path / "labels.txt", "__ignore__\n_background_\nred_car\ncat\n")
    change(lambda one: one["shapes"][0].update(label="__ignore__"))(tmp_path / "a.json")
    data = data_of(CASES["labelme"], tmp_path)
    assert data.words.class_names == ("red car", "cat", "background")
    assert set(np.unique(data.source.load(0).ground_truth)) == {-1, 0, 2}


def test_a_json_of_labelme_without_sizes_has_its_picture_s(tmp_path):
    CASES["labelme"].write(tmp_path)
    change(lambda one: [one.pop(key) for key in ("imageHeight", "imageWidth")])(tmp_path / "a.json")
    assert data_of(CASES["labelme"], tmp_path).source.load(0).ground_truth.shape == truth_of(0).shape


def test_a_picture_that_labelme_names_elsewhere_is_found_by_its_own_name(tmp_path):
    CASES["labelme"].write(tmp_path)
    unchanged = data_of(CASES["labelme"], tmp_path).source.load(0)
    change(lambda one: one.update(imagePath="/home/someone/photos/other.png"))(tmp_path / "a.json")
    found = data_of(CASES["labelme"], tmp_path).source.load(0)
    np.testing.assert_array_equal(found.image, read_image(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(found.ground_truth, unchanged.ground_truth)


def embed(json, image):
    """Move a picture into its JSON."""
    content = base64.b64encode(image.read_bytes()).decode()
    change(lambda one: one.update(imageData=f"{content[:76]}\n{content[76:]}"))(json)
    image.unlink()


def test_a_picture_inside_the_json_of_labelme_is_read(tmp_path):
    CASES["labelme"].write(tmp_path)
    files = data_of(CASES["labelme"], tmp_path).source.load(0)
    embed(tmp_path / "a.json", tmp_path / "a.jpg")
    for without in ((), ("imageHeight", "imageWidth")):
        change(lambda one, without=without: [one.pop(key) for key in without])(tmp_path / "a.json")
        found = data_of(CASES["labelme"], tmp_path).source.load(0)
        np.testing.assert_array_equal(found.image, files.image)
        np.testing.assert_array_equal(found.ground_truth, files.ground_truth)


def test_labelme_files_of_this_program_can_be_evaluated(tmp_path, nano, picture):
    result = nano.segment(nano.encode(picture), "cat; dog")
    export(result, tmp_path, "labelme", images=picture)
    data = find_data(Request(recognised(tmp_path, None)))
    found = data.source.load(0)
    assert found.image.shape == picture.shape
    assert found.ground_truth.shape == result.size


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("%%%", "a picture in base64"),
        ("QUJD", "a file with other content"),
        (["QUJD"], "characters, got list"),
        ("QUJD" * 9, "at most 20"),
    ],
)
def test_a_damaged_picture_inside_the_json_of_labelme_is_told(tmp_path, monkeypatch, content, says):
    monkeypatch.setattr(labelme_reader, "_MOST_EMBEDDED", 20)
    CASES["labelme"].write(tmp_path)
    embed(tmp_path / "a.json", tmp_path / "a.jpg")
    change(lambda one: one.update(imageData=content))(tmp_path / "a.json")
    with pytest.raises(InputError, match=says):
        data_of(CASES["labelme"], tmp_path).source.load(0)


def test_a_coco_picture_without_annotations_is_all_background(tmp_path):
    CASES["COCO instances"].write(tmp_path)
    change(lambda one: one.update(annotations=one["annotations"][2:]))(tmp_path / INSTANCES)
    as_json(tmp_path / "annotations/captions_val2017.json", {})
    data = data_of(CASES["COCO instances"], tmp_path)
    assert set(np.unique(data.source.load(0).ground_truth)) == {2}


def test_without_the_folder_nothing_is_looked_for(tmp_path, capsys):
    missing = Path(tmp_path / "nowhere")
    assert cli.main(["evaluate", "--data", str(missing), "--output", str(tmp_path / "r.json")]) == 2
    assert "data: expected a folder" in capsys.readouterr().err
