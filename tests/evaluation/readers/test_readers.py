"""Data sets in published layouts: recognised by their files, read pixel by pixel, scored like a plain loop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.data import check, check_folders, find_data
from cliptrase_core.evaluation.readers.base import ReadSet, fitting_words
from cliptrase_core.evaluation.readers.registry import READERS, recognised
from cliptrase_core.evaluation.request import Request
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.results import BACKGROUND
from cliptrase_core.segmenter import Segmenter
from cliptrase_core.text.vocabulary import parse_vocabulary
from tests.evaluation.readers.sets import CASES, truth_of


def data_of(case, root, layout=None, **more):
    if case.setting is None:
        return find_data(Request(recognised(root, layout), **more))
    return find_data(Request(case.setting, root=root, layout=layout, **more))


@pytest.mark.parametrize("folder", ["coco", "coco_eval", "train"])
@pytest.mark.parametrize(
    ("names", "scored"),
    [
        (("train2017", "val2017"), "val2017"),
        (("trainval2017", "val2017"), "val2017"),
        (("minival2014", "train2014"), "minival2014"),
        (("train2017", "trainval2017"), "trainval2017"),
        (("train2017", "a_thing"), "train2017"),
    ],
)
def test_of_several_jsons_the_split_to_score_is_read_whatever_the_folder_is_called(tmp_path, folder, names, scored):
    CASES["COCO instances"].write(tmp_path / folder)
    home = tmp_path / folder / "annotations"
    (home / "instances_val2017.json").rename(tmp_path / "one.json")
    for name in names:
        shutil.copy(tmp_path / "one.json", home / f"instances_{name}.json")
    found = recognised(tmp_path / folder, None)
    assert scored in str(found)


OF_READERS = {name: case for name, case in CASES.items() if case.layout is not None}
"""Cases without those in a setting's own layout, which no reader finds and no `--layout` forces."""


@pytest.mark.parametrize(
    ("case", "layout"),
    [*((case, None) for case in CASES.values()), *((case, case.layout) for case in OF_READERS.values())],
    ids=[*CASES, *(f"{name}, forced" for name in OF_READERS)],
)
def test_every_pixel_is_read_as_what_its_owner_drew(tmp_path, case, layout):
    case.write(tmp_path)
    data = data_of(case, tmp_path, layout)
    assert tuple(data.source.keys) == case.keys
    if case.own:
        assert data.words.class_names == case.own
    data.expect_usable()
    for place in range(3):
        sample = data.source.load(place)
        truth = truth_of(place, case.classes)
        for height, row in enumerate(truth.tolist()):
            for width, label in enumerate(row):
                meant = case.means[label]
                meant = data.words.class_names.index(BACKGROUND) if meant == BACKGROUND else meant
                assert sample.ground_truth[height, width] == meant, (place, height, width)
        assert len(data.source.stamp(place)) >= 4


@pytest.mark.parametrize("case", OF_READERS.values(), ids=OF_READERS)
def test_a_data_set_may_lie_in_a_folder_below(tmp_path, case):
    case.write(tmp_path / "unpacked")
    data = data_of(case, tmp_path)
    assert [key.removeprefix("unpacked/") for key in data.source.keys] == list(case.keys)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_check_counts_pictures_and_says_of_other_layouts_what_is_missing(tmp_path, case):
    case.write(tmp_path)
    lines = list(check(case.setting, tmp_path))
    assert any("3 pictures, complete" in line for line in lines), lines
    if case.layout is not None:
        assert any(line.startswith(f"  + {case.layout}: ") for line in lines), lines
    missing = {name for name in READERS if any(line.startswith(f"  - {name}: no ") for line in lines)}
    assert missing == set(READERS) - {case.layout}
    if case.own:
        assert "3 pictures, complete" in list(check_folders(recognised(tmp_path, None)))[1]


def test_the_documentation_has_every_layout():
    text = (Path(__file__).parents[3] / "docs/evaluation.md").read_text(encoding="utf-8")
    assert [name for name in READERS if f"| `{name}` |" not in text] == []
    trees = text.split("| `ade-full` |")[1].split("```")[1]
    assert [name for name in READERS if name not in trees] == []


def test_a_set_of_one_s_own_is_a_read_set(tmp_path):
    CASES["labelme"].write(tmp_path)
    found = recognised(tmp_path, None)
    assert isinstance(found, ReadSet)
    assert found.name == tmp_path.name


def test_own_words_name_each_class_once_however_many_notes_they_have():
    own = parse_vocabulary("; ".join(f"c{number}" for number in range(60)) + " | background: wall")
    words = "; ".join(f"c{number}, thing" for number in range(60))  # each but the first leaves a note
    assert fitting_words(f"{words} | background: wall", own).class_names == own.class_names
    with pytest.raises(InputError, match="each class once"):
        fitting_words(f"background; {words} | background: wall", own)


def counted(case, names, given, mmseg):
    """Compute mIoU by loops over pixels; `given` has the labels (H, W) of each picture."""
    hits, truths, labels = ([0] * len(names) for _ in range(3))
    for place in range(3):
        for row, said in zip(truth_of(place, case.classes).tolist(), given[place].tolist(), strict=True):
            for drawn, label in zip(row, said, strict=True):
                meant = names.index(BACKGROUND) if case.means[drawn] == BACKGROUND else case.means[drawn]
                if meant == IGNORED:
                    continue
                truths[meant] += 1
                labels[label] += 1
                hits[meant] += meant == label
    unions = [true + label - hit for true, label, hit in zip(truths, labels, hits, strict=True)]
    wanted = [place for place, union in enumerate(unions) if (union if mmseg else truths[place])]
    return 100 * sum(hits[place] / unions[place] for place in wanted) / len(wanted)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_predictions_score_as_a_plain_loop_counts_them(tmp_path, capsys, case):
    case.write(tmp_path / "set")
    data = data_of(case, tmp_path / "set")
    names = list(data.words.class_names)
    present = [names.index(BACKGROUND) if label == BACKGROUND else label for label in case.means.values()]
    present = [label for label in present if label != IGNORED] + [len(names) // 2]
    rng = np.random.default_rng(5)
    given = [rng.choice(present, truth_of(place).shape) for place in range(3)]
    for key, labels in zip(case.keys, given, strict=True):
        path = tmp_path / f"given/{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels.astype(np.uint8 if len(names) <= 255 else np.uint16)).save(path)
    line = ["evaluate", "--data", str(tmp_path / "set"), "--predictions", str(tmp_path / "given")]
    line += ["--setting", case.setting, "--protocol", "mmseg-slide"] if case.setting else []
    line += ["--predicted-background", "last"] if BACKGROUND in names else []
    assert cli.main([*line, "--output", str(tmp_path / "out.json")]) == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "out.json").read_text())
    expected = counted(case, names, given, mmseg=case.setting is not None)
    assert report["figures"]["mIoU"]["value"] == pytest.approx(expected, abs=1e-9)
    assert report["pictures"]["scored"] == 3


@pytest.mark.parametrize("name", ["CVAT XML", "labelme in folders", "parquet"])
def test_a_run_of_the_model_scores_as_a_plain_loop_counts_what_it_kept(tmp_path, monkeypatch, nano, name):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))
    case = CASES[name]
    case.write(tmp_path / "set")
    names = list(data_of(case, tmp_path / "set").words.class_names)
    line = ["evaluate", "--data", str(tmp_path / "set"), "--save-predictions", str(tmp_path / "kept")]
    line += ["--setting", case.setting, "--protocol", "mmseg-slide"] if case.setting else []
    assert cli.main([*line, "--templates", "simple7", "--output", str(tmp_path / "out.json")]) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    kept = [np.array(Image.open(tmp_path / f"kept/{key}.png")) for key in case.keys]
    expected = counted(case, names, kept, mmseg=case.setting is not None)
    assert report["figures"]["mIoU"]["value"] == pytest.approx(expected, abs=1e-9)
