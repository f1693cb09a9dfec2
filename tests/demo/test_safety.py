"""Hostile requests to a running app: forged files, links, clicks and names; too large, too many, too early.

Each test sends HTTP requests to `python app.py`, as any client can. Only uploads may be read, no message may reveal
where the server keeps its files, and the server must still answer afterwards.
"""

from __future__ import annotations

import http.server
import socket
import threading
import time

import httpx
import pytest

from demo.settings import EXAMPLES
from tests.conftest import DATA
from tests.server import ROOT
from tests.visitor import API, Visitor, as_file, call

WORDS = "dog; road"
META = {"_type": "gradio.FileData"}


@pytest.fixture
def visitor(server):
    visitor = Visitor(server.address)
    yield visitor
    visitor.close()


@pytest.fixture
def segmented(visitor):
    """Visitor with a result on the page."""
    said = visitor.segment(picture=visitor.upload(EXAMPLES / "shepherd.jpg"), words=WORDS)
    assert said is None, said
    return visitor


def still_answers(server) -> bool:
    return "ready" in call(server.address, "models") and server.process.poll() is None


def says_nothing_of_the_server(server, text: str) -> bool:
    places = (str(ROOT), str(server.uploads), "Traceback", 'File "', "site-packages", "/etc/")
    return not any(place in text for place in places)


@pytest.fixture(scope="module")
def listener_elsewhere():
    """Web server that must not be contacted: its address, and the list of requested paths."""
    asked = []

    class Note(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Note)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{other.server_port}", asked
    other.shutdown()


def forged_pictures(elsewhere: str) -> list[object]:
    """Return forged payloads to send in place of an upload."""
    readable = str(EXAMPLES / "shepherd.jpg")  # a picture that the server process can read, but must not
    return [
        {"path": readable},
        {"path": readable, "meta": META},
        {"path": readable, "meta": META, "is_stream": True},
        {"path": "/etc/passwd"},
        {"path": "/etc/passwd", "meta": META},
        {"path": "../../../../../../etc/passwd", "meta": META},
        {"path": "file:///etc/passwd", "meta": META},
        {"path": "app.py"},
        {"path": "x\0y", "meta": META},
        {"path": "x" * 100_000, "meta": META},
        {"path": f"{elsewhere}/path.png"},
        {"path": f"{elsewhere}/path.png", "meta": META},
        {"path": f"{elsewhere}/both.png", "url": f"{elsewhere}/both.png", "meta": META},
        {"path": None, "url": f"{elsewhere}/url.png", "meta": META},
        {"path": None, "url": "data:image/png;base64,iVBORw0KGgo=", "meta": META},
        {"path": {"path": readable, "meta": META}},
        {},
        [],
        [readable],
        readable,
        7,
    ]


def test_only_uploads_are_read_and_no_link_is_fetched(server, visitor, listener_elsewhere):
    elsewhere, asked = listener_elsewhere
    listener = visitor.event("segment", "click")
    for payload in forged_pictures(elsewhere):
        with pytest.raises(RuntimeError, match="expected an uploaded file") as refusal:
            call(server.address, "segment", image=payload, vocabulary=WORDS)
        assert says_nothing_of_the_server(server, str(refusal.value)), payload
        answer = visitor.send(listener["id"], [payload, *visitor.data(listener)[1:]])
        assert "expected an uploaded file" in answer.error, payload
    assert asked == []


def test_files_in_other_arguments_are_not_read_either(server, listener_elsewhere):
    elsewhere, asked = listener_elsewhere
    for path in ("/etc/passwd", f"{elsewhere}/words.png"):
        hidden = {"path": path, "meta": META}
        for words in (hidden, [hidden], {"deep": [hidden]}):
            with pytest.raises(RuntimeError, match="expected an uploaded file"):
                call(server.address, "segment", image=None, vocabulary=words)
    assert asked == []


def test_a_link_through_another_path_leads_nowhere(server, tmp_path):
    upload = Visitor(server.address).upload(EXAMPLES / "shepherd.jpg")["path"]
    climbing = f"{upload}/../../../../../../../etc/passwd"
    with pytest.raises(RuntimeError, match="expected an uploaded file"):
        call(server.address, "segment", image=as_file(climbing), vocabulary=WORDS)


def test_private_listeners_refuse_calls_by_name(server, visitor):
    with httpx.Client(base_url=server.address) as http:
        public = set(http.get(f"{API}/info").json()["named_endpoints"])
        names = {str(listener["api_name"]) for listener in visitor.config["dependencies"]}
        private = names - {name.lstrip("/") for name in public}
        assert len(private) > 5
        for name in [*private, "..%2fsegment", "v2"]:
            for way in ("call", "call/v2", "run", "api"):
                body = {} if way == "call/v2" else {"data": []}
                assert http.post(f"{API}/{way}/{name}", json=body).status_code in (404, 405), (way, name)
        assert public == {"/segment", "/inspect_patch", "/compare", "/refine", "/models"}
        # No function can be called without the queue, not even by its number.
        direct = http.post(f"{API}/run/predict", json={"data": [], "fn_index": 0, "session_hash": "x"})
        assert direct.status_code in (401, 403, 404, 405)


FORGED_CLICKS = ["abc", None, {"a": 1}, [-5, 99999], [1e308, 1e308], [10**30, 0], [True, False], [[1], [2]], [1], []]


@pytest.mark.parametrize("element", ["result", "patches"])
def test_forged_clicks_get_a_message(server, segmented, element):
    listener = segmented.event(element, "select")
    for index in FORGED_CLICKS:
        answer = segmented.send(listener["id"], segmented.data(listener), {"index": index, "value": None})
        assert "click" in (answer.error or ""), index
        assert says_nothing_of_the_server(server, answer.error)
    for event in ({"index": "abc"}, None, {}, "click", [1, 2], {"index": [1, 1], "target": "x", "_data": 3}):
        answer = segmented.send(listener["id"], segmented.data(listener), event)
        assert answer.succeeded or says_nothing_of_the_server(server, str(answer.error))
    assert still_answers(server)


@pytest.mark.parametrize("forged", ["", "x" * 24, 7, None, ["a"], {"a": 1}], ids=repr)
def test_a_click_with_another_result_s_token_changes_nothing(segmented, forged):
    listener = segmented.event("result", "select")
    segmented.set(token=forged)
    answer = segmented.send(listener["id"], segmented.data(listener), {"index": [9, 9], "value": None})
    assert answer.succeeded, answer.error
    assert not any("facts" in str(value) for value in answer.data)


def test_every_listener_survives_nonsense(server, visitor):
    nonsense = [7, "abc", None, [], {"__type__": "update", "value": 3}, {"path": 3}, -1e308, "x" * 10_000]
    for listener in visitor.config["dependencies"]:
        if not listener["backend_fn"]:
            continue
        for junk in nonsense:
            answer = visitor.send(listener["id"], [junk] * len(listener["inputs"]), {"index": junk})
            assert answer.succeeded or says_nothing_of_the_server(server, str(answer.error)), listener["api_name"]
    for body in ({}, {"data": "x"}, {"data": [], "fn_index": 9999, "session_hash": "s"}, {"data": [], "fn_index": 0}):
        answer = httpx.post(f"{server.address}{API}/queue/join", json=body)
        assert not answer.is_success
        assert says_nothing_of_the_server(server, answer.text)
    assert still_answers(server)


WORDS_OF_STRANGERS = [
    "<img src=x onerror=alert(1)>; <script>alert(1)</script>",
    "{0.__class__.__mro__}; {}; {{}}; %s %n",
    "a\x00b\x07; \x1b[31mred\x1b[0m; dog\x7f",
    "\u202eexe.tac\u202c; \u200f\u05e9\u05dc\u05d5\u05dd; \u2066x\u2069",
    "=HYPERLINK(1); +1; @x; -2+3",
    "\U0001f600 emoji; \ufffd; e\u0301",
    "'; DROP TABLE classes; --",
]


@pytest.mark.parametrize("words", WORDS_OF_STRANGERS, ids=repr)
def test_words_of_strangers_are_words(server, visitor, words):
    picture = visitor.upload(EXAMPLES / "shepherd.jpg")
    said = visitor.segment(picture=picture, words=words)
    assert said is None, said
    legend = visitor.shown("legend")
    assert "<img" not in legend
    assert "<script" not in legend
    assert not any(mark in legend for mark in "\x00\x07\x1b\u202e\u202c\u2066\u2069")
    names = call(server.address, "segment", image=picture, vocabulary=words, include_masks=False)["class_names"]
    assert all(name.isprintable() or "\u200d" in name for name in names)


def test_a_thousand_classes_are_answered(server, visitor):
    words = "; ".join(f"thing {i}" for i in range(1_000))
    found = call(server.address, "segment", image=visitor.upload(EXAMPLES / "shepherd.jpg"), vocabulary=words)
    assert len(found["class_names"]) == 1_000


@pytest.mark.parametrize(
    "words", ["; ".join(map(str, range(2_000))), "x" * 300_000, ", ".join(map(str, range(99))) + ";"], ids=len
)
def test_too_many_words_are_refused_in_words(server, visitor, words):
    with pytest.raises(RuntimeError, match="expected at most"):
        call(server.address, "segment", image=visitor.upload(EXAMPLES / "shepherd.jpg"), vocabulary=words)


def test_an_upload_over_40_mb_is_refused(server, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(42_000_000))
    before = set(server.files())
    with httpx.Client(base_url=server.address) as http:
        answer = http.post(f"{API}/upload", files={"files": ("large.png", large.read_bytes())})
    assert answer.status_code == 413
    assert says_nothing_of_the_server(server, answer.text)
    new = set(server.files()) - before  # the server is shared: files of other tests may be large
    assert not any(path.stat().st_size > 1_000_000 for path in new)


@pytest.mark.parametrize("path", sorted((DATA / "images").iterdir()), ids=lambda path: path.name)
def test_hostile_files_are_read_or_refused_in_words(server, visitor, path):
    said = visitor.segment(picture=visitor.upload(path), words=WORDS)
    if said is not None:
        assert "expected" in said
        assert says_nothing_of_the_server(server, said)
    assert still_answers(server)


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "demo/settings.py", "http://169.254.169.254/", "../app.py"])
def test_the_server_s_own_files_are_not_handed_out(server, path):
    with httpx.Client(base_url=server.address) as http:
        answer = http.get(f"{API}/file={path}")
        assert answer.status_code in (403, 404), answer.text[:80]
        assert says_nothing_of_the_server(server, answer.text.replace(path, ""))


def test_monitoring_history_and_analytics_are_off(server, visitor):
    assert visitor.config["analytics_enabled"] is False
    assert not visitor.config.get("run_history")
    with httpx.Client(base_url=server.address) as http:
        assert http.get(f"{API}/monitoring").status_code in (403, 404) or "disabled" in http.get("/monitoring").text
        assert http.get("/config", headers={"Origin": "http://elsewhere.example"}).headers.get(
            "access-control-allow-origin"
        ) in (None, server.address)
    assert "monitoring" not in server.log.read_text()


def test_two_tabs_of_one_person_do_not_mix(server):
    tabs = [Visitor(server.address) for _ in range(2)]
    for tab, name in zip(tabs, ("shepherd", "cows"), strict=True):
        tab.do("segment", picture=tab.upload(EXAMPLES / f"{name}.jpg"), words=f"{name} one; {name} two")
    for tab, name in zip(tabs, ("shepherd", "cows"), strict=True):
        facts = tab.do("result", "select", at=[50, 50])
        assert f"{name} " in facts.data[0]
        tab.close()


def test_clicks_after_the_picture_is_replaced_give_facts_of_the_old_one_never_of_the_new_one(segmented):
    clicks = {element: segmented.do(element, "select", at=[9, 9]).data for element in ("result", "patches")}
    assert "facts" in clicks["result"][0]
    segmented.set(picture=segmented.upload(EXAMPLES / "cows.jpg"))
    for element, facts in clicks.items():
        answer = segmented.do(element, "select", at=[9, 9])
        assert answer.succeeded, answer.error
        assert answer.data == facts, element


def test_a_tab_that_closes_while_its_answer_is_made_leaves_the_server_answering(server):
    for _ in range(3):
        visitor = Visitor(server.address)
        visitor.set(picture=visitor.upload(EXAMPLES / "shepherd.jpg"), words=f"dog {time.time()}; road")
        listener = visitor.event("segment", "click")
        event = visitor.join(listener["id"], visitor.data(listener))
        with visitor.http.stream("GET", f"{API}/queue/data", params={"session_hash": visitor.session}) as stream:
            next(stream.iter_lines())  # leave after the first message
        visitor.close()
        assert event
    with socket.create_connection(("127.0.0.1", httpx.URL(server.address).port)) as half:
        half.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert still_answers(server)


def test_people_at_once_get_their_own_answer_and_hear_their_place(server):
    people, answers = [Visitor(server.address) for _ in range(8)], {}

    def ask(i: int) -> None:
        one = people[i]
        picture = one.upload(EXAMPLES / ("shepherd.jpg", "cows.jpg")[i % 2])
        answers[i] = one.do("segment", picture=picture, words=f"thing {i} {time.time()}; other {i}")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, one in enumerate(people):
        assert answers[i].succeeded, answers[i].error
        legend = one.shown("legend")
        assert f"thing {i}" in legend
        assert not any(f"other {k}" in legend for k in range(8) if k != i)
        assert answers[i].places, "nobody was told a place"
        one.close()
    assert max(place for answer in answers.values() for place in answer.places) >= 1


@pytest.mark.parametrize("words", [1_000, 1_490])
def test_words_that_would_take_minutes_are_refused_at_once(server, visitor, words):
    asked = {"vocabulary": "; ".join(f"thing {i}" for i in range(words)), "templates": "openai80"}
    start = time.perf_counter()
    with pytest.raises(RuntimeError, match="more than the 40000 sentences"):
        call(server.address, "segment", image=visitor.upload(EXAMPLES / "shepherd.jpg"), **asked)
    assert time.perf_counter() - start < 10


ODD = [10**400, -(10**400), 1e308, 5e-324, 2**63, [[[]]] * 50, {"a": 1}, "x" * 5_000, "\0", True]
NUMBERS = [
    *(("segment", name) for name in ("eps", "min_samples", "short_side", "threshold")),
    *(("inspect_patch", name) for name in ("row", "column", "layer", "head", "short_side")),
]


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_strange_numbers_are_answered_or_refused_with_what_was_expected(server, visitor, name, argument, value):
    usual = {"segment": {"vocabulary": WORDS, "include_masks": False}, "inspect_patch": {"row": 1, "column": 1}}[name]
    picture = visitor.upload(EXAMPLES / "shepherd.jpg")
    said = ""
    try:
        call(server.address, name, **{"image": picture, **usual, argument: value})
    except RuntimeError as error:
        said = str(error)
    assert not said or "expected" in said
