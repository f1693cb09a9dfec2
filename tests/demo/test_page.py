"""The page without a browser: handlers, forged clicks, public endpoints through a real server, simultaneous users."""

from __future__ import annotations

import base64
import html
import io
import threading

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from cliptrase_core import METHODS, PRESETS
from cliptrase_core.options import DENOISE
from cliptrase_core.text.encoder import TEMPLATES
from demo import settings
from demo.handling import NO_WORDS, read_request, request_fields, spoken
from demo.models import ModelRegistry
from demo.page import build, launch_options
from demo.service import SegmentRequest, Service, scores_of
from demo.settings import EXAMPLES, Settings
from demo.tabs import result as tab
from demo.tabs.ask import PLAIN, settings_of
from demo.tabs.result import ResultView, SegmentHandlers
from tests.conftest import DATA
from tests.demo.conftest import Click


@pytest.fixture(scope="module")
def service():
    service = Service(Settings(model="nano", device="cpu"))
    service.start()
    return service


@pytest.fixture(scope="module")
def handlers(service):
    return SegmentHandlers(service)


FIELDS = {
    "background": "none",
    "background_words": "",
    "threshold": 0.3,
    "method": "cliptrase",
    "preset": "auto",
    "short_side": "auto",
    "templates": "auto",
    "image_prior": False,
    "everything_else": False,
    "everything_else_chosen": "yes",
    "skip_missing": False,
    "denoise": "cls",
    "automatic": True,
    "eps": 0.7,
    "min_samples": 3,
    "model": None,
    "vote": "auto",
    "residual": "auto",
}


def cut(handlers, path, words="cat; dog", **changes):
    return handlers.segment(path, words, *{**FIELDS, **changes}.values())


def decoded(url):
    """Return the pixels of a data URL."""
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as picture:
        return np.asarray(picture)


def shape(view):
    return decoded(view.result["picture"]).shape[:2]


def test_names_on_the_page_are_the_core_s():
    assert tuple(METHODS) == settings.METHODS
    assert tuple(PRESETS) == settings.PRESETS
    assert settings.DENOISE == DENOISE
    assert tuple(TEMPLATES) == settings.TEMPLATES


def test_fields_of_a_request_are_one_list_and_none_is_left_out():
    assert ["words", *FIELDS] == request_fields()
    assert set(PLAIN) == set(request_fields()) - {"words", "everything_else_chosen", "model"}
    assert read_request("cat; dog", *FIELDS.values()) == SegmentRequest("cat; dog")
    for wrong in ([*FIELDS.values()][:-1], [*FIELDS.values(), "auto"]):
        with pytest.raises(ValueError, match="zip"):
            read_request("cat; dog", *wrong)


def test_events_whose_work_is_not_shown_name_no_place_for_it(service):
    work = [one for one in build(service).get_config_file()["dependencies"] if one["backend_fn"] and one["outputs"]]
    hidden = [one for one in work if one["show_progress"] == "hidden"]
    assert len(hidden) > 20
    assert all(one["show_progress_on"] == [] for one in hidden)


def test_every_element_has_its_own_id(service):
    ids = [one["props"].get("elem_id") for one in build(service).get_config_file()["components"]]
    assert [name for name in set(ids) - {None} if ids.count(name) > 1] == []


def test_at_most_one_listener_of_an_event_waits_for_its_turn(service):
    """While a listener runs, Gradio keeps one more event for it (`always_last`), and afterwards sends that event to all
    listeners. Two that keep events wake each other for ever, as after an upload during the first result."""
    config = build(service).get_config_file()
    # What follows another listener or a State is sent to one listener alone.
    names = {one["id"]: one["props"].get("elem_id") for one in config["components"] if one["type"] != "state"}
    keeping = [
        (component, names[component], event)
        for one in config["dependencies"]
        if one["backend_fn"] and one["trigger_mode"] == "always_last"
        for component, event in one["targets"]
        if component in names
    ]
    assert len(keeping) > 5
    assert [each for each in keeping if keeping.count(each) > 1] == []


def test_segment_fills_every_component(handlers, photo):
    view = cut(handlers, photo)
    assert isinstance(view, ResultView)
    assert "%" in view.legend
    assert "Done:" in view.status
    assert "divided among words" in view.result["alt"]
    assert view.token == view.run.token


def test_new_words_reuse_the_encoding(handlers, service, photo, monkeypatch):
    calls = []
    segmenter = service.models.segmenter()
    original = type(segmenter).encode
    monkeypatch.setattr(type(segmenter), "encode", lambda self, *a, **k: calls.append(1) or original(self, *a, **k))
    first = cut(handlers, photo, "one thing; other thing")
    second = cut(handlers, photo, "third thing; fourth thing")
    assert len(calls) <= 1
    assert "reused" in second.costs
    assert first.run.key == second.run.key
    assert first.token != second.token


@pytest.mark.parametrize(
    "changes",
    [
        {"background": "unsure pixels", "threshold": 0.9},
        {"automatic": False, "eps": 0.5},
        {"automatic": False, "min_samples": 2},
        {"denoise": "none"},
        {"method": "clip"},
    ],
    ids=str,
)
def test_settings_after_the_first_result_never_encode_again(handlers, service, photo, monkeypatch, changes):
    cut(handlers, photo)
    monkeypatch.setattr(type(service.models.segmenter()), "encode", None)
    assert cut(handlers, photo, **changes).result is not None


def test_a_repeated_question_is_answered_from_memory(handlers, service, photo, monkeypatch):
    cut(handlers, photo, "cat; dog; tree")
    monkeypatch.setattr(type(service.models.segmenter()), "segment", None)
    assert "whole result" in cut(handlers, photo, "cat; dog; tree").costs


def test_background_words_and_threshold_make_background(handlers, photo):
    by_words = cut(handlers, photo, background="words", background_words="wall, floor")
    assert by_words.run.request.words.endswith("background: wall, floor")
    by_threshold = cut(handlers, photo, background="unsure pixels", threshold=1.0)
    assert ">background<" in by_threshold.legend
    ignored = cut(handlers, photo, background="none", background_words="wall", threshold=1.0)
    assert ">background<" not in ignored.legend


def test_a_data_set_s_name_takes_background_words(handlers, photo):
    view = cut(handlers, photo, "voc20", background="words", background_words="wall")
    assert view.run.request.words == "voc20\nbackground: wall"


@pytest.mark.parametrize(
    "changes", [{"method": "sclip"}, {"templates": "openai80"}, {"image_prior": True}, {"residual": "cls"}], ids=str
)
def test_a_spot_is_answered_by_what_made_the_result(service, photo, changes):
    runs = [service.segment(photo, SegmentRequest("cat; dog", **asked)).run for asked in ({}, changes)]
    plain, changed = (scores_of(service, run, photo).logits for run in runs)
    assert (plain - changed).abs().max() > 1e-3


@pytest.mark.parametrize("words", ["cat; dog", "; ".join(f"thing {i}" for i in range(300)), "cat"], ids=len)
def test_the_browser_is_given_the_result_s_own_labels_and_likeliest_classes(handlers, service, photo, words):
    view = cut(handlers, photo, words)
    drawn, found = view.result, service.again(view.run, photo)
    coded = decoded(drawn["labels"]).astype(int)
    np.testing.assert_array_equal(coded[..., 0] + 256 * coded[..., 1], found.labels)
    spots = np.frombuffer(base64.b64decode(drawn["spots"]), dtype="<i2").reshape(-1, 4)
    probabilities = scores_of(service, view.run, photo).class_probabilities.numpy().reshape(len(drawn["names"]), -1)
    order = np.sort(probabilities, axis=0)[::-1]
    np.testing.assert_allclose(spots[:, 1] / 1000, order[0], atol=0.0006)
    assert (spots[:, 0] == probabilities.argmax(axis=0)).all()
    if len(order) > 1:
        np.testing.assert_allclose(spots[:, 3] / 1000, order[1], atol=0.0006)
        assert (spots[:, 0] != spots[:, 2]).all()
    else:
        assert (spots[:, 2:] == -1).all()
    assert {one["index"] for one in drawn["classes"]} == set(np.unique(found.labels))


def test_an_error_is_said_in_the_status_and_the_last_result_stays(handlers, photo):
    speaking = spoken(handlers.segment, ResultView, "status", tab.failed)
    for words, said in {"": NO_WORDS, "cat | <img src=x>": "background", " ; ;\n": NO_WORDS}.items():
        view = speaking(photo, words, *FIELDS.values())
        assert said in view.status
        assert "<img" not in view.status
        assert all(value == gr.skip() for name, value in view._asdict().items() if name != "status")
    assert speaking(photo, "cat; dog", *FIELDS.values()).run is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("tractor tree sky", "Taken as one class. Separate classes with commas: tractor, tree, sky."),
        ("where is the tractor?", "With one class, everything is that class."),
        ("a photo of a tractor", "With one class, everything is that class."),
        ("किताब मेज़ कुर्सी", "Separate classes with commas: किताब, मेज़, कुर्सी."),
        ("picture lamp sofa", "Separate classes with commas: picture, lamp, sofa."),
        ("where is the red tractor?", "Separate classes with commas: red, tractor."),
        ("tractor", "With one class, everything is that class."),
        ("cat, kitten; dog", ""),
        ("black cat, dog", ""),
    ],
)
def test_words_that_are_one_class_by_mistake_are_said(handlers, service, photo, words, said):
    view = cut(handlers, photo, words)
    assert said in view.status
    assert bool(said) == bool(tab.one_class(service.again(view.run, photo)))


LONG = "x" * 4_000


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (
            {"method": "gem", "threshold": "0.4", "image_prior": "true"},
            {"method": "gem", "threshold": 0.4, "image_prior": True},
        ),
        ({"method": "magic", "preset": "../../etc", "short_side": "100000", "templates": "{0}"}, {}),
        ({"threshold": "nan", "image_prior": "1", "denoise": "", "automatic": "[]", "model": "/etc/passwd"}, {}),
        ({"background": "words", "background_words": "x" * 9_999}, {"background": "words", "background_words": LONG}),
    ],
    ids=str,
)
def test_an_address_brings_back_settings_that_exist_and_nothing_else(query, kept):
    assert settings_of(query) == kept


def test_a_point_says_what_is_there_and_what_came_second(handlers, photo):
    view = cut(handlers, photo, "cat, kitten; dog")
    h, w = shape(view)
    said = handlers.point(view.run, view.token, photo, Click([w // 2, h // 2]))
    assert "cat" in said
    assert "dog" in said
    assert "margin" in said


def test_a_patch_of_the_lens_is_asked_like_a_click_on_its_middle(handlers, photo):
    view = cut(handlers, photo)
    (h, w), (rows, columns) = shape(view), view.run.key.grid
    clicked = handlers.point(view.run, view.token, photo, Click([(2 + 0.5) * w / columns, (1 + 0.5) * h / rows]))
    assert handlers.patch(view.run, view.token, photo, Click([1, 2])) == clicked
    assert handlers.patch(view.run, "another result", photo, Click([1, 2])) == gr.skip()


@pytest.mark.parametrize("index", ["abc", None, [-5, 0], [0, 99999], [1], [None, 2], [float("nan"), 1]])
def test_forged_patches_of_the_lens_get_a_message(handlers, photo, index):
    view = cut(handlers, photo)
    with pytest.raises(gr.Error, match="click"):
        handlers.patch(view.run, view.token, photo, Click(index))


@pytest.mark.parametrize("index", ["abc", None, {"a": 1}, [-5, 99999], [1], [None, 2], ["1", "2"], [float("nan"), 1]])
def test_forged_clicks_get_a_message(handlers, photo, index):
    view = cut(handlers, photo)
    with pytest.raises(gr.Error, match="click"):
        handlers.point(view.run, view.token, photo, Click(index))


def test_a_click_on_an_older_result_is_ignored(handlers, photo):
    view = cut(handlers, photo)
    assert handlers.point(view.run, "another result", photo, Click([1, 1])) == gr.skip()
    assert handlers.point(None, "", photo, Click([1, 1])) == gr.skip()


def test_words_that_mean_the_same_are_found(handlers, photo):
    view = cut(handlers, photo, "dog; puppy; mountain")
    said = handlers.findings(view.run, photo)
    assert "dog" in said
    assert "puppy" in said
    assert "mountain" not in said


def test_misspelt_words_can_be_corrected_with_one_click(handlers, photo):
    view = cut(handlers, photo, "dgo; mountian; sky")
    pairs = html.escape('[["dgo", "dog"], ["mountian", "mountain"]]')
    assert f'data-pairs="{pairs}">Correct the spelling<' in handlers.findings(view.run, photo)
    view = cut(handlers, photo, "dog; puppy")
    assert "Correct the spelling" not in handlers.findings(view.run, photo)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"words": ""}, NO_WORDS),
        ({"words": None, "background": "words", "background_words": "sky"}, NO_WORDS),
        ({"words": "background: sky"}, "at least one class, got only background words"),
        ({"words": "cat | floor"}, "background"),
        ({"method": "magic"}, "method: expected one of"),
        ({"preset": "../../etc"}, "preset: expected one of"),
        ({"short_side": "100000"}, "short side: expected one of"),
        ({"templates": "{0.__class__}"}, "templates: expected one of"),
        ({"background": 3}, "background: expected one of"),
        ({"background": "unsure pixels", "threshold": 2}, "threshold: expected"),
        ({"words": 7}, "words: expected text"),
        ({"model": "/etc/passwd"}, "model"),
        ({"automatic": False, "eps": -1}, "eps: expected"),
        ({"automatic": False, "eps": "big"}, "eps: expected a number"),
        ({"automatic": False, "min_samples": 1.5}, "min_samples: expected a whole number"),
    ],
)
def test_wrong_fields_are_named(handlers, photo, changes, said):
    with pytest.raises(gr.Error, match=said):
        cut(handlers, photo, **changes)


def test_a_new_file_is_welcomed_only_if_it_is_a_picture(handlers, photo, tmp_path):
    assert "Your picture is here" in handlers.forget(photo).status
    assert "No picture" in handlers.forget(None).status
    for name, content in (("fake.jpg", b"not a picture"), ("empty.png", b""), ("page.webp", b"<html>" * 9)):
        path = tmp_path / name
        path.write_bytes(content)
        assert "This file is no picture" in handlers.forget(str(path)).status
    assert "Your picture is here" in handlers.forget(str(tmp_path / "gone.png")).status  # its own error comes later


def test_words_are_suggested_for_a_new_picture(handlers, service):
    path = str(EXAMPLES / "cows.jpg")
    found = handlers.suggest(path, "auto", "auto", None)
    assert "grass, cow, tree." in found
    assert 'data-words="grass; cow; tree"' in found
    assert service.segment(path, SegmentRequest("grass; cow; tree")).encoding_cached, "its result has nothing to encode"
    assert handlers.forget(path).suggested == "", "not beside another picture"
    assert handlers.segment(path, "cow", *FIELDS.values()).suggested == ""


def test_a_picture_that_cannot_be_used_is_said_before_its_words_are_typed(handlers, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((EXAMPLES / "cows.jpg").read_bytes()[:9000])
    assert "expected a whole picture" in handlers.suggest(str(broken), "auto", "auto", None)
    assert handlers.suggest(str(DATA / "no-such-file.jpg"), "auto", "auto", None).count("strip bad") == 1
    assert handlers.suggest(None, "auto", "auto", None) == ""
    with pytest.raises(gr.Error, match="short side"):
        handlers.suggest(str(EXAMPLES / "cows.jpg"), "auto", "1e9", None)


def test_no_picture_is_said(handlers):
    with pytest.raises(gr.Error, match="There is no picture yet"):
        cut(handlers, None)


HOSTILE = sorted((DATA / "images").glob("*"))


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_hostile_files_work_or_get_a_message_without_a_path(handlers, path):
    message = None
    try:
        cut(handlers, str(path))
    except gr.Error as error:
        message = str(error)
    if message is not None:
        assert "expected" in message
        assert str(path.parent) not in message
        assert "server" not in message


def test_messages_do_not_carry_markup(handlers, photo):
    with pytest.raises(gr.Error) as refusal:
        cut(handlers, photo, "cat | <img src=x onerror=alert(1)>")
    assert "<img" not in str(refusal.value)


def test_unexpected_errors_say_nothing_of_the_server(handlers, photo, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Service, "segment", fail)
    with pytest.raises(gr.Error) as refusal:
        cut(handlers, photo)
    assert "secret" not in str(refusal.value)


def test_a_wrong_model_is_said_and_nano_runs():
    registry = ModelRegistry(Settings(model="ViT-B-61", device="cpu"))
    assert registry.segmenter().info.name == "nano"
    assert "ViT-B-61" in registry.status().notice


@pytest.fixture(scope="module")
def url(service, tmp_path_factory):
    demo = build(service)
    options = launch_options()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **options)
    yield url
    demo.close()


def test_endpoints_answer_in_plain_json(url, photo):
    client = Client(url, verbose=False)
    answer = client.predict(image=handle_file(photo), vocabulary="cat; dog", api_name="/segment")
    assert sum(entry["area"] for entry in answer["classes"]) == pytest.approx(1)
    look = client.predict(image=handle_file(photo), row=1, column=2, api_name="/inspect_patch")
    assert np.asarray(look["attention"]).shape == np.asarray(look["affinity"]).shape == tuple(look["grid"])
    assert client.predict(api_name="/models")["model"] == "nano"


def test_people_at_the_same_time_get_their_own_answer(url, tmp_path):
    rng = np.random.default_rng(0)
    answers = {}

    def person(i):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (32 + 16 * i, 64, 3), dtype=np.uint8)).save(path)
        words = f"thing {i}; other {i}"
        answers[i] = Client(url, verbose=False).predict(handle_file(path), words, api_name="/segment")

    people = [threading.Thread(target=person, args=(i,)) for i in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    for i in range(4):
        assert {entry["name"] for entry in answers[i]["classes"]} <= {f"thing {i}", f"other {i}"}
        assert answers[i]["size"] == [32 + 16 * i, 64]


def test_what_is_probably_not_in_the_picture_is_said_unless_it_was_left_out(handlers, service):
    horses = str(EXAMPLES / "horses.jpg")
    for words, named, unnamed in (
        ("pizza; horse", ("pizza",), "horse"),
        ("<b>pizza; sky", ("&lt;b&gt;pizza",), "sky"),
        ("qwrtz; grass", ("qwrtz",), "grass"),
    ):
        said = handlers.absent(service.segment(horses, SegmentRequest(words)).run, horses)
        assert "Probably not in this picture" in said
        assert all(name in said for name in named)
        assert unnamed not in said
        assert "Tick &quot;everything else&quot;" in said
    with_the_rest = service.segment(horses, SegmentRequest("pizza; horse", everything_else=True)).run
    assert "Tick" not in handlers.absent(with_the_rest, horses)
    for quiet in (SegmentRequest("pizza; horse", skip_missing=True), SegmentRequest("horse; sky")):
        assert handlers.absent(service.segment(horses, quiet).run, horses) == ""
    assert handlers.absent(None, None) == ""


def test_what_other_classes_leave_no_pixel_can_be_asked_for_alone(handlers, service):
    horses = str(EXAMPLES / "horses.jpg")
    words = "horse; grass; sky; mane"
    view = service.segment(horses, SegmentRequest(words))
    said = handlers.absent(view.run, horses)
    assert "mane" not in view.result.areas
    assert 'data-alone="mane"' in said
    assert 'data-alone="grass"' not in said
    with_synonyms = service.segment(horses, SegmentRequest('horse; grass; sky; "mane", <b>hair'))
    assert 'data-alone="mane, &lt;b&gt;hair;">mane<' in handlers.absent(with_synonyms.run, horses)
    unsure = service.segment(horses, SegmentRequest(words, threshold=0.99))
    assert "data-alone" not in handlers.absent(unsure.run, horses), "the threshold took its pixels"
    assert handlers.absent(service.segment(horses, SegmentRequest("horse; sky")).run, horses) == ""
    many = service.segment(horses, SegmentRequest("; ".join(["grass; sky", *(f"horse {part}" for part in "abcdef")])))
    assert "data-alone" not in handlers.absent(many.run, horses)


def test_every_class_without_pixels_can_be_read(service, photo):
    names = ["cat", *(f"<b>word{i}</b>" for i in range(30))]
    view = service.segment(photo, SegmentRequest(words="; ".join(names)))
    table = tab.legend_table(view)
    absent = [name for name in view.result.class_names if name not in view.result.areas]
    assert len(absent) > tab.MOST_ABSENT
    summary, _, rest = table.partition('<details class="hint"><summary>Not found: ')[2].partition("</summary>")
    assert f"and {len(absent) - tab.MOST_ABSENT} more" in summary
    said = summary + rest.partition("</details>")[0]
    assert all(html.escape(name) in said for name in absent)
    assert "<b>" not in said
    few = service.segment(photo, SegmentRequest(words="; ".join(names[:4])))
    assert "<details" not in tab.legend_table(few)
