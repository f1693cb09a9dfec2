"""Gate that checks all requests: hosts, origins, routes, bodies and uploads, without and with the real server."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from demo import security
from demo.errors import NO_ROOM
from demo.file_kinds import is_archive, is_picture
from demo.json_text import is_nested_deeper
from demo.security import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_FILES,
    MAX_UPLOAD_BYTES,
    Gate,
    allowed_hosts,
    delete_oldest,
    is_allowed,
)
from tests.visitor import API, until


async def _inner(scope, receive, send):
    """ASGI app that reads the body and answers with its size and the request's headers."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    found = json.dumps({"size": len(body), "headers": headers}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": found})


def gated(**environment: str) -> httpx.AsyncClient:
    app = Gate(_inner, lambda: True, environment)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("9.9.9.9", 1)), base_url="http://127.0.0.1:7860"
    )


def ask(method: str, path: str, *, environment=None, **request) -> httpx.Response:
    async def once() -> httpx.Response:
        async with gated(**(environment or {})) as client:
            return await client.request(method, path, **request)

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("host", "environment", "answered"),
    [
        ("127.0.0.1:7860", {}, True),
        ("localhost", {}, True),
        ("LOCALHOST:1", {}, True),
        ("[::1]:7860", {}, True),
        ("192.168.1.20:7860", {}, True),  # a foreign page cannot have an IP address as its name
        ("evil.example", {}, False),
        ("localhost.evil.example", {}, False),
        ("127.0.0.1.evil.example", {}, False),
        ("", {}, False),
        ("lab.example.org", {"CLIPTRASE_HOSTS": "lab.example.org, other.example"}, True),
        ("sub.lab.example.org", {"CLIPTRASE_HOSTS": "lab.example.org"}, False),
        ("sub.example.org", {"CLIPTRASE_HOSTS": ".example.org"}, True),
        ("notexample.org", {"CLIPTRASE_HOSTS": ".example.org"}, False),
        ("example.org", {"GRADIO_ROOT_PATH": "https://example.org/lab"}, True),
        ("example.org", {"GRADIO_ROOT_PATH": "https://[example.org"}, False),
        ("mybox.lan:7860", {"GRADIO_SERVER_NAME": "mybox.lan"}, True),
        ("me-lab.hf.space", {"SPACE_ID": "me/lab", "SPACE_HOST": "me-lab.hf.space"}, True),
        ("me-lab.hf.space", {}, False),
    ],
)
def test_the_page_answers_to_its_own_names_only(host, environment, answered):
    got = ask("GET", "/", headers={"Host": host}, environment=environment)
    assert got.status_code == (200 if answered else 421)
    if not answered:
        assert "CLIPTRASE_HOSTS" in got.text


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "http://localhost.evil.example", "null", "", "file://", "::", "http://[::1"),
        *("http://203.0.113.5", "http://203.0.113.5:7860", "http://[2001:db8::5]", "http://192.168.1.20"),
    ],
)
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/config"])
def test_other_pages_are_not_answered(origin, path):
    assert ask("POST", path, headers={"Origin": origin}, content=b"{}").status_code == 403
    assert ask("POST", path, headers={"Origin": "http://127.0.0.1:7860"}, content=b"[]").status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "answered"),
    [
        ("192.168.1.20:7860", "http://192.168.1.20:7860", True),  # a classroom
        ("192.168.1.20", "https://192.168.1.20:8443", True),  # a proxy ends HTTPS and leaves out the port
        ("[2001:db8::5]:7860", "http://[2001:db8::5]:7860", True),
        ("192.168.1.20:7860", "http://192.168.1.21:7860", False),
        ("[2001:db8::5]:7860", "http://[2001:db8::6]:7860", False),
        ("192.168.1.20:7860", "null", False),
        ("192.168.1.20:7860", "http://localhost:3000", True),  # a page of the visitor's own machine
        ("127.0.0.1:7860", "http://[::1]:7860", True),
        ("127.0.0.1:7860", "https://lab.example.org", True),  # a proxy that does not pass Host on
        ("127.0.0.1:7860", "https://lab.example.org:8443", True),
        ("127.0.0.1:7860", "http://203.0.113.9", True),
        ("lab.example.org", "http://203.0.113.5", False),
    ],
)
def test_a_page_on_an_address_is_answered_if_the_request_went_there(host, origin, answered):
    named = {"CLIPTRASE_HOSTS": "lab.example.org, 203.0.113.9"}
    got = ask("POST", "/gradio_api/upload", headers={"Host": host, "Origin": origin}, environment=named, content=b"")
    assert got.status_code == (200 if answered else 403)


def test_the_address_that_a_trusted_proxy_was_called_by_is_the_page_s_own():
    headers = {"X-Forwarded-Host": "203.0.113.5:8443", "Origin": "https://203.0.113.5:8443"}
    assert ask("POST", "/gradio_api/upload", headers=headers).status_code == 403
    named = {"CLIPTRASE_TRUSTED_PROXY": "9.9.9.9"}
    assert ask("POST", "/gradio_api/upload", headers=headers, environment=named).status_code == 200
    foreign = {"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    assert ask("POST", "/gradio_api/upload", headers=foreign, environment=named).status_code == 403


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Gradio-Server", "X-Forwarded-Proto", "Forwarded", "x-forwarded-for"]
)
def test_forwarded_headers_come_from_named_proxies_only(name):
    given = {"headers": {name: "evil.example"}}
    assert name.lower() not in ask("GET", "/config", **given).json()["headers"]
    named = {"CLIPTRASE_TRUSTED_PROXY": "10.0.0.1, 9.9.9.9"}
    assert ask("GET", "/config", environment=named, **given).json()["headers"][name.lower()] == "evil.example"


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/process_recording", "/gradio_api/deep_link", "/gradio_api/dev/reload", "/monitoring", "/runs"),
        *("/gradio_api/proxy=http://169.254.169.254/", "/gradio_api/file=http://evil.example/a.png", "/openapi.json"),
        *("/gradio_api/file/https://evil.example/", "/pwa_icon/20000", "/pwa_icon", "/gradio_api/vibe-code", "/login"),
        *("/gradio_api/stream/a/b/c/playlist.m3u8", "/gradio_api/token", "/.env"),
        "/gradio_api/component_server",
    ],
)
def test_routes_that_the_page_does_not_use_are_not_there(path):
    assert ask("GET", path).status_code == 404
    assert ask("POST", path).status_code == 404


def test_reloading_is_there_for_developers():
    assert ask("GET", "/gradio_api/dev/reload", environment={"GRADIO_WATCH_DIRS": "demo"}).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/segment", "/gradio_api/cancel"])
def test_a_large_body_is_refused_while_it_comes(declared, path):
    asked = []

    def parts():
        for _ in range(50):
            asked.append(1)
            yield b"[]," * 100_000

    async def stream():
        for part in parts():
            yield part

    content = b"x" * (MAX_BODY + 1) if declared else stream()
    assert ask("POST", path, content=content).status_code == 413
    assert len(asked) < 6, "the rest is not read"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, 200),
        (b"[" * (MAX_DEPTH + 1), 400),
        (b'{"a":' * 900 + b"1" + b"}" * 900, 400),
        (b"[{" * 30, 400),
        (json.dumps({"words": "[" * 900 + '{"' * 50 + "\\"}).encode(), 200),  # brackets inside a string do not count
        (b'["\\\\", ' + b"[" * 60, 400),  # the string ends before them: its backslash is escaped
        (b"[]," * 1000, 200),
        (b'"' + b'\\"[' * 60 + b'"', 200),
        (b'"' + b"\\\\" * 60 + b'"' + b"[" * 60, 400),
        (b'["x", ' * 60, 400),
        (b"]" * 60 + b"[" * 60 + b"x", 200),  # no parser comes to the second half
        *((json.dumps("[" * 30).encode(encoding), 400) for encoding in ("utf-16", "utf-16-le", "utf-32-be")),
        (("[" * 900 + "]" * 900).encode("utf-16"), 400),
        (json.dumps("\0").encode(), 200),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_depth_is_counted_outside_of_texts_however_the_body_is_cut(body, status, pieces):
    step = max(1, len(body) // pieces)

    async def stream():
        for start in range(0, len(body), step):
            yield body[start : start + step]

    assert ask("POST", "/gradio_api/queue/join", content=stream()).status_code == status


@pytest.mark.parametrize("hostile", [b'\\"', b'"', b"[]", b'"\\\\', b'"\\', b"[", b"\\", b'[{"a":[]}],'], ids=repr)
def test_a_body_is_checked_in_little_time_whatever_it_contains(hostile):
    body = b"[" * 41 + b"]" * 41 + hostile * (900_000 // len(hostile))
    times = []
    for _ in range(5):
        start = time.process_time()
        is_nested_deeper(body, MAX_DEPTH)
        times.append(time.process_time() - start)
    assert min(times) < 0.25  # a loop in Python took 0.55 s, a search that goes back takes hours


def test_a_body_that_stops_coming_is_given_up(monkeypatch):
    monkeypatch.setattr(security, "READ_TIMEOUT_S", 0.05)

    async def stream():
        yield b"["
        await asyncio.sleep(0.5)
        yield b"]"

    assert ask("POST", "/gradio_api/queue/join", content=stream()).status_code == 408


def test_more_files_at_once_than_are_taken_are_refused():
    files = [("files", (f"{i}.png", b"\x89PNG\r\n\x1a\n")) for i in range(MAX_FILES + 1)]
    assert ask("POST", "/gradio_api/upload", files=files).status_code == 413
    assert ask("POST", "/gradio_api/upload", files=files[:-1]).status_code == 200


@pytest.mark.parametrize("name", ["filename", "FileName", "filename "])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_files_are_counted_however_the_upload_is_cut_and_written(name, size):
    def upload(count: int) -> bytes:
        head = '--x\r\nContent-Disposition: form-data; name="files"; {}="{}.png"\r\n\r\n\x89PNG\r\n'
        return "".join(head.format(name, i) for i in range(count)).encode() + b"--x--\r\n"

    async def stream(body: bytes):
        for start in range(0, len(body), size):
            yield body[start : start + size]

    for count, status in ((MAX_FILES, 200), (MAX_FILES + 1, 413)):
        assert ask("POST", "/gradio_api/upload", content=stream(upload(count))).status_code == status


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_pictures_are_known_by_their_first_bytes(kind):
    assert is_picture(encoded(kind)[:16])


@pytest.mark.parametrize(
    ("start", "yes"), [(b"PK\x03\x04", True), (b"PK\x05\x06", False), (b"PK", False), (b"Rar!\x1a", False)]
)
def test_archives_are_known_by_their_first_bytes(start, yes):
    assert is_archive(start + bytes(8)) is yes


@pytest.mark.parametrize("start", [b"", b"%PDF-1.7", b"PK\x03\x04", b"\x7fELF", b"<svg xmlns", b"RIFF0000WAVE"])
def test_other_files_are_not(start):
    assert not is_picture(start)


def test_the_oldest_files_go_when_room_is_short(tmp_path):
    for age, name in enumerate("abcd"):
        file = tmp_path / name / "file"
        file.parent.mkdir()
        file.write_bytes(bytes(100))
        os.utime(file, (age, age))
    delete_oldest(tmp_path, quota=250)
    assert sorted(path.parent.name for path in tmp_path.rglob("file")) == ["c", "d"]
    delete_oldest(tmp_path, quota=250)
    assert len(list(tmp_path.rglob("file"))) == 2


def test_names_of_hosts_are_compared_without_case_and_final_dot():
    assert is_allowed("Lab.Example.Org.", allowed_hosts({"CLIPTRASE_HOSTS": "LAB.example.org"}))


# --- the real server ---


def test_health_is_answered_at_once_by_any_name(server):
    with httpx.Client(base_url=server.address) as http:
        answer = http.get("/healthz", headers={"Host": "10.1.2.3"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"[" * 60, 400, "nested too deep"),
        (("[" * 900 + "]" * 900).encode("utf-16"), 400, "expected JSON in UTF-8"),
        (b"[]," * 400_000, 413, "larger than 1 MB"),
    ],
)
def test_the_real_page_says_why_a_body_is_refused(server, body, status, reason):
    async def parts():
        yield body

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(base_url=server.address) as http:
            return await http.post(f"{API}/queue/join", content=parts())

    got = asyncio.run(answer())
    assert (got.status_code, reason in got.text) == (status, True)


def test_a_large_file_that_is_no_picture_is_not_kept(server, tmp_path):
    before = set(server.files())
    with httpx.Client(base_url=server.address) as http:
        refused = http.post(f"{API}/upload", files={"files": ("a.png", b"no picture" * 200_000)})
        mixed = [("files", ("a.png", encoded("PNG"))), ("files", ("b.bin", bytes(2_000_000)))]
        both = http.post(f"{API}/upload", files=mixed)
        archive = http.post(f"{API}/upload", files={"files": ("a.zip", b"PK\x03\x04" + bytes(1_200_000))})
        small = http.post(f"{API}/upload", files={"files": ("a.pdf", b"%PDF-1.7 small")})
        good = http.post(f"{API}/upload", files={"files": ("a.png", encoded("PNG"))})
    assert (refused.status_code, both.status_code, small.status_code, good.status_code) == (415, 415, 200, 200)
    assert "1 of 2 files" in both.text
    assert archive.status_code == 200  # archives are checked before unpacking: tests/demo/test_reopen.py
    assert sum(path.stat().st_size for path in set(server.files()) - before) < 1_000_000 + 1_200_004


def test_a_picture_has_a_limit_and_an_archive_of_the_page_may_be_larger(server):
    size, before = MAX_UPLOAD_BYTES + 1, set(server.files())
    with httpx.Client(base_url=server.address, timeout=60) as http:
        picture = http.post(f"{API}/upload", files={"files": ("a.png", encoded("PNG").ljust(size, b"0"))})
        kept = set(server.files()) - before
        archive = http.post(f"{API}/upload", files={"files": ("a.zip", b"PK\x03\x04".ljust(size, b"0"))})
    assert (picture.status_code, archive.status_code) == (413, 200)
    assert "Expected pictures of at most 40 MB, got more" in picture.text
    assert not kept


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example"])
def test_the_real_page_is_not_shown_under_a_foreign_name(server, host):
    with httpx.Client(base_url=server.address) as http:
        assert http.get("/", headers={"Host": host}).status_code == 421
        shown = http.get("/config", headers={"X-Forwarded-Host": host, "X-Gradio-Server": f"http://{host}"})
    assert shown.status_code == 200
    assert host not in shown.text


def test_nonsense_instead_of_a_host_is_refused(server):
    with socket.create_connection(("127.0.0.1", httpx.URL(server.address).port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")
        assert raw.recv(100).split()[1] in (b"400", b"421")


def test_an_upload_that_breaks_off_leaves_no_file(server):
    def unfinished() -> set:
        return {path for path in server.files() if path.name.startswith("tmp")}

    with httpx.Client(base_url=server.address) as http:
        kept = http.post(f"{API}/upload", files={"files": ("a.png", encoded("PNG"))}).json()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n\xff\xd8\xff'
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port)) as phone:
        request = f"POST {API}/upload HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 5000000\r\n"
        kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        phone.sendall((request + kind).encode() + head + bytes(1_000_000))
        until(unfinished)  # it is written while it comes
        (first,) = unfinished()
        with socket.create_connection((address.hostname, address.port)) as other:
            other.sendall((request + kind).encode() + head + bytes(500_000))
            until(lambda: len(unfinished()) == 2)
        time.sleep(0.5)
        assert first in unfinished(), "the first one is still under way"
    until(lambda: not unfinished(), 10)
    assert [Path(path).is_file() for path in kept] == [True]


def test_a_full_disk_is_named_and_not_a_bare_500():
    async def full(scope, receive, send):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/tmp1")

    async def broken(scope, receive, send):
        raise OSError(errno.EIO, "Input/output error")

    async def answer(app) -> httpx.Response:
        transport = httpx.ASGITransport(Gate(app, lambda: True, {}), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
            return await http.post(f"{API}/upload", files={"files": ("a.png", encoded("PNG"))})

    got = asyncio.run(answer(full))
    assert (got.status_code, got.text) == (507, NO_ROOM)
    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(answer(broken))
