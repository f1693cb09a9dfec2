"""Public endpoints: names and arguments by a snapshot, masks, errors, the examples of the documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import httpx
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cliptrase_core.options import LayoutOptions, SegmentOptions, options_of
from demo.settings import EXAMPLES
from tests.api_schema import SNAPSHOT, schema
from tests.server import ROOT
from tests.visitor import Visitor, call

DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
WORDS = "dog; bushes; grass"


@pytest.fixture(scope="module")
def dog(server):
    visitor = Visitor(server.address)
    yield visitor.upload(EXAMPLES / "shepherd.jpg")
    visitor.close()


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


BY_NAME = {"settings", "timings", "class_changes", "gained", "lost"}
"""Fields that contain values by names of options, stages or classes."""


def sections() -> dict[str, str]:
    """Return the sections of the document by the name of the call."""
    return {part.split("`")[1]: part for part in DOCUMENT.split("\n## ")[1:] if part.startswith("`")}


def fields(value, path=""):
    """Return the paths of all fields of an answer, such as "classes[].name"."""
    if isinstance(value, list):
        return {found for one in value for found in fields(one, f"{path}[]")}
    if not isinstance(value, dict) or path.rpartition(".")[2] in BY_NAME:
        return set()
    start = f"{path}." if path else ""
    return {found for name, one in value.items() for found in {start + name, *fields(one, start + name)}}


def documented(section: str) -> list[str]:
    """Return the paths in the first column of the table of fields."""
    table = section.partition("| field of the answer |")[2].partition("\n\n")[0]
    return [path for row in table.splitlines()[2:] for path in re.findall("`([^`]+)`", row.split("|")[1])]


def test_names_types_and_defaults_are_those_of_the_snapshot():
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert schema() == kept, "meant so? then: python -m tests.api_schema"


def test_every_argument_is_described():
    for name, one in schema().items():
        assert one["description"], name
        assert all(argument["description"] for argument in one["parameters"].values()), name
        assert all(result["description"] for result in one["returns"]), name


def test_every_call_has_its_section_with_both_examples():
    assert sections().keys() == schema().keys()
    for name, section in sections().items():
        assert "```python" in section, name
        assert "```bash" in section, name
        listed = {one.name for one in (*options_of(SegmentOptions), *options_of(LayoutOptions))}
        for argument in schema()[name]["parameters"].keys() - (listed if "(options.md)" in section else set()):
            assert f"`{argument}`" in section or f"{argument}=" in section, (name, argument)


def test_documented_fields_are_those_of_the_answers(server, dog):
    request = {"image": dog, "vocabulary": WORDS}
    arguments = {"/inspect_patch": {"image": dog, "row": 5, "column": 3}, "/models": {}}
    for name, section in sections().items():
        told = documented(section)
        assert len(told) == len(set(told)), name
        if name == "/refine":
            told += documented(sections()["/segment"])
        answer = call(server.address, name.strip("/"), **arguments.get(name, request))
        assert set(told) == fields(answer), name


@pytest.mark.parametrize("example", blocks_of("bash"), ids=lambda text: re.findall(r"v2/(\w+)", text)[0])
def test_curl_examples_of_the_documentation_work(server, example):
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("needs bash and curl")
    script = example.replace("http://127.0.0.1:7860", server.address)
    done = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "event: complete" in done.stdout, done.stdout[:500]
    json.loads(done.stdout.rpartition("event: complete\ndata: ")[2])


@pytest.mark.parametrize("example", blocks_of("python"), ids=lambda text: re.findall(r'api_name="/(\w+)', text)[0])
def test_python_examples_of_the_documentation_work(server, example):
    script = example.replace("http://127.0.0.1:7860", server.address)
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=120, check=True)


def test_answers_say_what_was_cached(server, dog):
    request = {"image": dog, "vocabulary": WORDS, "short_side": 176}
    first, again = (call(server.address, "refine", refiner="edges", **request) for _ in range(2))
    assert (first["encoding_cached"], again["encoding_cached"]) == (False, True)
    first, again = (call(server.address, "compare", methods="clip", **request)["compared"][0] for _ in range(2))
    assert (first["result_cached"], again["result_cached"]) == (False, True)


def test_patches_of_any_short_side_can_be_inspected(server, dog):
    grid = call(server.address, "segment", image=dog, vocabulary=WORDS, short_side=448)["grid"]
    row, column = grid[0] - 1, grid[1] - 1
    found = call(server.address, "inspect_patch", image=dog, row=row, column=column, short_side=448)
    assert (found["grid"], np.shape(found["attention"])) == (grid, tuple(grid))
    with pytest.raises(RuntimeError, match="row"):
        call(server.address, "inspect_patch", image=dog, row=row, column=column)


def test_masks_of_all_classes_cover_the_picture_once(server, dog):
    found = call(server.address, "segment", image=dog, vocabulary=WORDS)
    masks = [coco_mask.decode(one["rle"]) for one in found["classes"]]
    np.testing.assert_array_equal(sum(masks), np.ones(found["size"]))
    for one, mask in zip(found["classes"], masks, strict=True):
        assert one["area"] == pytest.approx(mask.mean(), abs=1e-5)
        assert found["class_names"][one["index"]] == one["name"]


def test_masks_can_be_left_out(server, dog):
    found = call(server.address, "segment", image=dog, vocabulary=WORDS, include_masks=False)
    assert not any("rle" in one for one in found["classes"])


@pytest.mark.parametrize(
    "changes",
    [
        {"denoise": "none"},
        {"eps": 0.4},
        {"min_samples": 9},
        {"short_side": 160},
        {"templates": "openai80"},
        {"threshold": 0.9},
        {"image_prior": True},
        {"vote": False},
        {"method": "clip"},
        {"residual": "cls"},
        {"preset": "paper-224"},
    ],
    ids=str,
)
def test_every_setting_reaches_the_computation(server, dog, changes):
    def essence(**settings):
        found = call(server.address, "segment", image=dog, vocabulary=WORDS, include_masks=True, **settings)
        return found["classes"], found["patch_clusters"]

    assert essence(**changes) != essence()


@pytest.mark.parametrize("refiner", ["edges", "sam-nano"])
def test_refining_gives_what_segment_gives_and_says_what_changed(server, dog, refiner):
    coarse = call(server.address, "segment", image=dog, vocabulary=WORDS)
    found = call(server.address, "refine", image=dog, vocabulary=WORDS, refiner=refiner)
    assert found.keys() == coarse.keys() | {"refinement"}
    assert found["settings"]["refiner"] == refiner
    # An absent class has no entry, so both label maps are rebuilt from the masks.
    before, after = (np.full(coarse["size"], -1) for _ in range(2))
    for labels, answer in ((before, coarse), (after, found)):
        for one in answer["classes"]:
            labels[coco_mask.decode(one["rle"]).astype(bool)] = one["index"]
    told, names = found["refinement"], found["class_names"]
    assert told["changed"] == (before != after).sum() > 0
    for index, name in enumerate(names):
        assert told["gained"].get(name, 0) == ((after == index) & (before != index)).sum()
        assert told["lost"].get(name, 0) == ((before == index) & (after != index)).sum()
    assert bool(told["components"]) == (refiner == "sam-nano")
    if told["components"]:
        none = call(server.address, "refine", image=dog, vocabulary=WORDS, refiner=refiner, keep=[])
        assert none["refinement"]["changed"] == 0
        assert not any(component["accepted"] for component in none["refinement"]["components"])


def test_every_mode_reaches_the_refiner(server, dog):
    for mode in ("prompts", "regions"):
        found = call(server.address, "refine", image=dog, vocabulary=WORDS, mode=mode, include_masks=False)
        assert found["refinement"]["mode"] == found["settings"]["refine_mode"] == mode
        assert not any("rle" in one for one in found["classes"])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("segment", {"vocabulary": ""}, "vocabulary"),
        ("segment", {"vocabulary": 7}, "vocabulary: expected text"),
        (
            "segment",
            {"vocabulary": []},
            "vocabulary: expected at least one class, each a text or a list of texts, got none",
        ),
        ("segment", {"vocabulary": [[]]}, "vocabulary: expected at least one class"),
        ("segment", {"vocabulary": [None]}, "vocabulary: expected at least one class"),
        ("segment", {"vocabulary": [["dog", 5]]}, "vocabulary: expected at least one class"),
        ("segment", {"vocabulary": "a;b", "method": "magic"}, "method: expected one of cliptrase, clip"),
        ("segment", {"vocabulary": "a;b", "short_side": 9_000}, "short_side: expected 160 to 1024"),
        ("segment", {"vocabulary": "a;b", "eps": "big"}, "eps: expected a number"),
        ("segment", {"vocabulary": "a;b", "min_samples": 1.5}, "min_samples: expected a whole number"),
        ("segment", {"vocabulary": "a;b", "threshold": 7}, "threshold: expected"),
        ("segment", {"vocabulary": "a;b", "image_prior": "yes"}, "image_prior: expected true or false"),
        ("segment", {"vocabulary": "a;b", "vote": 3}, "vote: expected true or false"),
        ("segment", {"vocabulary": "a;b", "templates": "{0}"}, "templates: expected one of"),
        ("segment", {"vocabulary": "a;b", "model": "/etc/passwd"}, "model"),
        ("segment", {"vocabulary": "a;b", "model": ["nano"]}, "model: expected text"),
        (
            "refine",
            {"vocabulary": "a;b", "refiner": "magic"},
            "refiner: expected one of edges, sam-nano, sam-nano+edges",
        ),
        ("refine", {"vocabulary": "a;b", "refiner": "vit_h"}, "got vit_h. Fetch it on the Refine tab first"),
        ("refine", {"vocabulary": "a;b", "mode": "magic"}, "mode: expected one of prompts, regions, everything"),
        *(
            ("refine", {"vocabulary": "a;b", "refiner": "edges", "mode": mode}, "mode: expected nothing, since edges")
            for mode in ("regions", "everything")
        ),
        ("segment", {"vocabulary": "a;b", "preset": "paper-224", "short_side": 448}, "expected 224, which its clust"),
        ("compare", {"vocabulary": "a;b", "preset": "paper-336", "short_side": 224}, "expected 336, which its clust"),
        ("refine", {"vocabulary": "a;b", "preset": "paper-224", "short_side": 336}, "expected 224, which its clust"),
        ("refine", {"vocabulary": "a;b", "keep": 3}, "keep: expected a list of whole numbers"),
        ("refine", {"vocabulary": "a;b", "keep": [999]}, "keep"),
        ("refine", {"vocabulary": "a;b", "keep": [0.5]}, "keep: expected a whole number"),
        ("refine", {"vocabulary": "a;b", "method": "magic"}, "method: expected one of cliptrase, clip"),
        ("inspect_patch", {"row": 99, "column": 0}, "row"),
        ("inspect_patch", {"row": "x", "column": 0}, "row: expected a number"),
        ("inspect_patch", {"row": 0, "column": 0, "layer": 99}, "layer"),
        ("inspect_patch", {"row": 0, "column": 0, "preset": None}, "preset: expected one of"),
        ("inspect_patch", {"row": 0, "column": 0, "short_side": 9_000}, "short_side: expected 160 to 1024"),
        (
            "inspect_patch",
            {"row": 0, "column": 0, "preset": "paper-224", "short_side": 448},
            "expected 224, which its clust",
        ),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(server, dog, name, arguments, said):
    with pytest.raises(RuntimeError, match=re.escape(said)) as refusal:
        call(server.address, name, image=dog, **arguments)
    assert "expected" not in said or re.search(r"expected .+, got .+\. [A-Z]", str(refusal.value))
    assert str(server.uploads) not in str(refusal.value)
    assert str(ROOT) not in str(refusal.value)


def by_position(address, name, *values):
    """Call an endpoint with a list of values, as curl does by Gradio's own documentation; return its last event."""
    with httpx.Client(base_url=address, timeout=120) as http:
        event = http.post(f"/gradio_api/call/{name}", json={"data": list(values)}).json()["event_id"]
        return http.get(f"/gradio_api/call/{name}/{event}").text.strip().rpartition("event: ")[2]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        *(("segment", body) for body in ({}, {"vocabulary": "cat"}, {"image": None, "vocabulary": "cat", "EPS": 1})),
        *(("compare", {"method": "clip"}), ("models", {"x": 1}), ("inspect_patch", {"data": [1]})),
    ],
)
def test_a_call_with_other_arguments_is_told_so(server, name, body):
    with httpx.Client(base_url=server.address) as http:
        answer = http.post(f"/gradio_api/call/v2/{name}", json=body)
    assert answer.status_code == 422
    assert answer.text.startswith(f"/{name}: expected its arguments, got others")


def test_an_answer_is_read_once_and_one_that_never_was_ends_at_once(server):
    with httpx.Client(base_url=server.address, timeout=20) as http:
        event = http.post("/gradio_api/call/models", json={"data": []}).json()["event_id"]
        assert "event: complete" in http.get(f"/gradio_api/call/models/{event}").text
        for unknown in (event, "0" * 32):
            answer = http.get(f"/gradio_api/call/models/{unknown}")
            assert (answer.status_code, "Call again." in answer.text) == (404, True)


def test_a_call_by_position_may_leave_out_what_has_a_default(server, dog):
    kind, _, data = by_position(server.address, "segment", dog, WORDS).partition("\ndata: ")
    assert kind == "complete"
    named = call(server.address, "segment", image=dog, vocabulary=WORDS)
    assert json.loads(data)[0]["classes"] == named["classes"]


def test_a_call_by_position_says_what_it_needs(server, dog):
    answer = by_position(server.address, "segment", dog)
    assert "data: expected at least image, vocabulary, got 1 value. Give the others." in answer


@pytest.mark.parametrize(
    ("vocabulary", "note"),
    [
        ("dog", "is the only class"),
        (["dog"], "is the only class"),
        ("dog . grass .", "Read as 2 classes"),
        ("voc", "voc20"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["segment", "refine", "compare"])
def test_calls_say_what_words_were_taken_for(server, dog, name, vocabulary, note):
    more = {"methods": "clip"} if name == "compare" else {"refiner": "edges"} if name == "refine" else {}
    found = call(server.address, name, image=dog, vocabulary=vocabulary, **more)
    notes = found["compared"][0]["notes"] if name == "compare" else found["notes"]
    assert note in notes[0]
