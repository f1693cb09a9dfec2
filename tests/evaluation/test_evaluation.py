"""`evaluate` end to end: figures against loop forms, the bundled examples, reports, bad input."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from cliptrase_core import cli, dataset_vocabulary
from cliptrase_core.cli import parser
from cliptrase_core.evaluation.data import sha256_of
from cliptrase_core.evaluation.examples import read_examples, read_mask
from cliptrase_core.evaluation.metrics import boundary_f
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.files import asset
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.segmenter import Segmenter
from tests.datasets import blocks, voc_devkit, voc_prepared, write_dataset, write_mask, write_picture

TEMPLATES = "simple7"  # 80 templates per word would take most of the test time


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    """Load nano once for all commands of this file."""
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


def evaluate(tmp_path, *arguments, name="report.json", code=0):
    output = tmp_path / "out" / name
    line = ["evaluate", *map(str, arguments), "--templates", TEMPLATES, "--model", "nano", "--output", str(output)]
    assert cli.main(line) == code
    return json.loads(output.read_text(encoding="utf-8")) if output.exists() else None


def values(report):
    return {name: entry["value"] for name, entry in report["figures"].items()}


VOC = ("VOC2012/images_detectron2/val", "VOC2012/annotations_detectron2/val", ".png")


def published(nano, root, words, *, background, prior, quirks, folders=VOC):
    """Compute the figures of the published script in loops (crop, count, divide), from labels of `paper-224`."""
    crop = Compose([Resize(224, InterpolationMode.NEAREST), CenterCrop(224)])
    classes = len(words.classes) + background
    hist = [[0] * classes for _ in range(classes)]
    images, masks, end = folders
    for path in sorted((root / images).iterdir()):
        stored = np.array(Image.open(root / masks / f"{path.stem}{end}"))
        truth = np.array(crop(Image.fromarray(stored.astype(np.int32))))
        truth = truth.astype(np.uint16).astype(np.int16)
        if set(np.unique(truth).tolist()) == {255}:
            continue
        encoding = nano.encode(path, "paper-224")
        labels = nano.segment(encoding, words, templates=TEMPLATES, image_prior=prior).labels
        if background:
            truth[truth == 255] = classes - 1
        for row in range(224):
            for column in range(224):
                t, p = int(truth[row, column]), int(labels[row, column])
                if 0 <= t < classes:
                    hist[t][p] += 1
    smooth = 0.01 if quirks else 0.0
    true = [sum(row) for row in hist]
    given = [sum(hist[t][c] for t in range(classes)) for c in range(classes)]
    present = [c for c in range(classes) if true[c] > 0]
    counted = range(classes) if quirks else present
    iou = {c: hist[c][c] / (true[c] + given[c] - hist[c][c] + smooth) for c in present}
    return {
        "pAcc": 100 * sum(hist[c][c] for c in range(classes)) / sum(true),
        "mAcc": 100 * sum(hist[c][c] / (true[c] + smooth) for c in counted) / len(counted),
        "fwIoU": 100 * sum(true[c] / sum(true) * iou[c] for c in present),
        "mIoU": 100 * sum(iou.values()) / len(present),
    }


@pytest.mark.parametrize("quirks", [False, True])
def test_voc20_equals_a_loop_form_of_the_published_computation(tmp_path, nano, quirks):
    root = voc_prepared(tmp_path)
    extra = ["--reference-quirks"] if quirks else []
    report = evaluate(tmp_path, "--setting", "voc20", "--data", root, *extra)
    expected = published(nano, root, dataset_vocabulary("voc20"), background=False, prior=quirks, quirks=quirks)
    assert values(report) == pytest.approx(expected, abs=1e-9)
    assert report["setup"]["method"]["image_prior"] is quirks, "quirk B7 is the published script's, for voc20 only"
    usual = "paper-224 with reference quirks" if quirks else "paper-224"
    assert report["column"] == f"{usual}, templates {TEMPLATES}"


CONTEXT = ("pcontext/val/image", "pcontext/val/label", ".png")
COCO = ("coco/val2017", "coco/stuffthingmaps_detectron2/val2017", ".png")
ADE = ("ADEChallengeData2016/images/validation", "ADEChallengeData2016/annotations_detectron2/validation", ".png")
FULL = ("ADE20K_2021_17_01/images_detectron2/validation", "ADE20K_2021_17_01/annotations_detectron2/validation", ".tif")


@pytest.mark.parametrize(
    ("setting", "folders", "others"),
    [
        ("coco171", COCO, (255,)),
        ("voc20", VOC, (255,)),
        ("pc59", CONTEXT, (255,)),
        ("pc459", ("pcontext_full/val/image", "pcontext_full/val/label", ".tif"), (255, 65535)),
        ("ade150", ADE, (255,)),
        ("ade847", FULL, (255, 65535)),
        ("coco80", COCO, (80, 120, 255)),
        ("voc21", VOC, (255,)),
        ("pc60", CONTEXT, (255,)),
    ],
)
def test_every_setting_with_quirks_equals_a_loop_form_of_the_published_computation(
    tmp_path, nano, setting, folders, others
):
    words = dataset_vocabulary(setting)
    background, prior = setting in ("coco80", "voc21", "pc60"), setting == "voc20"
    write_dataset(tmp_path / folders[0], tmp_path / folders[1], lambda rng: np.array(others), mask_end=folders[2])
    for number, path in enumerate(sorted((tmp_path / folders[0]).iterdir())):
        # The ground truth partly agrees with the model, so that the figures are not all 0.
        encoding = nano.encode(path, "paper-224")
        labels = nano.segment(encoding, words, templates=TEMPLATES, image_prior=prior).labels
        with Image.open(path) as picture:
            size = picture.height, picture.width
        rng = np.random.default_rng(number)
        right = np.unique(labels[labels < len(words.classes)])[:3]
        numbers = np.array([*others, *right, int(rng.integers(len(words.classes)))])
        write_mask(tmp_path / folders[1] / f"{path.stem}{folders[2]}", blocks(rng, size, numbers))
    report = evaluate(tmp_path, "--setting", setting, "--data", tmp_path, "--reference-quirks")
    expected = published(nano, tmp_path, words, background=background, prior=prior, quirks=True, folders=folders)
    assert values(report) == pytest.approx(expected, abs=1e-9)
    assert expected["mIoU"] > 0


def test_voc21_with_quirks_leaves_out_a_picture_of_nothing_but_255(tmp_path):
    root = voc_prepared(tmp_path)
    mask = root / VOC[1] / "b.png"
    write_mask(mask, np.full((90, 64), 255))
    report = evaluate(tmp_path, "--setting", "voc21", "--data", root, "--reference-quirks")
    assert [entry["key"] for entry in report["pictures"]["left_out"]] == ["b"]
    assert report["pictures"]["scored"] == 2
    mask.unlink()
    (root / VOC[0] / "b.jpg").unlink()
    without = evaluate(tmp_path, "--setting", "voc21", "--data", root, "--reference-quirks", name="without.json")
    assert values(report) == values(without), "it counts in no figure"


def test_voc21_without_quirks_needs_masks_that_tell_void_from_background(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    evaluate(tmp_path, "--setting", "voc21", "--data", root, code=2)
    assert "masks that tell background from void" in capsys.readouterr().err
    report = evaluate(tmp_path, "--setting", "voc21", "--data", voc_devkit(root))
    assert report["setup"]["layout"] == "VOCdevkit/VOC2012, SegmentationClass"
    background = report["classes"][-1]
    assert background["name"] == "background"
    assert background["true"] > 0


def by_loops(example, labels):
    """Return mIoU of the example's classes, pixel accuracy of the counted pixels, and boundary F-score, in percent."""
    truth = read_mask(example)
    hit, true, given = (dict.fromkeys(example.classes, 0) for _ in range(3))
    for label, name in enumerate(example.classes):
        for row in range(truth.shape[0]):
            counted = truth[row] != IGNORED
            true[name] += int((truth[row] == label)[counted].sum())
            given[name] += int((labels[row] == label)[counted].sum())
            hit[name] += int(((truth[row] == label) & (labels[row] == label))[counted].sum())
    iou = [hit[name] / (true[name] + given[name] - hit[name]) for name in example.classes]
    right = sum(hit.values()) / sum(true.values())
    return 100 * np.array([sum(iou) / len(iou), right, boundary_f(truth, labels)])


def test_examples_are_divided_among_their_own_words_and_scored_without_ignored_pixels(tmp_path, nano):
    rows = []
    for example in read_examples(asset("examples"))[:3]:
        labels = nano.segment(nano.encode(example.path), example.words, templates=TEMPLATES).labels
        rows.append(by_loops(example, labels))
    report = evaluate(tmp_path, "--setting", "examples", "--limit", 3, "--batch", 1)
    wanted = dict(zip(("mIoU", "accuracy", "boundary F"), np.mean(rows, axis=0), strict=True))
    assert values(report) == pytest.approx(wanted, abs=1e-6)
    assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in report["figures"].values())


@pytest.mark.parametrize("words", ["cat; mosaic", "cat; mosaic | background: dog", None])
def test_everything_else_is_the_background_of_the_data_or_else_a_miss(tmp_path, nano, words):
    if words is None:
        data, other = ["--setting", "examples", "--limit", 3], 255
        pictures = [(one.name, one.path, one.words) for one in read_examples(asset("examples"))[:3]]
    else:
        write_dataset(tmp_path / "images", tmp_path / "masks", lambda rng: np.arange(2))
        data = ["--images", tmp_path / "images", "--masks", tmp_path / "masks", "--vocabulary", words]
        other = 2 if "background" in words else 255
        pictures = [(path.stem, path, words) for path in sorted((tmp_path / "images").iterdir())]
    saved, options = tmp_path / "labels", ["--everything-else", "--no-vote"]
    report = evaluate(tmp_path, *data, *options, "--save-predictions", saved)
    assert report["pictures"]["scored"] == 3
    names, others = [row["name"] for row in report["classes"]], 0
    for key, picture, own in pictures:
        found = nano.segment(nano.encode(picture), own, templates=TEMPLATES, everything_else=True, vote=False)
        table = np.array([other if name == "everything else" else names.index(name) for name in found.class_names])
        assert np.array_equal(np.asarray(Image.open(saved / f"{key}.png")), table[found.labels])
        others += np.count_nonzero(found.labels == len(found.class_names) - 1)
    assert others > 0


def test_cliptrase_is_far_above_plain_clip_on_the_examples(tmp_path):
    plain, whole = (
        values(evaluate(tmp_path, "--setting", "examples", "--method", method, name=f"{method}.json"))
        for method in ("clip", "cliptrase")
    )
    assert plain["accuracy"] < whole["accuracy"] / 2
    assert plain["mIoU"] < whole["mIoU"] / 3


def test_a_report_says_what_made_it_and_shows_best_and_worst(tmp_path):
    report = evaluate(tmp_path, "--setting", "examples", "--limit", 2)
    assert report["setup"]["weights"]
    assert "torch" in report["run"]["versions"]
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "boundary F" in text
    for name in ("report.best.png", "report.worst.png"):
        assert name in text
        with Image.open(tmp_path / "out" / name) as sheet:
            assert sheet.width > 700


def test_runs_on_more_or_fewer_examples_have_the_same_classes(tmp_path, capsys):
    evaluate(tmp_path, "--setting", "examples", "--limit", 3, "--save-predictions", tmp_path / "kept")
    few = ["evaluate", "--setting", "examples", "--limit", "2", "--output", str(tmp_path / "out" / "few.json")]
    assert cli.main([*few, "--predictions", str(tmp_path / "kept")]) == 0
    capsys.readouterr()
    reports = [str(tmp_path / "out" / name) for name in ("few.json", "report.json")]
    assert cli.main(["evaluate", "--compare", *reports]) == 0
    said = capsys.readouterr().out
    assert "1 only here" in said
    assert "| mIoU" in said
    assert "equal in 2" in said


def test_every_setting_that_differs_from_an_earlier_run_is_named(tmp_path, capsys):
    evaluate(tmp_path, "--setting", "examples", "--limit", 1, "--batch", 1)
    evaluate(tmp_path, "--setting", "examples", "--limit", 1, "--method", "clip", code=2)
    assert re.search(r"expected a run with batch = 8, got 1; also different: .*method", capsys.readouterr().err)


def test_data_that_were_repaired_or_exchanged_are_scored_again(tmp_path):
    first, second = voc_prepared(tmp_path / "first"), voc_prepared(tmp_path / "second")
    mask = first / "VOC2012/annotations_detectron2/val/a.png"
    kept = mask.read_bytes()
    mask.unlink()
    assert evaluate(tmp_path, "--setting", "voc20", "--data", first, code=2)["pictures"]["scored"] == 2
    mask.write_bytes(kept)
    report = evaluate(tmp_path, "--setting", "voc20", "--data", first)
    assert report["pictures"]["scored"] == 3
    assert (report["run"]["images"], report["run"]["resumed"]) == (1, 2)
    report = evaluate(tmp_path, "--setting", "voc20", "--data", second)
    assert report["run"]["resumed"] == 0, "the same names below another root are other pictures"


def test_a_run_whose_pictures_all_have_records_says_so(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    evaluate(tmp_path, "--setting", "voc20", "--data", root)
    assert "pictures a second -> " in capsys.readouterr().out
    evaluate(tmp_path, "--setting", "voc20", "--data", root)
    told = capsys.readouterr()
    assert "all 3 pictures from the records of earlier runs -> " in told.out
    assert "a second" not in told.out
    assert "image/s" not in told.err, "an empty bar"


def test_masks_that_cannot_be_used_are_said_before_a_model_is_loaded(tmp_path, monkeypatch, capsys):
    root = voc_prepared(tmp_path)
    for mask in (root / VOC[1]).iterdir():
        mask.write_bytes(b"")
    monkeypatch.setattr(parser, "_load", None)
    evaluate(tmp_path, "--setting", "voc20", "--data", root, code=2)
    assert "none of 3 that were opened. The first, 'a': file 'a.png': expected a PNG" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_in_which_nothing_counts_says_so_by_its_exit_code_and_still_reports(tmp_path, capsys):
    folder = tmp_path / "VOC2012"
    write_picture(tmp_path / VOC[0] / "a.jpg", np.random.default_rng(0), (40, 200))
    mask = np.full((40, 200), 255)
    mask[:, :20] = 3  # outside the crop
    write_mask(tmp_path / VOC[1] / "a.png", mask)
    evaluate(tmp_path, "--setting", "voc20", "--data", folder, code=2)
    assert "no figures" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(values(report).values()) == {None}


def test_a_name_that_is_no_utf_8_does_not_cost_the_report(tmp_path):
    root = voc_prepared(tmp_path) / "VOC2012"
    odd = os.fsencode(root / "images_detectron2/val") + b"/caf\xe9.jpg"
    try:
        with open(odd, "wb") as file:
            file.write((root / "images_detectron2/val/a.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    report = evaluate(tmp_path, "--setting", "voc20", "--data", root, code=2)
    assert report["pictures"]["problems"][0]["key"] == os.fsdecode(b"caf\xe9")
    assert b"caf\\udce9" in (tmp_path / "out" / "report.md").read_bytes()


def test_pictures_that_cannot_be_used_are_counted_listed_and_printed(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    (root / "VOC2012/annotations_detectron2/val/a.png").unlink()
    (root / "VOC2012/images_detectron2/val/b.jpg").write_bytes(b"no picture at all")
    report = evaluate(tmp_path, "--setting", "voc20", "--data", root, "--limit", 3, code=2)
    assert (report["pictures"]["listed"], report["pictures"]["scored"]) == (3, 1)
    assert [problem["key"] for problem in report["pictures"]["problems"]] == ["a", "b"]
    assert "2 of 3 pictures could not be used" in capsys.readouterr().err
    assert "`a`" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("in_a_file", [False, True])
def test_folders_of_one_s_own_are_scored_whole_by_arguments(tmp_path, nano, in_a_file):
    root = voc_prepared(tmp_path) / "VOC2012"
    words = "; ".join(f"thing {number}" for number in range(20))
    folders = ["--images", root / "images_detectron2/val", "--masks", root / "annotations_detectron2/val"]
    (tmp_path / "words.txt").write_text(words.replace("; ", "\n"), encoding="utf-8")
    report = evaluate(tmp_path, *folders, "--vocabulary", f"@{tmp_path / 'words.txt'}" if in_a_file else words)
    hit = true = 0
    for name in "abc":
        labels = nano.segment(
            nano.encode(root / f"images_detectron2/val/{name}.jpg"), words, templates=TEMPLATES
        ).labels
        truth = np.array(Image.open(root / f"annotations_detectron2/val/{name}.png"))
        hit += int((labels == truth)[truth != 255].sum())
        true += int((truth != 255).sum())
    assert values(report)["pAcc"] == pytest.approx(100 * hit / true)
    assert report["column"] == "whole, auto"


def test_a_sliding_run_scores_the_whole_picture_and_says_so(tmp_path):
    root = voc_devkit(tmp_path)
    report = evaluate(tmp_path, "--setting", "voc21", "--data", root, "--protocol", "mmseg-slide", "--limit", 1)
    assert set(values(report)) == {"aAcc", "mAcc", "mIoU"}
    assert report["column"] == "mmseg-slide, templates simple7"
    assert report["setup"]["slide"] == {
        "short_side": 336,
        "temperature": 65,
        "threshold": 0.1,
        "least_area": 0.1,
        "window": 224,
        "stride": 112,
        "positions": "size",
        "pamr": False,
        "background_words": True,
    }
    assert report["setup"]["switches"]["pairs"] == ["qq", "kk", "vv"]
    mask = np.array(Image.open(root / "VOCdevkit/VOC2012/SegmentationClass/a.png"))
    assert sum(row["true"] for row in report["classes"]) == (mask != 255).sum()


@pytest.mark.parametrize(
    ("arguments", "list_"),
    [
        (["--protocol", "mmseg-slide"], "sclip"),
        (["--protocol", "mmseg-slide", "--words", "published"], "published"),
        (["--words", "clearclip"], "clearclip"),
        ([], "published"),
    ],
)
def test_whose_words_were_used_stands_in_the_report(tmp_path, arguments, list_):
    report = evaluate(tmp_path, "--setting", "voc20", "--data", voc_prepared(tmp_path), "--limit", 1, *arguments)
    assert report["setup"]["word_list"] == list_
    words = setting_words("voc20", list_)
    assert report["setup"]["words_sha256"] == sha256_of([list(words.prompts), list(words.prompt_labels)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--setting", "nothing"], "setting: expected one of coco171"),
        (["--setting", "nothing"], "pc60, cityscapes, examples, got 'nothing'"),
        (["--setting", "voc20"], "Give --data ROOT"),
        (["--setting", "pc59", "--data", "ROOT"], "pcontext"),
        (
            ["--setting", "voc20", "--data", "ROOT", "--vocabulary", "cat; dog"],
            "expected 20 classes without background",
        ),
        (["--setting", "voc20", "--data", "ROOT", "--protocol", "whole"], "protocol: expected one of paper"),
        (["--setting", "voc20", "--data", "ROOT", "--preset", "auto"], "preset of protocol paper"),
        (
            ["--setting", "voc20", "--data", "ROOT", "--protocol", "mmseg-slide", "--reference-quirks"],
            "reference quirks",
        ),
        (["--setting", "voc20", "--data", "ROOT", "--protocol", "mmseg-slide", "--vote"], "sliding windows: expected"),
        (["--setting", "examples", "--reference-quirks"], "reference quirks"),
        (
            ["--setting", "voc20", "--images", "x"],
            "expected --setting, or --images with --masks, or --data alone, got both",
        ),
        (["--setting", "examples", "--limit", "0"], "limit: expected at least 1"),
        (["--setting", "voc20", "--data", "ROOT", "--first", "1"], "got --first with voc20"),
        (["--setting", "examples", "--data", "ROOT"], "got --data with examples"),
        (["--setting", "examples", "--vocabulary", "cat; dog"], "examples have their own words"),
        (["--setting", "mine.yaml", "--vocabulary", "cat; dog"], "it in the file"),
        (["--setting", "mine.yaml", "--ignored", "3"], "got --ignored with mine.yaml"),
        (["--setting", "mine.yaml", "--words", "sclip"], "got --words with mine.yaml"),
        (["--setting", "examples", "--words", "published"], "got --words with examples"),
        (["--setting", "voc20", "--data", "ROOT", "--words", "sclip", "--vocabulary", "cat"], "without --vocabulary"),
        (
            ["--setting", "pc459", "--data", "ROOT", "--words", "sclip"],
            "words of pc459: expected one of published",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line_and_exit_code_2(tmp_path, capsys, arguments, said):
    root = voc_prepared(tmp_path)
    evaluate(tmp_path, *(root if argument == "ROOT" else argument for argument in arguments), code=2)
    error = capsys.readouterr().err
    assert said in error
    assert not (tmp_path / "out" / "report.json").exists()


def test_check_runs_nothing_and_prints_what_is_there(tmp_path, capsys):
    assert cli.main(["evaluate", "--check", "--data", str(voc_prepared(tmp_path)), "--setting", "voc20"]) == 0
    assert "3 pictures, complete" in capsys.readouterr().out


def test_an_output_that_is_no_report_is_refused(tmp_path, capsys):
    evaluate(tmp_path, "--setting", "examples", name="report.txt", code=2)
    assert "ends in .json" in capsys.readouterr().err


def test_masks_that_are_read_another_way_are_another_run(tmp_path, capsys):
    root = voc_prepared(tmp_path) / "VOC2012"
    folders = ["--images", root / "images_detectron2/val", "--masks", root / "annotations_detectron2/val"]
    words = "; ".join(f"thing {number}" for number in range(20))
    evaluate(tmp_path, *folders, "--vocabulary", words, "--limit", 1)
    evaluate(tmp_path, *folders, "--vocabulary", words, "--limit", 1, "--ignored", 255, 77, code=2)
    assert "a run with numbers =" in capsys.readouterr().err
