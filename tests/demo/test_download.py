"""The archive of a result: its content, and its command line, which gives the same labels."""

from __future__ import annotations

import io
import shlex
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptrase_core import cli
from demo.errors import UserError
from demo.service import DisplayState, Refinement, SegmentRequest, bundle
from demo.service.saved import Saved, packed_name, read_archive


@pytest.fixture
def photo(tmp_path, picture):
    path = tmp_path / "my photo; rm -rf $HOME.png"
    Image.fromarray(picture).save(path)
    return str(path)


def opened(service, photo, asked):
    cut = service.segment(photo, asked)
    name, content = bundle(service, cut.run, photo)
    return cut.result, name, zipfile.ZipFile(io.BytesIO(content))


def test_the_archive_holds_masks_picture_settings_and_the_way_back(service, photo):
    result, name, archive = opened(service, photo, SegmentRequest("cat, kitten; dog | background: wall"))
    assert archive.testzip() is None
    kinds = sorted(Path(entry).suffixes[-2:] for entry in archive.namelist())
    assert len(kinds) == 6
    assert archive.read(packed_name(photo)) == Path(photo).read_bytes()
    assert "/" not in name
    assert name.endswith(".zip")
    labels = next(entry for entry in archive.namelist() if entry.endswith(".labels.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(archive.open(labels))), result.labels)


@pytest.mark.parametrize(
    "asked",
    [
        SegmentRequest("cat; dog"),
        SegmentRequest("--cat; $(dog) 'quoted' | background: wall"),
        SegmentRequest("cat; dog\nbackground: wall, floor"),
        SegmentRequest("cat; dog", preset="paper-224", method="clip"),
        SegmentRequest("cat; dog", short_side=160, denoise="dice", eps=0.6, min_samples=2),
        SegmentRequest("cat; dog; tree", templates="openai80", image_prior=True, vote=False, threshold=0.4),
    ],
    ids=lambda asked: repr(asked)[:60],
)
def test_the_command_line_of_a_result_gives_the_same_labels(service, photo, tmp_path, monkeypatch, asked):
    result, _, archive = opened(service, photo, asked)
    command = archive.read("HOW-TO.txt").decode().strip().split("line:\n\n")[1]
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "cliptrase_core", "segment"]
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words[3:]]) == 0
    found = next(tmp_path.glob("out/*.labels.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(found)), result.labels)


@pytest.mark.parametrize(
    ("name", "along"),
    [
        *((name, False) for name in ("dog.json", "dog.JSON", "Dog.npz", "HOW-TO.txt", "how-to.TXT")),
        *((name, True) for name in ("dog.png", "dog.Labels.PNG", "dog.txt", "json")),
    ],
)
def test_a_picture_that_is_called_like_a_result_does_not_go_along_and_the_archive_opens(
    service, photo, tmp_path, name, along
):
    path = shutil.copy(photo, tmp_path / name)
    (tmp_path / "other").mkdir()
    what = DisplayState(service.segment(path, SegmentRequest("cat; dog")).run)
    for refinement in (None, Refinement(what.run, "edges", "prompts")):
        _, content = bundle(service, replace(what, refinement=refinement), path)
        names = [entry.casefold() for entry in zipfile.ZipFile(io.BytesIO(content)).namelist()]
        assert len(set(names)) == len(names)
        (tmp_path / "other" / "result.zip").write_bytes(content)
        saved = read_archive(str(tmp_path / "other" / "result.zip"))
        assert isinstance(saved, Saved)
        assert saved.picture == name
        if along or refinement is None:
            assert (saved.content is not None) == along


def test_a_replaced_picture_is_not_mixed_with_an_older_result(service, photo, picture):
    cut = service.segment(photo, SegmentRequest("cat; dog"))
    Image.fromarray(picture[::-1]).save(photo)
    with pytest.raises(UserError, match="replaced"):
        bundle(service, cut.run, photo)
