"""`export`: several results in one call, and names and label maps that can break folders and formats."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

import cliptrase_core as cc
from cliptrase_core.errors import InputError
from cliptrase_core.io.export import yolo
from cliptrase_core.io.export.formats import FORMATS
from cliptrase_core.io.export.images import class_files
from cliptrase_core.io.files import is_ours
from tests.io.export.test_saving import IMAGE, make

HOSTILE = {
    "file systems": ("../../etc/passwd", "con", "a/b", "a\\b", ".", "background"),
    "case and copies": ("Cat", "cat", "CAT", "cat"),
    "scripts and signs": ("猫", "قطة\u202e", "{} %s", "x" * 300, "", " "),
    "YAML and JSON": ("yes", "null", "1.5", "- a: b", "#", '"'),
    "background by other names": ("BACKGROUND", "cat", " background "),
    "none of the classes": ("cat", "everything else"),
    "more than 255": tuple(f"class {place}" for place in range(300)),
}
MAPS = {
    "everywhere": lambda count: np.arange(20).reshape(4, 5) % count,
    "the last alone": lambda count: np.full((4, 5), count - 1),
    "one pixel": lambda count: (np.arange(20).reshape(4, 5) == 7) * min(1, count - 1),
}


def hostile(names, labels):
    return make(names, labels=labels.astype(np.int32), regions=np.full((4, 5), -1, np.int32))


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("names", HOSTILE.values(), ids=HOSTILE)
def test_every_format_takes_every_kind_of_name_and_map(tmp_path, names, labels):
    result = hostile(names, labels(len(names)))
    (files,) = cc.export(result, tmp_path / "out", FORMATS, images=IMAGE, min_area=0)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "out") for path in made)
    assert all(is_ours(path) for path in made if "yolo" not in path.parts)
    assert np.array_equal(cc.load_result(files.json).labels, result.labels)
    assert np.array_equal(np.asarray(Image.open(files.index)), result.labels)
    assert np.array_equal(np.asarray(Image.open(files.labels)), result.labels)
    foreground = [name for name in names if name.casefold().strip() not in ("background", "everything else")]
    api = COCO(tmp_path / "out/coco/annotations.json")
    assert [entry["name"] for entry in api.loadCats(api.getCatIds())] == list(dict.fromkeys(foreground))
    covered = sum((api.annToMask(entry).astype(int) for entry in api.loadAnns(api.getAnnIds())), np.zeros((4, 5), int))
    shown = np.isin(result.labels, [label for label, name in enumerate(names) if name in foreground])
    assert np.array_equal(covered, shown)
    assert len(list(files.masks.glob("*.png"))) == len(np.unique(result.labels[shown]))
    cutouts = sum((np.asarray(Image.open(path))[..., 3] // 255 for path in files.cutouts.glob("*.png")), 0 * covered)
    assert np.array_equal(cutouts, shown)
    described = yaml.safe_load((tmp_path / "out/yolo/data.yaml").read_text(encoding="utf-8"))
    assert list(described["names"].values()) == list(dict.fromkeys(foreground))
    lines = (tmp_path / "out/yolo/labels/picture.txt").read_text().splitlines()
    assert all(0 <= float(share) <= 1 for line in lines for share in line.split()[1:])
    assert len(json.loads(files.labelme.read_text(encoding="utf-8"))["shapes"]) == len(lines)


def test_files_of_classes_are_all_different_on_every_system():
    for names in HOSTILE.values():
        files = [name.casefold() for name in class_files(names)]
        assert len(set(files)) == len(names)
        assert all(len(name.encode()) <= 255 for name in files)


def test_long_names_of_classes_get_files_even_if_other_classes_end_like_them():
    for names in (
        ["a" * 59 + end for end in ("?", "_-2", "*")],
        ["a" * 60 + end for end in ("?", "_", "*-1", "-2", "*")],
    ):
        files = class_files(names)
        assert len({name.casefold() for name in files}) == len(names)
    assert class_files(["cat", "dog", "owl", "Cat", "Cat-3"]) == [
        "cat.png",
        "dog.png",
        "owl.png",
        "Cat-3.png",
        "Cat-3-4.png",
    ]


def test_masks_of_an_earlier_result_go_even_if_no_class_is_left(tmp_path):
    for names, left in (
        (("dog", "cat"), ["cat.png", "dog.png"]),
        (("background", "wall"), ["wall.png"]),
        (("background",), []),
    ):
        result = hostile(names, np.arange(20).reshape(4, 5) % len(names))
        (files,) = cc.export({"x": result}, tmp_path, "masks")
        assert sorted(path.name for path in files.masks.glob("*")) == left


def test_several_results_are_called_after_their_pictures(tmp_path):
    one = make(name="dog.jpg")
    saved = cc.export([one, make(name="cat.jpg"), one], tmp_path)
    assert [files.json.name for files in saved] == ["dog.json", "cat.json", "dog-2.json"]
    more = cc.export(
        [make(name=f"{name}.jpg") for name in ("dog", "dog-2", "dog", "Dog", "x" * 150, "x" * 151)], tmp_path / "more"
    )
    assert [files.json.stem for files in more[:4]] == ["dog", "dog-2", "dog-3", "Dog-4"]
    assert len({files.json.name.casefold() for files in more}) == len(more)
    named = cc.export({"a/b": one, "c": one}, tmp_path / "named", "coco", min_area=0)
    assert [files.json.name for files in named] == ["a_b.json", "c.json"]
    assert [files.json.name for files in cc.export(iter([one]), tmp_path / "iterator")] == ["dog.json"]
    assert cc.export([], tmp_path / "none", "coco") == []


@pytest.mark.parametrize(
    ("option", "formats", "users"),
    [
        ({"polygons": True}, "json,yolo", "coco"),
        ({"min_area": 0}, "png,masks", "coco, yolo, labelme"),
        ({"per_class": True}, "json", "coco, yolo, labelme"),
    ],
)
def test_an_option_that_no_format_uses_is_refused_as_on_the_command_line(tmp_path, option, formats, users):
    message = rf"{next(iter(option))}: expected a format that uses it \({users}\)"
    with pytest.raises(InputError, match=message):
        cc.export(make(), tmp_path / "new", formats, images=IMAGE, **option)
    with pytest.raises(InputError, match=message):
        make().save(tmp_path / "new", IMAGE, formats=formats, **option)
    assert not (tmp_path / "new").exists()


def test_save_writes_polygons_as_export_does(tmp_path):
    make(name="a.jpg").save(tmp_path / "save", formats="coco", min_area=0, polygons=True)
    cc.export(make(name="a.jpg"), tmp_path / "export", "coco", min_area=0, polygons=True)
    one, two = (json.loads((tmp_path / name / "coco/annotations.json").read_text()) for name in ("save", "export"))
    assert one == two
    assert all(isinstance(entry["segmentation"], list) for entry in one["annotations"])


@pytest.mark.parametrize(("results", "images"), [(2, 1), (1, 2)])
def test_each_result_has_its_picture(tmp_path, results, images):
    with pytest.raises(InputError, match=f"images: expected {results}, one for each result, got {images}"):
        cc.export([make()] * results, tmp_path, "coco", images=[IMAGE] * images)
    with pytest.raises(InputError, match="images: expected a list of pictures, got dict"):
        cc.export([make()] * 2, tmp_path, "coco", images={"a": IMAGE, "b": IMAGE})
    assert not list(tmp_path.iterdir())
    assert len(cc.export([make()] * 2, tmp_path, "png", images=[IMAGE, None])) == 2


@pytest.mark.parametrize(("results", "images", "expected"), [(3, 2, "more than 2"), (1, 2, "1")])
def test_results_of_a_generator_have_their_pictures_too(tmp_path, results, images, expected):
    made = (make(name="a.jpg") for _ in range(results))
    with pytest.raises(InputError, match=f"images: expected {expected}, one for each result, got {images}"):
        cc.export(made, tmp_path, "coco", images=[IMAGE] * images)
    assert not (tmp_path / "coco").exists()
    assert len(cc.export((make() for _ in range(2)), tmp_path, images=[IMAGE] * 2)) == 2
    assert len(cc.export((make() for _ in range(2)), tmp_path)) == 2


def test_a_single_result_takes_a_list_of_its_picture(tmp_path):
    for images in (IMAGE, [IMAGE], (IMAGE,), [None], [], cc.io.image.read_reduced(IMAGE)):
        assert len(cc.export(make(), tmp_path, "coco", images=images)) == 1
    with pytest.raises(InputError, match="images: expected 1, one for each result, got 2"):
        cc.export(make(), tmp_path, "coco", images=[IMAGE, IMAGE])


def test_no_formats_are_the_usual_ones(tmp_path):
    for folder, formats in (("export", {"formats": None}), ("usual", {})):
        cc.export(make(name="a.jpg"), tmp_path / folder, **formats)
    make(name="a.jpg").save(tmp_path / "save", formats=None)
    found = [sorted(path.name for path in folder.iterdir()) for folder in tmp_path.iterdir()]
    assert found == [["a.json", "a.labels.png", "a.overlay.png"]] * 3


def test_pictures_in_another_order_than_the_results_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for name in ("cat", "dog")}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        Image.fromarray(pixels // 2 + 90).save(tmp_path / f"{name}-brighter.png")
    results = [
        make(
            labels=np.zeros((40, 50), np.int32),
            regions=np.zeros((40, 50), np.int32),
            confidence=np.ones((40, 50), np.float32),
            name=f"{name}.png",
            model_input=np.asarray(Image.fromarray(pixels).resize((25, 20), Image.Resampling.BOX)),
        )
        for name, pixels in pictures.items()
    ]
    with pytest.raises(InputError, match=r"the file of 'cat.png', got another picture, 'dog.png'"):
        cc.export(results, tmp_path / "out", images=[tmp_path / "dog.png", tmp_path / "cat.png"])
    with pytest.raises(InputError, match="another picture"):
        results[0].save(tmp_path / "out", tmp_path / "dog.png")
    assert not (tmp_path / "out").exists()
    edited = [tmp_path / "cat-brighter.png", tmp_path / "dog-brighter.png"]
    assert [files.stem for files in cc.export(results, tmp_path / "edited", images=edited)] == ["cat", "dog"]


def test_later_calls_join_earlier_ones(tmp_path):
    for name in ("b", "a"):
        cc.export({name: make(name=f"{name}.jpg")}, tmp_path, "coco,yolo", images=[IMAGE], min_area=0)
    found = json.loads((tmp_path / "coco/annotations.json").read_text())
    assert [entry["file_name"] for entry in found["images"]] == ["a.jpg", "b.jpg"]
    assert len({entry["id"] for entry in found["annotations"]}) == len(found["annotations"])
    assert sorted(path.name for path in (tmp_path / "yolo/labels").iterdir()) == ["a.txt", "b.txt"]


def test_the_list_of_yolo_is_read_a_few_times_however_many_pictures_and_holds_current_files_only(tmp_path, monkeypatch):
    reads = []
    read = yolo.read_digests
    monkeypatch.setattr(yolo, "read_digests", lambda folder: reads.append(folder) or read(folder))
    log, counts = tmp_path / "yolo/files.sha256", []
    for words in (("cat", "dog"), ("zebra", "cat")):  # other words change the text of every picture
        cc.export({str(place): make(words) for place in range(8)}, tmp_path, "yolo", images=[IMAGE] * 8, min_area=0)
        reads.clear()
        first = make(("cow", *words))  # its new class shifts the numbers of all others
        cc.export({"0": first}, tmp_path, "yolo", images=[IMAGE], min_area=0)
        counts.append(len(reads))
    assert max(counts) <= 5
    names = [line.split("  ")[1] for line in log.read_text().splitlines()]
    below = [path for path in (tmp_path / "yolo").rglob("*") if path.is_file() and path != log]
    assert names == sorted(path.relative_to(tmp_path / "yolo").as_posix() for path in below)
    path = tmp_path / "3.json"
    path.unlink()
    (copy,) = (tmp_path / "yolo/images").glob("4.*")
    copy.write_bytes(b"a person's")
    cc.export({"0": make()}, tmp_path, "yolo", images=[IMAGE], min_area=0)
    assert "/3." not in log.read_text()
    assert f"images/{copy.name}" in log.read_text()
    assert copy.read_bytes() == b"a person's"


def test_coco_tells_pictures_of_one_name_apart_by_their_folders(tmp_path):
    paths = [tmp_path / folder / "1.png" for folder in "xy"]
    for path in paths:
        path.parent.mkdir()
        Image.fromarray(IMAGE).save(path)
    results = [make(name="1.png"), make(name="1.png"), make(name="1.png")]
    cc.export(results, tmp_path / "out", "coco", images=[str(paths[0]), paths[1], IMAGE])
    found = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert sorted(entry["file_name"] for entry in found["images"]) == ["1.png", "x/1.png", "y/1.png"]


def shown(seed, *, grid=(2, 3), size=(4, 5)):
    """Return a result of the picture number `seed`, of one name."""
    pixels = np.random.default_rng(seed).integers(0, 256, (grid[0] * 2, grid[1] * 2, 3), dtype=np.uint8)
    clusters = np.zeros(grid[0] * grid[1], np.int64)
    settings = {"original_size": list(size)}
    return make(name="1.png", model_input=pixels, grid=grid, patch_clusters=clusters, settings=settings)


def test_a_later_call_replaces_results_of_the_same_picture_only(tmp_path):
    def stems(*results, images=None):
        return [files.json.stem for files in cc.export(results, tmp_path, "coco", images=images)]

    first, second = shown(1), shown(2)
    assert stems(first) == ["1"]
    assert stems(second) == ["1-2"]
    assert [stems(second), stems(first), stems(first, second)] == [["1-2"], ["1"], ["1", "1-2"]]
    assert stems(shown(1, grid=(3, 3))) == ["1"], "the same picture in another layout"
    assert stems(shown(3, grid=(3, 2), size=(5, 4))) == ["1-3"], "another shape is another picture"
    assert len(json.loads((tmp_path / "coco/annotations.json").read_text())["images"]) == 3
    assert [files.json.stem for files in cc.export({"1": second}, tmp_path)] == ["1"], "a chosen name is kept"


def test_a_later_call_tells_files_apart_by_folder_and_content(tmp_path):
    for place, folder in enumerate("xy"):
        path = tmp_path / folder / "1.png"
        path.parent.mkdir()
        Image.fromarray(IMAGE + np.uint8(place)).save(path)

    def stem(folder):
        return cc.export(make(name="1.png"), tmp_path / "out", images=tmp_path / folder / "1.png")[0].json.stem

    assert [stem("x"), stem("y"), stem("y")] == ["1", "1-2", "1-2"]
    Image.fromarray(IMAGE[::-1].copy()).save(tmp_path / "x/1.png")
    assert stem("x") == "1", "an edited picture replaces its result"
    assert str(tmp_path) not in (tmp_path / "out/1.json").read_text()


def test_pictures_of_one_name_exported_folder_by_folder_have_paths_that_differ(tmp_path):
    for place, folder in enumerate("xy"):
        path = tmp_path / folder / "1.png"
        path.parent.mkdir()
        Image.fromarray(IMAGE + np.uint8(place)).save(path)
    for folder in "xyxy":
        cc.export(make(name="1.png"), tmp_path / "out", "coco", images=tmp_path / folder / "1.png", min_area=0)
        found = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert [entry["file_name"] for entry in found["images"]] == ["y/1.png", "1.png"]


def test_a_picture_finds_its_earlier_result_behind_another_picture_of_its_name(tmp_path):
    for place, folder in enumerate("xy"):
        path = tmp_path / folder / "1.png"
        path.parent.mkdir()
        Image.fromarray(IMAGE + np.uint8(place)).save(path)

    def stems(*folders):
        paths = [tmp_path / folder / "1.png" for folder in folders]
        return [files.stem for files in cc.export([make(name="1.png")] * len(paths), tmp_path / "out", images=paths)]

    assert [stems("y"), stems("x", "y"), stems("y", "x")] == [["1"], ["1-2", "1"], ["1", "1-2"]]
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
    assert stems("x", "x") == ["1-2", "1-3"], "within a call, each result has its own files"


def test_a_result_that_is_saved_alone_joins_the_files_about_the_folder(tmp_path):
    for name in ("a", "b"):
        make(name=f"{name}.jpg").save(tmp_path, IMAGE, formats=["coco", "yolo"], min_area=0)
    found = json.loads((tmp_path / "coco/annotations.json").read_text())
    assert [entry["file_name"] for entry in found["images"]] == ["a.jpg", "b.jpg"]
    assert sorted(path.name for path in (tmp_path / "yolo/labels").iterdir()) == ["a.txt", "b.txt"]
    (tmp_path / "coco/annotations.json").write_text("{}")
    with pytest.raises(InputError, match=r"annotations\.json"):
        make(name="c.jpg").save(tmp_path, IMAGE, formats=["coco"])
    assert not (tmp_path / "c.json").exists()
    with pytest.raises(InputError, match="output folder"):
        make().save(3, formats=["coco"])


@pytest.mark.parametrize("results", [[1], ["dog.jpg"], [None], {"a": 3}, None, 5])
def test_what_is_no_result_is_refused(tmp_path, results):
    with pytest.raises(InputError, match="results: expected"):
        cc.export(results, tmp_path)


@pytest.mark.parametrize("formats", ["", "jpg", [], [3], ["png", None]])
def test_formats_that_are_none_are_refused(tmp_path, formats):
    with pytest.raises(InputError, match="format"):
        cc.export(make(), tmp_path / "new", formats)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "damage",
    [{"classes": 3}, {"size": [9, 9]}, {"components": {"min_area": 0}}, {"files": None}, {"size": [float("inf"), 9]}],
)
def test_a_description_that_was_changed_by_hand_is_passed_over(tmp_path, damage):
    cc.export({"a": make(), "b": make()}, tmp_path, "coco", min_area=0)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "components": None, **damage}))
    (tmp_path / "notes.json").write_text("[1, 2")
    cc.export({"c": make()}, tmp_path, "coco", min_area=1)
    found = json.loads((tmp_path / "coco/annotations.json").read_text())
    assert len(found["images"]) == 2


def test_an_upright_jpeg_is_copied_as_it_is_and_a_turned_one_is_written_anew(tmp_path):
    for name, orientation in (("plain", 1), ("turned", 6)):
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(IMAGE).save(tmp_path / f"{name}.jpg", exif=exif)
    turned = make(labels=np.zeros((5, 4), np.int32), regions=np.zeros((5, 4), np.int32),
                  confidence=np.ones((5, 4), np.float32))  # fmt: skip
    cc.export(
        {"plain": make(), "turned": turned},
        tmp_path / "out",
        "yolo",
        images=[tmp_path / "plain.jpg", tmp_path / "turned.jpg"],
    )
    copies = tmp_path / "out/yolo/images"
    assert (copies / "plain.jpg").read_bytes() == (tmp_path / "plain.jpg").read_bytes()
    with Image.open(copies / "turned.jpg") as again:
        assert again.size == (4, 5)
        assert again.getexif().get(274, 1) == 1
