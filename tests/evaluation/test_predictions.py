"""Predictions as files: written, read back, of other programs; and paired comparison of two reports."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation import sheets
from cliptrase_core.evaluation.metrics import RESAMPLES, SEED
from cliptrase_core.evaluation.predictions import FilePredictor, file_names, read_facts, to_png
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.masks import IGNORED, read_numbers
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_devkit, voc_prepared, write_dataset, write_mask


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    """Load nano once for all commands of this file, and draw no sheets, because they run the model again."""
    monkeypatch.setattr(sheets, "ROWS", 0)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


def evaluate(tmp_path, *arguments, name="report.json", code=0, templates=("--templates", "simple7")):
    output = tmp_path / "out" / name
    assert cli.main(["evaluate", *map(str, arguments), *templates, "--output", str(output)]) == code
    return json.loads(output.read_text(encoding="utf-8")) if output.exists() else None


def score(tmp_path, *arguments, **settings):
    return evaluate(tmp_path, *arguments, templates=(), **settings)


def values(report):
    return {name: entry["value"] for name, entry in report["figures"].items()}


def no_model(*_):
    pytest.fail("a model was loaded")


VOC20 = ("--setting", "voc20", "--data")


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ((), (224, 224)),
        (("--preset", "paper-336"), (336, 336)),
        (("--protocol", "mmseg-slide", "--limit", 1), (60, 80)),
        (("--reference-quirks",), (224, 224)),
    ],
)
def test_predictions_that_were_saved_score_as_the_run_did(tmp_path, monkeypatch, arguments, size):
    root, kept = voc_prepared(tmp_path), tmp_path / "kept"
    told = evaluate(tmp_path, *VOC20, root, "--limit", 2, *arguments, "--save-predictions", kept)
    assert read_numbers(kept / "a.png").shape == size
    facts = json.loads((kept / "predictions.json").read_text())
    assert facts["classes"][0] == "aeroplane"
    assert "background" not in facts
    monkeypatch.setattr(Segmenter, "from_pretrained", no_model)
    monkeypatch.setattr(sheets, "ROWS", 1)
    found = score(tmp_path, *VOC20, root, "--limit", 2, *arguments, "--predictions", kept, name="again.json")
    assert values(found) == values(told)
    assert [row["given"] for row in found["classes"]] == [row["given"] for row in told["classes"]]
    assert found["setup"]["predictions"]["method"]["method"] == "cliptrase"
    assert (tmp_path / "out" / "again.best.png").is_file()


def test_the_bundled_examples_too_though_each_has_words_of_its_own(tmp_path):
    told = evaluate(tmp_path, "--setting", "examples", "--limit", 2, "--save-predictions", tmp_path / "kept")
    found = score(
        tmp_path, "--setting", "examples", "--limit", 2, "--predictions", tmp_path / "kept", name="again.json"
    )
    assert values(found) == values(told)


def made(folder, root, number, *, mode=np.uint8, pattern="{}.png"):
    """Write VOC's masks as perfect predictions of another program, renumbered by `number`; return the folder."""
    masks = root / "VOCdevkit/VOC2012/SegmentationClass"
    for path in sorted(masks.glob("*.png")):
        raw = read_numbers(path)
        target = folder / pattern.format(path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(number(raw).astype(mode)).save(target)
    return folder


@pytest.mark.parametrize(
    ("background", "number"),
    [("first", lambda raw: np.where(raw == 255, 0, raw)), ("last", lambda raw: np.where(raw == 255, 20, raw - 1) % 21)],
)
@pytest.mark.parametrize("pattern", ["{}.png", "voc/run 3/{}.png"])
def test_predictions_of_other_programs_score_by_their_own_numbers(tmp_path, background, number, pattern):
    root = voc_devkit(tmp_path)
    folder = made(tmp_path / "theirs", root, number, pattern=pattern)
    folder = folder / "voc/run 3" if "/" in pattern else folder
    voc21 = ("--setting", "voc21", "--data", root, "--protocol", "mmseg-slide", "--predictions", folder)
    assert values(score(tmp_path, *voc21, "--predicted-background", background))["mIoU"] == pytest.approx(100)


def test_a_background_that_could_be_either_number_is_asked_for(tmp_path, capsys):
    root = voc_devkit(tmp_path)
    folder = made(tmp_path / "theirs", root, lambda raw: np.where(raw == 255, 0, raw))
    score(tmp_path, "--setting", "voc21", "--data", root, "--predictions", folder, code=2)
    assert "Give --predicted-background first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b""), "got an empty file"),
        (lambda path: path.write_bytes(b"GIF89a" * 9), "got another kind of file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "prediction 'b.png'|file 'b.png'"),
        (lambda path: Image.new("RGB", (64, 90)).save(path), "one in colours"),
        (lambda path: Image.new("L", (9, 9)).save(path), "expected 90 x 64 or 224 x 224, got 9 x 9"),
        (lambda path: Image.new("L", (64, 90), 20).save(path), "0 to 19, or 255 for none of the classes, got also 20"),
    ],
)
def test_a_prediction_that_cannot_be_used_is_listed_and_the_rest_counts(tmp_path, spoil, said):
    root = voc_prepared(tmp_path)
    masks = root / "VOC2012/annotations_detectron2/val"
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path in masks.iterdir():
        Image.fromarray(read_numbers(path).astype(np.uint8)).save(folder / path.name)
    spoil(folder / "b.png")
    report = score(tmp_path, *VOC20, root, "--predictions", folder, code=2)
    (problem,) = report["pictures"]["problems"]
    assert problem["key"] == "b"
    assert any(part in problem["why"] for part in said.split("|"))
    assert values(report)["pAcc"] == pytest.approx(100), "255 in a prediction meets 255 in the truth"


def test_a_prediction_that_changed_is_scored_again(tmp_path):
    root = voc_prepared(tmp_path)
    folder = root / "VOC2012/annotations_detectron2/val"
    first = score(tmp_path, *VOC20, root, "--predictions", folder)
    (tmp_path / "theirs").mkdir()
    for path in folder.iterdir():
        shutil.copy2(path, tmp_path / "theirs")
    Image.new("L", (80, 60), 255).save(tmp_path / "theirs/a.png")
    second = score(tmp_path, *VOC20, root, "--predictions", tmp_path / "theirs")
    assert (second["run"]["images"], second["run"]["resumed"]) == (1, 2)
    assert values(second) != values(first)


def test_a_run_goes_on_where_a_prediction_is_missing_and_refuses_another_run_s(tmp_path, capsys):
    root, kept = voc_prepared(tmp_path), tmp_path / "kept"
    evaluate(tmp_path, *VOC20, root, "--batch", 1, "--limit", 1)
    arguments = (*VOC20, root, "--batch", 1, "--save-predictions", kept)
    assert evaluate(tmp_path, *arguments)["run"]["images"] == 3, "records alone are no predictions"
    before = (kept / "c.png").read_bytes()
    (kept / "c.png").unlink()
    again = evaluate(tmp_path, *arguments)
    assert (again["run"]["images"], again["run"]["resumed"]) == (1, 2)
    assert (kept / "c.png").read_bytes() == before
    evaluate(tmp_path, *arguments, "--method", "clip", name="other.json", code=2)
    assert "--save-predictions" in capsys.readouterr().err
    evaluate(tmp_path, *arguments, "--method", "clip", "--limit", 1, "--fresh", name="other.json")


def test_labels_of_a_growing_limit_are_made_once(tmp_path):
    root, kept = voc_prepared(tmp_path), tmp_path / "kept"
    paces, times = [], []
    for limit in (1, 2, 3):
        report = evaluate(tmp_path, *VOC20, root, "--batch", 1, "--limit", limit, "--save-predictions", kept)
        paces.append((report["run"]["images"], report["run"]["resumed"]))
        times.append((kept / "a.png").stat().st_mtime_ns)
    assert paces == [(1, 0), (1, 1), (1, 2)]
    assert len(set(times)) == 1
    assert {path.name for path in kept.glob("*.png")} == {"a.png", "b.png", "c.png"}


@pytest.mark.parametrize("folder", ["images", "masks", "images/kept", "masks/../images"])
def test_predictions_are_never_saved_among_the_data(tmp_path, monkeypatch, capsys, folder):
    write_dataset(tmp_path / "images", tmp_path / "masks", lambda rng: np.array([0, 1]))
    before = sorted(tmp_path.rglob("*"))
    own = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--vocabulary", "cat; dog")
    monkeypatch.setattr(Segmenter, "from_pretrained", lambda *_, **__: no_model())
    evaluate(tmp_path, *own, "--save-predictions", tmp_path / folder, code=2)
    assert "outside those of the data's pictures and masks" in capsys.readouterr().err
    assert sorted({*tmp_path.rglob("*")} - {tmp_path / "out", *(tmp_path / "out").iterdir()}) == before


@pytest.mark.parametrize("folder", ["images", "masks", "images/out"])
@pytest.mark.parametrize("more", [(), ("--methods", "clip,sclip"), ("--between", "sclip", "gem")])
def test_a_report_is_never_written_among_the_data(tmp_path, monkeypatch, capsys, folder, more):
    """Its sheets would be pictures of the data set in the next run."""
    write_dataset(tmp_path / "images", tmp_path / "masks", lambda rng: np.array([0, 1]))
    before = sorted(tmp_path.rglob("*"))
    own = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--vocabulary", "cat; dog")
    monkeypatch.setattr(Segmenter, "from_pretrained", lambda *_, **__: no_model())
    evaluate(tmp_path, *own, *more, name=f"../{folder}/r.json", code=2)
    said = capsys.readouterr().err
    assert "output: expected a folder outside those of the data's pictures and masks, got " in said
    assert said.endswith("Choose another --output.\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["b.png", "predictions.json"])
def test_a_file_of_another_program_is_never_replaced(tmp_path, capsys, name):
    root, kept = voc_prepared(tmp_path), tmp_path / "kept"
    kept.mkdir()
    Image.new("L", (4, 4)).save(kept / "b.png")
    (kept / "b.png").rename(kept / name)
    before = (kept / name).read_bytes()
    for more in ((), ("--fresh",)):
        evaluate(tmp_path, *VOC20, root, "--save-predictions", kept, *more, code=2)
    assert f"output '{name}': expected no file of that name" in capsys.readouterr().err
    assert (kept / name).read_bytes() == before
    assert [path.name for path in kept.iterdir()] == [name]


@pytest.mark.parametrize(
    "keys",
    [
        ("a", "A"),
        ("caf\u00e9", "cafe\u0301"),
        ("x", "x.png/y"),
        ("../../up", "/elsewhere/up", "a/../b"),
        ("stra\u00dfe", "STRASSE", "strasse"),
        ("predictions.json/a", "b"),
        ("a" * 240 + "/x", "A" * 240 + "/x"),
        ("c:x", "a\\b", "bad\udce9"),
    ],
)
def test_names_of_files_cannot_collide_or_leave_the_folder(tmp_path, keys):
    names = file_names(keys)
    folded = [name.casefold() for name in names.values()]
    assert len(set(folded)) == len(keys)
    for name in names.values():
        path = tmp_path / "home" / name
        assert (tmp_path / "home").resolve() in path.resolve().parents
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert file_names(keys) == names


def test_ordinary_names_stay_what_they_are():
    assert file_names(["a", "city/b", "2007_000033", "\u732b"]) == {
        "a": "a.png",
        "city/b": "city/b.png",
        "2007_000033": "2007_000033.png",
        "\u732b": "\u732b.png",
    }


@pytest.mark.parametrize(("classes", "bits", "none"), [(3, 8, 255), (255, 8, 255), (256, 16, 65535), (847, 16, 65535)])
def test_beyond_255_labels_a_number_has_16_bits(tmp_path, classes, bits, none):
    labels = np.array([[0, classes - 1, IGNORED]], np.int32)
    (tmp_path / "a.png").write_bytes(to_png(labels, classes))
    assert read_numbers(tmp_path / "a.png").tolist() == [[0, classes - 1, none]]
    with PngImagePlugin.PngImageFile(tmp_path / "a.png") as image:
        assert image.mode.startswith("I;16" if bits == 16 else "L")
    predictor = FilePredictor(tmp_path, ["a"], [str(number) for number in range(classes)], None, None)
    read = predictor._labels(read_numbers(tmp_path / "a.png"), "a.png")
    np.testing.assert_array_equal(read, labels)


def test_names_of_pictures_are_tried_too_where_they_are_clear(tmp_path):
    for name in ("frankfurt_1_leftImg8bit.png", "b.png"):
        Image.new("L", (2, 2)).save(tmp_path / name)
    keys = ["frankfurt/frankfurt_1", "x/b", "y/b"]
    pictures = dict(zip(keys, ("frankfurt_1_leftImg8bit.png", "b.jpg", "b.jpg"), strict=True))
    predictor = FilePredictor(tmp_path, keys, ["cat"], None, None, pictures)
    assert predictor.stamp(keys[0]) != (0, 0)
    assert predictor.stamp("x/b") == predictor.stamp("y/b") == (0, 0), "which of them it is cannot be known"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "clip"), "got --method"),
        (("--templates", "simple7"), "got --templates"),
        (("--no-vote",), "got --no-vote"),
        (("--image-prior",), "got --image-prior"),
        (("--words", "sclip"), "got --words"),
        (("--short-side", "336"), "got --short-side"),
        (("--save-predictions", "x"), "got --save-predictions"),
        (("--model", "ViT-B-16"), "model: expected none"),
        (("--pretrained", "openai"), "pretrained: expected none"),
        (("--predicted-background", "first"), "predicted background: expected none"),
        ((), "expected files such as 'a.png', got no PNG"),
    ],
)
def test_what_files_cannot_heed_is_refused(tmp_path, capsys, arguments, said):
    if "--predicted-background" in arguments:
        (tmp_path / "theirs").mkdir()
        Image.new("L", (2, 2)).save(tmp_path / "theirs/a.png")
    root = voc_prepared(tmp_path)
    score(tmp_path, *VOC20, root, "--predictions", tmp_path / "theirs", *arguments, code=2)
    assert said in capsys.readouterr().err


def test_predictions_of_other_classes_are_refused(tmp_path, capsys):
    root = voc_devkit(voc_prepared(tmp_path))
    evaluate(tmp_path, *VOC20, root, "--save-predictions", tmp_path / "kept", "--limit", 1)
    voc21 = ("--setting", "voc21", "--data", root, "--predictions", tmp_path / "kept", "--limit", 1)
    score(tmp_path, *voc21, name="other.json", code=2)
    assert "expected those of the same classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        '{"format": 7}',
        '{"format": "cliptrase-lab predictions"}',
        '{"format": "cliptrase-lab predictions", "classes": 5, "setup": {}}',
        '{"format": "cliptrase-lab predictions", "classes": ["cat"], "setup": 3}',
        '{"format": "cliptrase-lab predictions", "classes": ["cat"], "setup": {}, "background": [1]}',
    ],
)
def test_a_damaged_list_of_what_made_predictions_says_nothing(tmp_path, content):
    (tmp_path / "predictions.json").write_text(content)
    assert read_facts(tmp_path) is None


def compare(capsys, first, second, code=0):
    capsys.readouterr()
    assert cli.main(["evaluate", "--compare", str(first), str(second)]) == code
    out, error = capsys.readouterr()
    return error if code else out


def counted(root, folder):
    """Return (pictures, 20, 21) pixel counts by true and predicted class; the last column is no class."""
    found = []
    for mask in sorted((root / "VOC2012/annotations_detectron2/val").iterdir()):
        truth, given = read_numbers(mask), read_numbers(folder / mask.name)
        matrix = np.zeros((20, 21), int)
        for t, g in zip(truth.ravel(), given.ravel(), strict=True):
            if t != 255:
                matrix[t, min(g, 20)] += 1
        found.append(matrix)
    return np.array(found)


def miou(matrix):
    hit, true, given = np.diagonal(matrix), matrix.sum(1), matrix[:, :20].sum(0)
    return 100 * np.mean((hit / np.maximum(1, true + given - hit))[true > 0])


def test_differences_are_paired_and_their_intervals_those_of_a_loop(tmp_path, capsys):
    names = tuple("abcdefgh"[:3])
    root = tmp_path
    home = root / "VOC2012"
    write_dataset(
        home / "images_detectron2/val",
        home / "annotations_detectron2/val",
        lambda rng: np.array([255, *rng.choice(20, 4, replace=False)]),
        names=names,
    )
    rng = np.random.default_rng(5)
    for place, folder in enumerate(("p", "q")):
        (root / folder).mkdir()
        for mask in sorted((home / "annotations_detectron2/val").iterdir()):
            truth = read_numbers(mask)
            wrong = rng.random(truth.shape) < (0.5, 0.2)[place]
            given = np.where(wrong, 255, truth)
            Image.fromarray(given.astype(np.uint8)).save(root / folder / mask.name)
    words = "; ".join(setting_words("voc20").class_names)
    own = ("--images", home / "images_detectron2/val", "--masks", home / "annotations_detectron2/val")
    for folder in "pq":
        score(tmp_path, *own, "--vocabulary", words, "--predictions", root / folder, name=f"{folder}.json")
    text = compare(capsys, tmp_path / "out/p.json", tmp_path / "out/q.json")
    before, after = counted(root, root / "p"), counted(root, root / "q")
    rng, drawn = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES):
        times = rng.multinomial(3, np.full(3, 1 / 3))[:, None, None]
        drawn.append(miou((times * after).sum(0)) - miou((times * before).sum(0)))
    gain = miou(after.sum(0)) - miou(before.sum(0))
    low, high = np.percentile(drawn, (2.5, 97.5)) + gain - np.median(drawn)
    assert f"| {gain:+.2f} | {low:+.2f} to {high:+.2f} |" in text
    assert "3 pictures in both" in text
    assert "b is better in 3, worse in 0, equal in 0" in text


def test_a_picture_without_a_pixel_that_counts_is_left_out_and_compared_with_nothing(tmp_path, capsys):
    root, kept = voc_prepared(tmp_path), tmp_path / "kept"
    masks = root / "VOC2012/annotations_detectron2/val"
    write_mask(masks / "b.png", np.full((90, 64), 255))
    report = score(tmp_path, *VOC20, root, "--predictions", masks)
    assert report["pictures"]["keys"] == ["a", "c"]
    assert report["pictures"]["left_out"] == [{"key": "b", "why": "no pixel that counts"}]
    text = compare(capsys, tmp_path / "out/report.json", tmp_path / "out/report.json")
    assert "2 pictures in both" in text
    assert "worse in 0, equal in 2" in text
    assert "b is better in 0" in text
    line = (*VOC20, root, "--save-predictions", kept)
    assert evaluate(tmp_path, *line, name="own.json")["run"]["images"] == 3
    assert evaluate(tmp_path, *line, name="own.json")["run"]["images"] == 0, "it has a record"
    (kept / "b.png").unlink()
    assert evaluate(tmp_path, *line, name="own.json")["run"]["images"] == 1
    assert (kept / "b.png").is_file(), "labels are saved of every picture"


def test_a_report_equals_itself_and_what_only_one_has_is_counted(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    given = (*VOC20, root, "--predictions", root / "VOC2012/annotations_detectron2/val")
    score(tmp_path, *given)
    score(tmp_path, *given, "--limit", 2, "--batch", 1, name="two.json")
    text = compare(capsys, tmp_path / "out/report.json", tmp_path / "out/two.json")
    assert "1 only here" in text
    assert "2 pictures in both" in text
    assert "equal in 2" in text
    assert "| +0.00 | +0.00 to +0.00 |" in text


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (("--preset", "paper-336"), "different ground truth for 'a'"),
        (("--protocol", "mmseg-slide"), "expected two whose figures follow the same rules, got"),
        (("--reference-quirks",), "whose figures follow other rules"),
    ],
)
def test_figures_of_other_pixels_are_not_subtracted(tmp_path, capsys, other, said):
    root = voc_prepared(tmp_path)
    given = (*VOC20, root, "--limit", 1, "--predictions", root / "VOC2012/annotations_detectron2/val")
    score(tmp_path, *given)
    score(tmp_path, *given, *other, name="other.json")
    assert said in compare(capsys, tmp_path / "out/report.json", tmp_path / "out/other.json", code=2)


def emptied(path):
    for part in path.with_name("report.records").iterdir():
        part.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "expected a report of evaluate, got another file"),
        (lambda path: path.write_text('{"format": "cliptrase-lab evaluation"}'), "got another file"),
        (lambda path: path.write_text("[" * 100_000), "got another file"),
        (
            lambda path: path.write_text('{"format": "cliptrase-lab methods"}'),
            "got the table of --methods. Give",
        ),
        (
            lambda path: path.write_text('{"format": "cliptrase-lab between"}'),
            "got the table of --between. Give",
        ),
        (lambda path: path.write_text(path.read_text().replace('"keys"', '"names"')), "got another file"),
        (emptied, "the records that its figures follow from, in 'report.records', got 0 of 1"),
        (lambda path: path.write_text(path.read_text().replace('"value": ', '"value": 1')), "got others"),
    ],
)
def test_a_report_that_cannot_be_compared_says_why(tmp_path, capsys, spoil, said):
    root = voc_prepared(tmp_path)
    score(tmp_path, *VOC20, root, "--limit", 1, "--predictions", root / "VOC2012/annotations_detectron2/val")
    path = tmp_path / "out/report.json"
    spoil(path)
    assert said in compare(capsys, path, path, code=2)


def test_a_comparison_takes_nothing_else(tmp_path, capsys):
    for more in (["--setting", "voc20"], ["--output", "x.json"], ["--limit", "3"], ["--first", "0"], ["--batch", "64"]):
        assert cli.main(["evaluate", "--compare", "a.json", "b.json", *more]) == 2
        assert f"got {more[0]}" in capsys.readouterr().err
    for more in (["--model", "ViT-L-14"], ["--precision", "bf16"], ["--pretrained", "x.pt"]):
        assert cli.main(["evaluate", "--compare", "a.json", "b.json", *more]) == 2
        assert f"none, since no model runs, got {more[1]!r}. Leave out {more[0]}." in capsys.readouterr().err


def test_one_picture_has_no_interval(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    score(tmp_path, *VOC20, root, "--limit", 1, "--predictions", root / "VOC2012/annotations_detectron2/val")
    assert "no interval" in compare(capsys, tmp_path / "out/report.json", tmp_path / "out/report.json")


def test_a_predictor_that_finds_nothing_names_what_it_wants(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match=r"files such as 'a\.png', got 1 other PNGs"):
        FilePredictor(tmp_path, ["a"], ["cat"], None, None)
