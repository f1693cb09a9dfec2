"""Saved results: label picture, run lengths, description, arrays, file names, reading back, atomic writing."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from cliptrase_core.errors import InputError
from cliptrase_core.io.export import loading, saving
from cliptrase_core.io.export.dataset import export
from cliptrase_core.io.export.formats import ARCHIVE_FORMATS
from cliptrase_core.io.export.loading import load_result
from cliptrase_core.io.files import safe_stem
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.overlay import overlay
from cliptrase_core.viz.palette import class_colours

NASTY = ("猫 <script>", 'say "no"\\', "قطة\u202e", "{} %s 👩\u200d💻", "background")


def make(names=("cat", "dog", "cow", "background"), **changes):
    """Return a result of 4 x 5 pixels: columns 0-1 cat, one pixel dog, the rest background; cow is absent."""
    last = len(names) - 1
    labels = np.full((4, 5), last, np.int32)
    labels[:, :2] = 0
    labels[2, 3] = 1
    values = {
        "labels": labels,
        "regions": np.where(labels == 0, 1, -1).astype(np.int32),
        "confidence": np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5),
        "class_names": names,
        "patch_clusters": np.array([1, -1, 0, 0, 1, 1]),
        "grid": (2, 3),
        "settings": {"preset": "auto", "eps": 0.7, "layers": [1, 2]},
        "timings": {"encode": 0.25},
        "notes": ('"tom" belongs to "cat"',),
    }
    return Segmentation(**{**values, **changes})


save = partial(saving.save, formats=ARCHIVE_FORMATS)
IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def test_labels_are_an_indexed_picture_with_its_palette(tmp_path):
    result = make()
    files = save(result, IMAGE, tmp_path, "street")
    assert sorted(os.listdir(tmp_path)) == [
        "street.json", "street.labels.png", "street.npz", "street.overlay.png"
    ]  # fmt: skip
    picture = Image.open(files.labels)
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), result.labels)
    colours = class_colours(result.class_names)
    assert picture.getpalette()[:12] == [channel for name in result.class_names for channel in colours[name]]
    assert np.array_equal(np.asarray(Image.open(files.overlay)), overlay(IMAGE, result))


def test_run_lengths_area_and_confidence_describe_each_class(tmp_path):
    result = make()
    record = json.loads(save(result, IMAGE, tmp_path, "a").json.read_text(encoding="utf-8"))
    for index, entry in enumerate(record["classes"]):
        mask = result.labels == index
        assert np.array_equal(coco_mask.decode(entry["rle"]), mask)
        assert entry["rle"]["size"] == [4, 5]
        assert (entry["index"], entry["name"]) == (index, result.class_names[index])
        assert entry["area"] == mask.sum() / 20
    assert record["classes"][1]["confidence"] == pytest.approx(13 / 19)  # the pixel at row 2, column 3
    assert record["classes"][2]["confidence"] is None
    assert record["classes"][3]["colour"] == "#404040"
    assert record["size"] == [4, 5]
    assert record["grid"] == [2, 3]
    assert set(record["versions"]) == {"cliptrase-lab", "torch", "open_clip_torch", "python"}


@pytest.mark.parametrize(("count", "mode"), [(256, "P"), (257, "I;16")])
def test_more_than_256_names_make_a_16_bit_picture(tmp_path, count, mode):
    result = make(tuple(f"class {i}" for i in range(count)))
    files = save(result, IMAGE, tmp_path, "many")
    picture = Image.open(files.labels)
    assert picture.mode == mode
    assert np.array_equal(np.asarray(picture), result.labels)
    assert ("16-bit" in json.loads(files.json.read_text())["labels_png"]) == (mode == "I;16")
    assert np.array_equal(load_result(files.json).labels, result.labels)


def test_reading_back_gives_the_same_result(tmp_path):
    result = make(NASTY)
    again = load_result(save(result, IMAGE, tmp_path / "new" / "folder", "قطة 1").json)
    for name in ("labels", "regions", "confidence", "patch_clusters"):
        assert np.array_equal(getattr(again, name), getattr(result, name))
        assert getattr(again, name).dtype == getattr(result, name).dtype
    for name in ("class_names", "grid", "settings", "timings", "notes", "size", "areas"):
        assert getattr(again, name) == getattr(result, name)


def test_words_of_all_kinds_survive_as_themselves(tmp_path):
    text = save(make(NASTY), IMAGE, tmp_path, "a").json.read_text(encoding="utf-8")
    assert "猫 <script>" in text
    assert [entry["name"] for entry in json.loads(text)["classes"]] == list(NASTY)


def test_json_is_strict_whatever_the_settings_hold(tmp_path):
    settings = {
        "nan": float("nan"), "inf": np.float32("inf"), "n": np.int64(3), "list": (1, np.arange(2)), 5: "five",
        "path": tmp_path, "odd": "\ud800", "none": None, "yes": np.True_,
    }  # fmt: skip
    result = make(settings=settings, confidence=np.full((4, 5), np.nan, np.float32))
    files = save(result, IMAGE, tmp_path, "a")

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads(files.json.read_bytes().decode("utf-8"), parse_constant=refuse)
    assert record["settings"] == {
        "nan": None, "inf": None, "n": 3, "list": [1, [0, 1]], "5": "five",
        "path": str(tmp_path), "odd": "?", "none": None, "yes": True,
    }  # fmt: skip
    assert record["classes"][0]["confidence"] is None


def test_further_arrays_go_into_the_npz(tmp_path):
    files = save(make(), IMAGE, tmp_path, "a", arrays={"affinity": np.eye(7), "file": np.arange(3)})
    with np.load(files.npz, allow_pickle=False) as archive:
        assert sorted(archive) == ["affinity", "confidence", "file", "labels", "patch_clusters", "regions"]
        assert np.array_equal(archive["affinity"], np.eye(7))
    assert load_result(files.json).grid == (2, 3)


def test_the_same_result_gives_the_same_bytes(tmp_path):
    one, two = (save(make(), IMAGE, tmp_path / name, "a") for name in "xy")
    for kind in ("labels", "overlay", "npz", "json"):
        assert getattr(one, kind).read_bytes() == getattr(two, kind).read_bytes()


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": np.zeros(1)},
        {"../x": np.zeros(1)},
        {"": np.zeros(1)},
        {3: np.zeros(1)},
        {"x": [1, 2]},
        {"x": np.array([object()])},
    ],
)
def test_arrays_that_cannot_be_stored_are_refused_before_anything_is_written(tmp_path, arrays):
    with pytest.raises(InputError, match="arrays: expected"):
        save(make(), IMAGE, tmp_path, "a", arrays=arrays)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("stem", "safe"),
    [
        ("street", "street"),
        ("a.b c", "a.b c"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b/c:d*e?f|g<h>i\"j", "a_b_c_d_e_f_g_h_i_j"),
        ("a\x00b\nc\u202ed", "a_b_c_d"),
        (".hidden", "hidden"),
        ("...", "picture"),
        ("", "picture"),
        ("con", "_con"),
        ("NUL.tar", "_NUL.tar"),
        ("com1", "_com1"),
        ("con" + " " * 120 + "x", "_con"),
        ("console", "console"),
        ("name. . ", "name"),
        ("猫 قطة é", "猫 قطة é"),
        ("e\u0301", "é"),
        ("x" * 101, "x" * 100),
        ("猫" * 100, "猫" * 66),
        ("\udcff", "_"),
    ],
)  # fmt: skip
def test_stem_is_made_safe(stem, safe):
    assert safe_stem(stem) == safe


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=250))
def test_any_stem_becomes_a_plain_file_name_that_stays_as_it_is(stem):
    safe = safe_stem(stem)
    assert safe_stem(safe) == safe
    assert os.path.basename(safe) == safe
    assert 0 < len(safe) <= 100
    assert len(safe.encode("utf-8")) <= 200
    assert not safe.startswith(".")


@pytest.mark.parametrize("stem", ["../up", "x" * 300, "猫" * 99, "x" * 98, "con", "a.npz", "\udcff"])
def test_odd_stems_stay_in_the_directory_and_read_back(tmp_path, stem):
    files = save(make(), IMAGE, tmp_path, stem)
    assert {files.json.parent, files.npz.parent, files.labels.parent, files.overlay.parent} == {tmp_path}
    assert len(os.listdir(tmp_path)) == 4
    assert load_result(files.json).size == (4, 5)


def test_directory_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for directory in (tmp_path / "file", tmp_path / "file" / "below", "a\x00b", None):
        with pytest.raises(InputError, match="output folder"):
            save(make(), IMAGE, directory, "a")


def test_an_empty_name_of_a_folder_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (
        make().save,
        lambda folder: export([make()], folder),
        lambda folder: save(make(), IMAGE, folder, "a"),
    ):
        with pytest.raises(InputError, match="output folder: expected the path of a folder, got an empty name"):
            write("")
    assert os.listdir(tmp_path) == []
    make().save(".")
    assert "picture.json" in os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", "no entry 'format'"),
        (b"\xff", "no text in UTF-8"),
        (b"{", "no JSON: Expecting"),
        (b"[]", "entries of another kind"),
        (b'{"a":' * 100_000, "too large or too deep"),
        (None, "a folder"),
    ],
    ids=["entry", "encoding", "JSON", "list", "depth", "folder"],
)
def test_a_file_that_is_no_result_is_refused_in_words(tmp_path, content, why):
    path = tmp_path / "a.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=rf"got 'a.json' \({why}") as refusal:
        load_result(path)
    assert "Err" not in str(refusal.value)


@pytest.mark.parametrize(
    ("folder", "got"),
    [(None, "got nothing"), (3, "got int"), (b"out", "got bytes"), ("a\0b", r"\(a zero byte in its name\)")],
)
def test_a_folder_that_is_no_path_is_refused_in_words(folder, got):
    with pytest.raises(InputError, match=got) as refusal:
        make().save(folder, IMAGE)
    assert "os.PathLike" not in str(refusal.value)


def test_read_only_directory_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(InputError, match="output folder"):
            save(make(), IMAGE, tmp_path, "a")
    finally:
        tmp_path.chmod(0o700)


def test_picture_of_another_size_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="frame of the labels"):
        save(make(), IMAGE[:3], tmp_path / "new", "a")
    assert os.listdir(tmp_path) == []


def test_failure_while_writing_leaves_the_old_files_and_nothing_else(tmp_path, monkeypatch):
    files = save(make(), IMAGE, tmp_path, "a")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    real_open = Path.open

    def full(self, *arguments, **options):
        if len(os.listdir(tmp_path)) >= 6:  # no space for the third new file
            raise OSError(28, "No space left on device")
        return real_open(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="No space left"):
        save(make(notes=("new",)), IMAGE, tmp_path, "a")
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    assert load_result(files.json).notes == make().notes


def test_failure_while_moving_is_noticed_when_reading(tmp_path, monkeypatch):
    files = save(make(), IMAGE, tmp_path, "a")
    real = os.replace

    def fail_at_json(source, target):
        if str(target).endswith(".json"):
            raise OSError("power cut")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_at_json)
    with pytest.raises(InputError, match="power cut"):
        save(make(patch_clusters=np.zeros(6, int)), IMAGE, tmp_path, "a")
    assert len(os.listdir(tmp_path)) == 4
    with pytest.raises(InputError, match="belongs to another result"):
        load_result(files.json)


def rewrite(path, **changes):
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"format_version": 3},
        {"classes": []},
        {"classes": [{"name": 3}] * 4},
        {"classes": "cats"},
        {"grid": [2]},
        {"grid": [5, 5]},
        {"grid": ["a", "b"]},
        {"size": [5, 4]},
        {"files": {"npz": "../a.npz"}},
        {"files": {"npz": ["a.npz"]}},
        {"files": {"npz": "a.json"}},
        {"npz_sha256": "0"},
        {"settings": 3},
        {"notes": [1]},
        {"timings": None},
    ],
)
def test_changed_description_is_refused(tmp_path, changes):
    files = save(make(), IMAGE, tmp_path, "a")
    rewrite(files.json, **changes)
    with pytest.raises(InputError):
        load_result(files.json)


@pytest.mark.parametrize("key", ["grid", "size"])
def test_a_number_beyond_all_floats_is_refused(tmp_path, key):
    files = save(make(), IMAGE, tmp_path, "a", formats="json")
    rewrite(files.json, **{key: ["HUGE", 1]})
    files.json.write_text(files.json.read_text(encoding="utf-8").replace('"HUGE"', "1e400"), encoding="utf-8")
    with pytest.raises(InputError, match="saved result"):
        load_result(files.json)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"format": NaN}', b"[" * 100_000])
def test_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="saved result"):
        load_result(path)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"got 'a\.json' \(no such file\)\. Choose another file"):
        load_result(tmp_path / "a.json")
    (tmp_path / "a.zip").write_bytes(b"PK\3\4\xff")
    with pytest.raises(InputError, match=r"got 'a\.zip' \(no JSON: that of the result"):
        load_result(tmp_path / "a.zip")
    with pytest.raises(InputError):
        load_result(tmp_path)


@pytest.mark.parametrize("formats", ["json", "png,overlay", "npz"])
def test_without_the_npz_labels_come_from_the_json_and_what_is_missing_is_said(tmp_path, formats):
    files = saving.save(make(NASTY), IMAGE, tmp_path, "a", formats=formats)
    files.npz.unlink(missing_ok=True)
    again = load_result(files.json)
    assert np.array_equal(again.labels, make(NASTY).labels)
    assert again.notes == (*make().notes, loading.NOT_SAVED)
    assert (again.regions == -1).all()
    assert (again.patch_clusters == -1).all()
    assert np.isnan(again.confidence).all()
    with pytest.raises(InputError, match="confidence: expected a confidence map"):
        again.above(0.5)


def test_a_result_of_the_first_version_is_read(tmp_path):
    files = save(make(), IMAGE, tmp_path, "a")
    rewrite(files.json, format_version=1)
    assert load_result(files.json).areas == make().areas


@pytest.mark.parametrize(
    "change",
    [
        {"size": [3, 4]},
        {"size": [10**9, 10**9]},
        {"size": [0, 0]},
        {"grid": [10**6, 10**6]},
        {"grid": [-2, -3]},
        {"classes": [{"name": "a", "rle": {"size": [4, 5], "counts": "0d0"}}] * 2},
        {"classes": [{"name": "a", "rle": {"size": [4, 5], "counts": "0"}}]},
        {"classes": [{"name": "a", "rle": {"size": [4, 5], "counts": "~~~~"}}]},
        {"classes": [{"name": "a", "rle": {"size": [4, 5], "counts": "oooooooooooooooooo"}}]},
        {"classes": [{"name": "a", "rle": {"size": [4, 5]}}]},
        {"classes": [{"name": "a", "rle": {"size": [4, 5], "counts": "\u732b"}}]},
    ],
)
def test_run_lengths_that_are_none_are_refused_without_taking_memory(tmp_path, change):
    files = saving.save(make(), IMAGE, tmp_path, "a")
    rewrite(files.json, **change)
    with pytest.raises(InputError, match="saved result"):
        load_result(files.json)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00v\x00{}", b"plain"])
def test_npz_that_is_none_is_refused_even_with_its_checksum(tmp_path, content):
    files = save(make(), IMAGE, tmp_path, "a")
    files.npz.write_bytes(content)
    rewrite(files.json, npz_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match="saved result"):
        load_result(files.json)
