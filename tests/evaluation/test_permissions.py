"""Folders without permission among the data, such as the `lost+found` of a disk."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.data import check, find_data
from cliptrase_core.evaluation.readers.registry import recognised
from cliptrase_core.evaluation.request import Request
from tests.datasets import voc_devkit
from tests.evaluation.readers.sets import CASES

READ_ANYTHING = 1 << 1 | 1 << 2
"""Linux capabilities DAC_OVERRIDE and DAC_READ_SEARCH, which let root ignore permissions."""


def capabilities() -> np.ndarray:
    """Return three words, effective first, for each half of the capabilities of this thread."""
    words = np.zeros(6, np.uint32)
    call("capget", words)
    return words


def call(name: str, words: np.ndarray) -> None:
    head = np.array([0x20080522, 0], np.uint32)
    places = [array.ctypes.data_as(ctypes.c_void_p) for array in (head, words)]
    assert getattr(ctypes.CDLL(None), name)(*places) == 0


@pytest.fixture
def closed(monkeypatch):
    """Return a function that takes all permissions from a folder until the test ends; they count for root too."""
    if os.name != "posix":
        pytest.skip("no permissions of this kind")
    before, folders = None, []
    if os.geteuid() == 0:
        if not hasattr(ctypes.CDLL(None), "capset"):
            pytest.skip("root reads everything")
        before = capabilities()
        less = before.copy()
        less[0] &= ~np.uint32(READ_ANYTHING)
        call("capset", less)

    def close(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0)
        folders.append(folder)

    yield close
    for folder in folders:
        folder.chmod(0o700)
    if before is not None:
        call("capset", before)


def test_a_closed_folder_beside_a_data_set_does_not_matter(tmp_path, closed):
    CASES["CVAT masks"].write(tmp_path / "export")
    closed(tmp_path / "lost+found")
    with pytest.raises(PermissionError):
        os.listdir(tmp_path / "lost+found")
    assert len(recognised(tmp_path, None).pairs()) == 3
    lines = list(check(None, tmp_path))
    assert any("+ labelmap: " in line for line in lines)


def test_a_closed_folder_beside_a_benchmark_does_not_matter(tmp_path, closed):
    root = voc_devkit(tmp_path)
    closed(root / "lost+found")
    assert len(find_data(Request("voc20", root=root)).pairs) == 3
    with pytest.raises(InputError, match="got setting voc20, setting voc21"):
        recognised(root, None)


@pytest.mark.parametrize("place", ["", "VOC2012", "VOC2012/SegmentationClass"])
def test_data_in_a_closed_folder_are_missing(tmp_path, closed, place):
    root = voc_devkit(tmp_path)
    closed(root / "VOCdevkit" / place)
    assert not any(line.startswith("  + ") and "missing" not in line for line in check(None, root))
    with pytest.raises(InputError, match="data of voc20"):
        find_data(Request("voc20", root=root))


def test_listed_pictures_in_a_closed_folder_are_missing(tmp_path, closed):
    root = voc_devkit(tmp_path)
    closed(root / "VOCdevkit/VOC2012/JPEGImages")
    assert any("3 pictures and 0 masks are missing" in line for line in check("voc20", root))
    with pytest.raises(InputError, match=r"file 'a\.jpg'"):
        find_data(Request("voc20", root=root)).source.load(0)


def test_closed_data_are_refused_in_a_line(tmp_path, closed):
    root = tmp_path / "data"
    closed(root)
    for attempt in (lambda: list(check(None, root)), lambda: find_data(Request("voc20", root=root))):
        with pytest.raises(InputError, match="expected a folder that may be listed, got .* .Permission denied.*owner"):
            attempt()
