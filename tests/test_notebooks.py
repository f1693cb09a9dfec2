"""Notebooks run from top to bottom in an empty folder, and store no outputs."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import cliptrase_core as cc

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))


def cells(path, kind="code"):
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    return [cell for cell in book["cells"] if cell["cell_type"] == kind]


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["walkthrough.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small_and_stores_no_outputs(path):
    assert path.stat().st_size < 20_000
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_cell_of_a_notebook_runs(path, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    names = {"__name__": "__main__"}
    for cell in cells(path):
        exec("".join(cell["source"]), names)
    assert isinstance(names["figure"], Figure)
    # The text describes this: the cat's patch attends to global patches before, and to the cat after.
    assert names["result"].areas["cat"] > 0.2
    assert names["result"].labels[321, 652] == names["result"].class_names.index("cat")
    before, after = (part[names["patch"]] for part in names["maps"].patch_maps(*names["patch"]))
    assert after > before
    written = {file.name: file for file in tmp_path.rglob("*") if file.is_file()}
    assert {"kitten.pdf", "kitten.figure.png", "kitten.json", "kitten.labels.png"} <= set(written)
    assert cc.read_image(written["kitten.figure.png"]).shape[1] > 1000
    assert not [*Path().iterdir()], "run in docs, it would leave files in the working tree"
