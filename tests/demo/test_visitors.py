"""Fairness between visitors: nobody waits for work of a visitor who has left, or for one with many tabs.

- cancellation of work after a closed tab, a stop, or a closed connection;
- a time limit that ends work but no download; cancelled work does not wait for a lock;
- limits on tabs per address; closed tabs are dropped first, then idle ones;
- the visitor's address behind a proxy;
- requests whose headers do not end, and too many connections.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from cliptrase_core import Cancelled, CancelToken, cancellable
from demo.addresses import group_of, trusted_proxies, visitor_address
from demo.cancelling import Tokens, limit_of
from demo.handling import TOOK_TOO_LONG, errors_as_messages
from demo.jobs import watched
from demo.settings import EXAMPLES, SESSIONS_EACH, TIME_LIMIT_S
from demo.tabs.model import ModelHandlers
from demo.tabs.refine import RefineHandlers
from demo.tabs.result import SegmentHandlers
from demo.visitors import Sessions, _reader, files_in, uploads_in
from tests.server import serving
from tests.visitor import API, Visitor

SOON = 7.0
"""Seconds; the rest of the cancelled work would take three times as long on an idle machine."""
_count = iter(range(10**6))


@pytest.fixture
def visitor(server):
    """Visitor with a cached result."""
    visitor = Visitor(server.address)
    said = visitor.segment(picture=visitor.upload(EXAMPLES / "shepherd.jpg"), words="dog; road")
    assert said is None, said
    yield visitor
    visitor.close()


@pytest.fixture
def stranger(server):
    stranger = Visitor(server.address)
    stranger.do("segment", picture=stranger.upload(EXAMPLES / "shepherd.jpg"), words="dog; road")
    yield stranger
    stranger.close()


def many_words() -> str:
    """Return words that are not cached yet; they take about half a minute."""
    number = next(_count)
    return "; ".join(f"thing {number} {i}" for i in range(1400))


def begin(stranger: Visitor, work: str) -> tuple[str, int, str]:
    """Start long work. Return the event, its listener, and the session under which its answer is read."""
    element = "compare-go" if work == "compare" else "segment"
    if work == "large":
        stranger.set(**{"Short side in pixels": "1024"})
        stranger.set(words="cat; dog")
    elif work == "compare":
        stranger.set(**{"other-words": many_words()})
    else:
        stranger.set(words=many_words())
    listener = stranger.event(element, "click")
    return stranger.join(listener["id"], stranger.data(listener)), listener["id"], stranger.session


@contextlib.contextmanager
def reading(stranger: Visitor, event: str):
    """Read the stream until the work has been running for 0.7 s; at the end, close the tab."""
    with stranger.http.stream("GET", f"{API}/queue/data", params={"session_hash": stranger.session}) as stream:
        lines = stream.iter_lines()  # this reference keeps the stream open
        assert any("process_starts" in line and event in line for line in lines)
        time.sleep(0.7)
        yield
        del lines


def seconds_until_answered(visitor: Visitor) -> float:
    start = time.monotonic()
    said = visitor.segment(words="dog; road")
    assert said is None, said
    return time.monotonic() - start


@pytest.mark.parametrize("work", ["words", "large", "compare"])
def test_the_next_visitor_does_not_wait_for_work_that_nobody_waits_for(visitor, stranger, work):
    event, _, _ = begin(stranger, work)
    with reading(stranger, event):
        pass
    assert seconds_until_answered(visitor) < SOON


@pytest.mark.parametrize("times", [1, 4])
def test_stop_stops_the_work_however_often_it_is_asked_for(visitor, stranger, times):
    for _ in range(times):
        event, listener, session = begin(stranger, "words")
        body = {"session_hash": session, "fn_index": listener, "event_id": event}
        with reading(stranger, event):
            stranger.http.post(f"{API}/cancel", json=body).raise_for_status()
    assert seconds_until_answered(visitor) < SOON


def test_a_program_that_hangs_up_is_not_worked_for_either(server, visitor):
    picture = visitor.upload(EXAMPLES / "shepherd.jpg")
    with httpx.Client(base_url=server.address, timeout=30) as http:
        body = {"image": picture, "vocabulary": many_words()}
        event = http.post(f"{API}/call/v2/segment", json=body).json()["event_id"]
        with pytest.raises(httpx.ReadTimeout):
            http.get(f"{API}/call/segment/{event}", timeout=1.5)
    assert seconds_until_answered(visitor) < SOON


# --- without a server ---


def test_a_token_is_the_same_for_all_steps_of_an_event_and_goes_with_it():
    wanted = Tokens()
    first = wanted.token("a", "tab", 0.0)
    assert wanted.token("a", "tab", 0.0) is first
    assert wanted.token("b", "tab", 0.0) is not first
    assert wanted.token(None, "tab", 0.0) is not wanted.token(None, "tab", 0.0)
    wanted.done("a")
    wanted.done("never there")
    assert len(wanted) == 1


@pytest.mark.parametrize(("name", "ended"), [("tab 1", {"a", "b"}), ("c", {"c"}), ("tab 3", set()), ("a", {"a"})])
def test_who_goes_ends_his_own_work_only(name, ended):
    wanted = Tokens()
    tokens = {event: wanted.token(event, tab, 0.0) for event, tab in (("a", "tab 1"), ("b", "tab 1"), ("c", "tab 2"))}
    wanted.cancel_reader(name)
    assert {event for event, token in tokens.items() if token.cancelled} == ended


@pytest.mark.parametrize("name", ["a", "tab"])
def test_who_goes_before_his_work_has_begun_does_not_want_it_but_may_come_back(name):
    wanted = Tokens()
    asked = time.monotonic() - 1
    wanted.cancel_reader(name)
    assert wanted.token("a", "tab", asked).cancelled
    assert not wanted.token("b", "tab", time.monotonic() + 1).cancelled
    assert not wanted.token("c", "another", asked).cancelled


def test_tokens_of_events_that_ended_without_a_word_are_dropped(monkeypatch):
    wanted, now = Tokens(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    wanted.token("a", None, 0.0)
    wanted.cancel_reader("x")
    now[0] = 10 * TIME_LIMIT_S
    wanted.token("b", None, 0.0)
    assert not wanted._disconnected
    assert len(wanted) == 1


def test_downloads_have_no_time_limit_and_all_else_has():
    unlimited = (ModelHandlers.load, ModelHandlers.load_offered, RefineHandlers.fetch)
    limited = (SegmentHandlers.segment, SegmentHandlers.download, RefineHandlers.refine)
    assert [limit_of(handler) for handler in unlimited] == [None] * 3
    assert [limit_of(handler) for handler in limited] == [TIME_LIMIT_S] * 3


@pytest.mark.parametrize("steps", [True, False])
def test_the_time_limit_is_said_and_a_stop_is_no_failure(steps, caplog):
    @errors_as_messages
    def once():
        with cancellable(CancelToken(0.0)):
            raise_if_cancelled()

    @errors_as_messages
    def several():
        with cancellable(CancelToken(0.0)):
            yield from watched(lambda tell: tell(0.5, "half"))

    with pytest.raises(Exception, match="because other visitors wait") as said:
        list(several()) if steps else once()
    assert str(said.value.message) == TOOK_TOO_LONG
    assert not caplog.records


def raise_if_cancelled() -> None:
    from cliptrase_core.cancel import check

    check()


def test_work_in_a_thread_of_its_own_heeds_the_token_of_its_maker():
    token, seen = CancelToken(), threading.Event()

    def work(tell):
        seen.set()
        while True:
            time.sleep(0.01)
            raise_if_cancelled()  # like the core, which never calls `tell`

    with cancellable(token):
        steps = watched(work)
        thread = threading.Timer(0.1, token.cancel)
        thread.start()
        with pytest.raises(Cancelled):
            list(steps)
    assert seen.is_set()


def test_who_left_long_ago_is_forgotten_also_if_no_work_begins(monkeypatch):
    wanted = Tokens()
    for name in ("a", "b", "a"):
        wanted.cancel_reader(name)
    assert list(wanted._disconnected) == ["b", "a"]
    monkeypatch.setattr("demo.cancelling.FORGOTTEN_S", 0.0)
    for i in range(100):
        wanted.cancel_reader(f"stranger {i}")
    assert len(wanted._disconnected) <= 1


LONG_NAMES = ["x" * 65, "x" * 50_000, "a_b", "a b", "", "\n", "<b>", "\u00e4"]


@pytest.mark.parametrize("name", LONG_NAMES, ids=lambda name: repr(name)[:20])
def test_names_of_sessions_that_no_browser_chooses_are_refused_and_not_stored(server, name):
    with httpx.Client(base_url=server.address) as http:
        read = http.get(f"{API}/queue/data", params=[("session_hash", "x"), ("session_hash", name)])
        joined = http.post(f"{API}/queue/join", json={"fn_index": 0, "data": [], "session_hash": name})
        event = http.get(f"{API}/call/segment/{quote(name)}")
    assert (read.status_code, joined.status_code) == (400, 400)
    assert "expected 1 to 64 letters, digits and dashes" in read.text
    assert read.text == joined.text
    assert event.status_code in (400, 404, 405)


def test_a_reader_counts_under_the_name_by_which_gradio_knows_him():
    scope = {"type": "http", "method": "GET", "path": f"{API}/queue/data", "query_string": b"session_hash=a"}
    assert _reader(scope) == "a"
    assert _reader({**scope, "query_string": b"session_hash=a&session_hash=b"}) == "b"
    assert _reader({**scope, "query_string": b""}) is None
    assert _reader({**scope, "path": f"{API}/call/segment/c", "query_string": b"session_hash=a"}) == "c"


# --- tabs of an address ---


class _Tab:
    def __init__(self, is_closed: bool = False) -> None:
        self.is_closed = is_closed


def holding(most: int, each: int, monkeypatch) -> Sessions:
    monkeypatch.setattr("gradio.state_holder.SessionState", lambda blocks: _Tab())
    sessions = Sessions(most, each)
    sessions.blocks = None
    return sessions


def open_tab(sessions: Sessions, name: str, address: str) -> None:
    sessions[name]
    sessions.note(name, address)


@pytest.mark.parametrize(("most", "each"), [(20, 5), (8, 100), (20, 10)])
def test_many_tabs_of_a_stranger_push_out_nobody_else(most, each, monkeypatch):
    sessions = holding(most, each, monkeypatch)
    for name in ("ann", "bob"):
        open_tab(sessions, name, f"10.0.0.{name}")
    for i in range(600):
        open_tab(sessions, f"stranger {i}", "9.9.9.9")
    assert {"ann", "bob"} <= set(sessions.session_data)
    assert len(sessions.session_data) <= min(most, each + 2)
    assert "stranger 599" in sessions.session_data, "the newest stays"


def test_tabs_that_were_never_said_whose_they_are_count_as_one_address(monkeypatch):
    sessions = holding(20, 5, monkeypatch)
    open_tab(sessions, "ann", "10.0.0.1")
    for i in range(100):
        sessions[f"nobody {i}"]
    assert "ann" in sessions.session_data
    assert len(sessions.session_data) == 6


def test_closed_tabs_go_first_then_idle_ones(monkeypatch):
    sessions = holding(100, 3, monkeypatch)
    for name in "abc":
        open_tab(sessions, name, "9.9.9.9")
    sessions.session_data["b"].is_closed = True
    open_tab(sessions, "d", "9.9.9.9")
    assert list(sessions.session_data) == ["a", "c", "d"]
    sessions["a"]
    open_tab(sessions, "e", "9.9.9.9")
    assert list(sessions.session_data) == ["d", "a", "e"], "c is idle for longer than a, which was used again"


def test_files_go_with_the_last_open_tab_that_has_them(monkeypatch):
    sessions = holding(100, 100, monkeypatch)
    for name, files in (("me before", "abc"), ("me", "ad"), ("ended", "ae"), ("another", "dx")):
        sessions[name]
        sessions.note(name, "9.9.9.9", files)
    for name in ("me before", "ended"):
        sessions.session_data[name].is_closed = True
    earlier = ["me before", "another", "never there"]
    assert sessions.give_back("me", earlier) == (["a", "b", "c"], 1)
    assert sessions.give_back("me", earlier) == ([], 1), "what stays is not forgotten"
    assert sessions.give_back("another") == (["d", "x"], 0)
    assert sessions.give_back("me", earlier)[1] == 0


def test_calls_by_name_neither_push_out_a_tab_nor_hold_its_picture(server, tmp_path):
    visitor = Visitor(server.address)
    path = tmp_path / "mine 31.png"
    Image.fromarray(np.random.default_rng(31).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    picture = visitor.upload(path)
    assert visitor.segment(picture=picture, words="dog; road") is None
    for _ in range(SESSIONS_EACH + 2):
        event = visitor.http.post(f"{API}/call/models", json={"data": []}).json()["event_id"]
        visitor.http.get(f"{API}/call/models/{event}")
    assert visitor.do("download").succeeded
    body = {"image": picture, "vocabulary": "dog; road"}
    event = visitor.http.post(f"{API}/call/v2/segment", json=body).json()["event_id"]
    assert "event: complete" in visitor.http.get(f"{API}/call/segment/{event}").text
    visitor.do("delete-mine")
    assert "stayed" not in visitor.shown("mine")
    assert not Path(picture["path"]).exists()
    visitor.close()


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address, group):
    assert group_of(address) == group


SPACE = trusted_proxies({"SPACE_ID": "me/lab"})
NAMED = trusted_proxies({"CLIPTRASE_TRUSTED_PROXY": "127.0.0.1, 10.0.0.5"})


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        ("5.5.5.5", "1.1.1.1", frozenset(), "5.5.5.5"),  # no proxy is trusted
        ("5.5.5.5", "1.1.1.1", NAMED, "5.5.5.5"),  # this peer is not trusted
        ("127.0.0.1", "1.1.1.1", NAMED, "1.1.1.1"),
        ("127.0.0.1", "6.6.6.6, 1.1.1.1", NAMED, "1.1.1.1"),  # the visitor may have written the first entry
        ("127.0.0.1", "1.1.1.1, 10.0.0.5", NAMED, "1.1.1.1"),  # two proxies
        ("127.0.0.1", "192.168.1.7", NAMED, "192.168.1.7"),  # a visitor of a local network, as in a school
        ("127.0.0.1", "", NAMED, "127.0.0.1"),
        ("127.0.0.1", "nonsense", NAMED, "127.0.0.1"),
        ("10.1.1.1", "6.6.6.6, 8.8.8.8, 10.2.2.2", SPACE, "8.8.8.8"),
        ("10.1.1.1", "10.2.2.2", SPACE, "10.1.1.1"),
        ("10.1.1.1", "[2606:4700::1]", SPACE, "2606:4700::1"),
    ],
)
def test_whose_address_counts_behind_a_proxy(peer, forwarded, proxies, expected):
    assert visitor_address(peer, forwarded, proxies) == expected


def test_a_tab_that_is_dropped_while_its_event_runs_leaves_no_trace(monkeypatch):
    sessions = holding(20, 1, monkeypatch)
    open_tab(sessions, "ann", "10.0.0.1")
    sessions.note("ann", "10.0.0.1", ["/up/a.png"])
    open_tab(sessions, "ann again", "10.0.0.1")
    sessions.note("ann", "10.0.0.1", ["/up/a.png", "/up/made.png"])
    sessions.note("ann again", "10.0.0.1", ["/up/a.png"])
    assert list(sessions.session_data) == list(sessions._address) == ["ann again"]
    assert sessions.give_back("ann again") == (["/up/a.png"], 0)
    assert sessions.give_back("ann") == ([], 0)


@pytest.fixture
def uploads(tmp_path):
    """Folder of uploads with two files, next to a folder whose name begins like its own."""
    for name in ("up/a.png", "up/c", "up-other/x"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return str(tmp_path / "up")


def test_files_are_found_at_any_depth_and_only_below_the_folder(uploads):
    sent = [
        {"path": f"{uploads}/a.png", "url": f"http://x/file={uploads}/c"},
        [f"{uploads}/c", {"x": [f"{uploads}/../up/c", "/etc/passwd", 7, None]}],
    ]
    assert list(files_in(sent, uploads)) == [f"{uploads}/a.png", f"{uploads}/c"]
    assert list(uploads_in([*sent, {"value": [sent[0]]}], uploads)) == [f"{uploads}/a.png"] * 2


@pytest.mark.parametrize("end", ["-other/x", "/nothing", "/", "//c", "/./c", "/c\0", "/" + "x" * 900_000])
def test_what_only_looks_like_a_file_of_the_folder_is_not_recorded(uploads, end):
    sent = [uploads + end, {"path": uploads + end}]
    assert not list(files_in(sent, uploads))
    assert not list(uploads_in(sent, uploads))


# --- connections ---


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with small limits, behind a proxy that it trusts."""
    limits = "SESSIONS=20, SESSIONS_EACH=5, HEAD_TIMEOUT_S=3, CONNECTIONS_EACH=12"
    code = f'import runpy, demo.settings as s; vars(s).update({limits}); runpy.run_path("app.py", run_name="__main__")'
    with serving(tmp_path_factory.mktemp("strict"), ("-c", code), CLIPTRASE_TRUSTED_PROXY="127.0.0.1") as server:
        yield server


def behind_a_proxy(server, address: str) -> Visitor:
    return Visitor(server.address, headers={"X-Forwarded-For": f"6.6.6.6, {address}"})


@pytest.mark.parametrize("address", ["8.8.4.4", "2606:4700:1:2::9"])
def test_many_tabs_behind_one_address_keep_nobody_else_s_result_from_him(strict, address):
    ann = behind_a_proxy(strict, "9.9.9.9")
    assert ann.segment(picture=ann.upload(EXAMPLES / "shepherd.jpg"), words="dog; road") is None
    stranger = behind_a_proxy(strict, address)
    listener = stranger.event("result", "select")
    for i in range(25):
        stranger.session = f"{address} {i}".replace(":", "").replace(".", "").replace(" ", "")
        stranger.send(listener["id"], stranger.data(listener), {"index": [1, 1], "value": None})
    clicked = ann.do("result", "select", at=[100, 100])
    assert clicked.succeeded
    assert "dog" in clicked.data[0] or "road" in clicked.data[0], "her result is still known"
    ann.close()
    stranger.close()


def test_requests_whose_headers_do_not_end_are_closed(strict):
    port = httpx.URL(strict.address).port
    beginnings = (b"", b"G", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"POST /gradio_api/upload HTTP/1.1\r\nX: ")
    halves = [socket.create_connection(("127.0.0.1", port)) for _ in beginnings]
    for one, beginning in zip(halves, beginnings, strict=True):
        one.sendall(beginning)
    again = socket.create_connection(("127.0.0.1", port))
    again.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"200 OK" in again.recv(1000)
    again.sendall(b"G")  # the second request of a keep-alive connection
    for one in [*halves, again]:
        one.settimeout(10)
        while read(one):
            pass


def test_an_address_has_only_so_many_connections_and_others_are_served(strict):
    port, there = httpx.URL(strict.address).port, "127.0.0.2"
    many = [socket.create_connection(("127.0.0.1", port), source_address=(there, 0)) for _ in range(20)]
    time.sleep(0.2)  # less than HEAD_TIMEOUT_S
    for one in many:
        one.settimeout(0)
    assert sum(is_closed(one) for one in many) == 8
    with httpx.Client(base_url=strict.address, transport=httpx.HTTPTransport(local_address=there)) as stranger:
        with pytest.raises(httpx.HTTPError):
            stranger.get("/healthz")
        assert httpx.get(f"{strict.address}/healthz").status_code == 200
        for one in many:
            one.close()
        time.sleep(0.2)
        assert stranger.get("/healthz").status_code == 200


def read(one: socket.socket) -> bytes:
    try:
        return one.recv(1000)
    except ConnectionResetError:
        return b""


def is_closed(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False
