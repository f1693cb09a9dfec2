"""Data of the lens: codes, run lengths, numbers equal to the core's, large grids, and requests that are refused."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from cliptrase_core.inspection.statistics import measure, patch_shares, surroundings
from demo.examples import read_examples
from demo.service import SegmentRequest
from demo.service import lens as value_of
from demo.service.lens import coded, lens_rows, lens_value, run_lengths
from demo.tabs import lens as tab

HOSTILE = '<img src=x onerror=alert(1)>; "quoted" & more; ‮turned; ${1}{{2}}`'


@pytest.fixture(scope="module")
def path():
    return str(next(example.path for example in read_examples() if example.name == "shepherd"))


@pytest.fixture(scope="module")
def run(service, path):
    return service.segment(path, SegmentRequest(HOSTILE)).run


@pytest.fixture(scope="module")
def value(service, run, path):
    return lens_value(service, run, path)


def bytes_of(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


def floats_of(text):
    return np.frombuffer(base64.b64decode(text), np.float32)


def decoded(part, count):
    """Return (R, N) shares, decoded as in the browser."""
    codes = bytes_of(part["codes"]).reshape(-1, count).astype(np.float64)
    return floats_of(part["largest"])[:, None] * (codes / 255) ** 2


def unrolled(runs):
    return np.repeat(runs[1::2], runs[::2])


@pytest.mark.parametrize(
    "values", [[[0, 0, 1], [1, 1, -1]], [[7]], [[-1, -1, -1]], [[0, 1], [0, 1]], [[0], [0], [3]], [[2**31 - 1, 0]]]
)
def test_run_lengths_give_the_map_again(values):
    values = np.array(values)
    runs = run_lengths(values)
    assert unrolled(runs).reshape(values.shape).tolist() == values.tolist()
    assert all(a != b for a, b in zip(runs[1::2], runs[3::2], strict=False))
    assert json.loads(json.dumps(runs)) == runs


@pytest.mark.parametrize(
    "row",
    [
        [0.449, *[0.551 / 195] * 195],  # one patch has nearly half of the attention: small shares must survive
        [*[0.15] * 3, *[0.55 / 193] * 193],
        [1.0, *[0.0] * 195],
        [1 / 196] * 196,
        [0.0] * 196,
        [*np.geomspace(1e-7, 0.3, 196)],
    ],
)
def test_codes_are_half_a_step_of_the_root_away_at_most(row):
    codes, largest = coded(torch.tensor([row]))
    found, most = decoded({"codes": codes, "largest": largest}, len(row))[0], max(row)
    assert (abs(found - row) <= np.sqrt(np.array(row) * most) / 255 + most / (2 * 255) ** 2 + 1e-7).all()


def test_the_value_is_plain_json_of_the_size_that_was_planned(value, run):
    count = run.key.grid[0] * run.key.grid[1]
    maps = sum(len(part["codes"]) for part in value["maps"].values())
    assert maps == pytest.approx(3 * count**2 * 4 / 3, rel=0.01)
    assert len(json.dumps(value)) < maps + 600_000
    assert value["picture"].startswith("data:image/jpeg;base64,")
    assert len(value["names"]) == len(value["colours"])
    assert set(unrolled(value["labels"]["runs"])) <= set(range(len(value["names"])))
    assert unrolled(value["labels"]["runs"]).size == np.prod(value["labels"]["size"])
    for name in ("before", "after"):
        assert unrolled(value["clusters"][name]).size == count
    assert unrolled(value["classes"]).size == bytes_of(value["spots"]).size // 8 == count


@pytest.mark.parametrize(("layer", "head"), [(None, None), (1, None), (12, 2), (6, 1)])
def test_numbers_and_maps_are_the_core_s_to_one_percent(service, run, path, layer, head):
    value, maps = lens_value(service, run, path, layer, head=head), service.maps(run.key, path, layer, head=head)
    assert (value["layer"], value["head"]) == (maps.layer, maps.head)
    h, w = run.key.grid
    affinity = maps.affinity[1:, 1:].clamp(min=0).numpy()  # itself, not its share: the lens shows it from 0 to 1
    np.testing.assert_allclose(decoded(value["maps"]["affinity"], h * w), affinity, atol=0.005)
    for name, matrix in (("before", maps.attention), ("after", maps.recovered)):
        shares, sent = patch_shares(matrix[1:, 1:]), decoded(value["maps"][name], h * w)
        for patch in (0, value["start"], h * w - 1):
            near = surroundings((h, w), *divmod(patch, w))
            exact = measure(shares[patch], maps.global_patches, near)
            for number in value_of.NUMBERS:
                found = floats_of(value["numbers"][name][number])[patch]
                assert found == pytest.approx(getattr(exact, number), rel=0.01, abs=1e-6)
            assert sent[patch][maps.global_patches.numpy()].sum() == pytest.approx(exact.on_global, abs=0.01)
            assert sent[patch][near.numpy()].sum() == pytest.approx(exact.near, abs=0.01)


def test_another_method_is_named_and_cliptrase_is_not(service, path, value):
    other = service.segment(path, SegmentRequest("dog; grass", method="clearclip")).run
    assert (value["method"], lens_value(service, other, path)["method"]) == ("", "ClearCLIP")
    assert (value["vote"], lens_value(service, other, path)["vote"]) == (True, False)


def test_clusters_are_the_result_s_and_start_is_inside_one(service, run, path, value):
    after = service.again(run, path).result.patch_clusters
    assert unrolled(value["clusters"]["after"]).tolist() == after.tolist()
    assert after[value["start"]] >= 0
    assert value["start"] not in value["global_patches"]


def test_a_large_grid_sends_rows_on_request_and_they_are_the_same(service, run, path, value, monkeypatch):
    count = run.key.grid[0] * run.key.grid[1]
    monkeypatch.setattr(value_of, "MOST_SENT", count - 1)
    large = lens_value(service, run, path)
    assert large["maps"] is None
    assert large["numbers"] == value["numbers"]  # exact numbers are sent even without maps
    for patch in (0, 17, count - 1):
        rows = lens_rows(service, run, path, patch)
        assert (rows["patch"], rows["run"], rows["layer"]) == (patch, value["run"], value["layer"])
        for kind, whole in value["maps"].items():
            one = bytes_of(rows["maps"][kind]["codes"])
            assert one.tolist() == bytes_of(whole["codes"]).reshape(count, count)[patch].tolist()


def told(data):
    return SimpleNamespace(_data=data)


def test_the_lens_asks_for_layers_heads_and_rows(service, run, path):
    handlers = tab.LensHandlers(service)
    other = handlers.request(run, path, told({"run": run.token, "layer": 3, "head": 2}))
    assert (other["layer"], other["head"]) == (3, 2)
    update = handlers.request(run, path, told({"run": run.token, "layer": 3, "head": None, "patch": 5}))
    rows = update["rows"] if isinstance(update, dict) else update.props["rows"]
    assert (rows["layer"], rows["patch"]) == (3, 5)
    assert handlers.show(None, None) is None


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"run": "another", "layer": 3}, {"run": 7, "layer": 1, "patch": 0}]
)
def test_questions_about_another_result_are_ignored(service, run, path, data):
    assert tab.LensHandlers(service).request(run, path, told(data)) == gr.skip()


@pytest.mark.parametrize(
    "data",
    [
        {"layer": "abc"},
        {"layer": 99},
        {"layer": 0},
        {"layer": float("nan")},
        {"layer": float("-inf")},
        {"layer": 10**400},
        {"layer": 3, "head": -(10**400)},
        {"layer": 3, "patch": 10**400},
        {"layer": None},
        {"layer": 3, "head": -1},
        {"layer": 3, "head": {}},
        {"layer": 3, "patch": -1},
        {"layer": 3, "patch": 10**9},
        {"layer": 3, "patch": [0]},
        {"layer": 3, "patch": 1.5},
        {"layer": True},
    ],
)
def test_what_cannot_be_is_refused_with_a_message(service, run, path, data):
    with pytest.raises(gr.Error, match="expected"):
        tab.LensHandlers(service).request(run, path, told({"run": run.token, **data}))


def test_the_lens_itself_holds_fixed_text_only(value):
    with gr.Blocks():
        part = tab.draw()
    assert value["names"][0] not in part.html_template
    for sign in ("${", "{{", "`", "\\", "<script"):  # Gradio's templates would evaluate them
        assert sign not in part.html_template
        assert sign not in part.css_template
    for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch("):
        assert danger not in part.js_on_load
    assert all(f'data-view="{view}"' in part.html_template for view, *_ in tab.PANES)
