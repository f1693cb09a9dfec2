"""Environments of the page: variables, proxies on both sides, folders, ports, `gradio app.py`, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from PIL import Image

import app
from demo import environment
from demo.installable import manifest
from demo.page import build, launch_options
from demo.service import Service
from demo.settings import EXAMPLES, Settings
from tests.proxy import proxied
from tests.server import ROOT, serving
from tests.visitor import API, Visitor, call

# --- page below a path of another site ---


@pytest.fixture(scope="module", params=["/lab", "/a/deeper/place"])
def shown(request):
    """Address of the page behind a proxy that strips its path."""
    os.environ["GRADIO_ROOT_PATH"] = request.param
    try:
        demo = build(Service(Settings(model="nano", device="cpu")))
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    finally:
        del os.environ["GRADIO_ROOT_PATH"]
    with proxied(urlsplit(url).port, request.param) as address:
        yield address
    demo.close()


def test_the_page_can_be_installed_from_below_a_path(shown):
    page = httpx.get(f"{shown}/").text
    base = urljoin(f"{shown}/", re.search(r'<base href="([^"]*)"', page)[1])
    place = urljoin(base, re.search(r'<link rel="manifest" href="([^"]*)"', page)[1])
    manifest = httpx.get(place).raise_for_status().json()
    assert urljoin(place, manifest["start_url"]) == f"{shown}/"
    assert [icon["sizes"] for icon in manifest["icons"]] == ["192x192", "512x512"]
    for icon in manifest["icons"]:
        picture = Image.open(io.BytesIO(httpx.get(urljoin(place, icon["src"])).raise_for_status().content))
        assert f"{picture.width}x{picture.height}" == icon["sizes"]


def test_all_that_the_page_asks_for_lies_below_its_path(shown):
    page = httpx.get(f"{shown}/").text
    base = urljoin(f"{shown}/", re.search(r'<base href="([^"]*)"', page)[1])
    asked = [found for found in re.findall(r'(?:src|href)="([^"]+)"', page) if not found.startswith("http")]
    assert len(asked) >= 4
    for place in (*asked, "theme.css", "favicon.ico", "config"):
        assert httpx.get(urljoin(base, place)).status_code == 200, place


def test_the_page_works_from_below_a_path(shown):
    visitor = Visitor(shown)
    picture = visitor.upload(EXAMPLES / "shepherd.jpg")
    assert visitor.segment(picture=picture, words="dog; grass") is None
    assert visitor.do("patches", "select", at=[9, 9]).succeeded
    heat = visitor.shown("before")
    assert heat["url"].startswith(f"{shown}/")
    assert httpx.get(heat["url"]).status_code == 200
    visitor.close()
    assert call(shown, "segment", image=picture, vocabulary="dog; grass")["model"] == "nano"


@pytest.mark.parametrize("size", ["1", "191", "50000", "-3", "x", "", "512.0"])
def test_icons_come_in_two_sizes_only(shown, size):
    assert httpx.get(f"{shown}/pwa_icon/{size}").status_code == 404


def test_a_whole_address_as_root_path_is_kept():
    icons = json.loads(manifest("x", "https://example.org/lab/"))["icons"]
    assert icons[0]["src"] == "https://example.org/lab/pwa_icon/192"
    assert json.loads(manifest("x", "lab"))["icons"][0]["src"] == "/lab/pwa_icon/192"
    assert json.loads(manifest("x", ""))["icons"][0]["src"] == "/pwa_icon/192"


# --- variables: corrected, or refused with one line ---


@pytest.fixture
def variables(monkeypatch):
    """Environment without the variables tested here; all changes are undone after the test."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("GRADIO_SERVER", "GRADIO_TEMP", "SSL_CERT")):
            monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "GRADIO_TEMP_DIR"):  # undo changes by `settle`
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", os.environ.get("HOME", "/"))
    return monkeypatch


SENSELESS = [
    *(("GRADIO_SERVER_PORT", port) for port in ("abc", "0", "-1", "65536", "80.5", "7_860", "٧٨٦٠", "9" * 5000)),
    *(("GRADIO_NUM_PORTS", "many"), ("GRADIO_DEBUG", "yes"), ("GRADIO_ANALYTICS_MAX_EVENTS", "1e3")),
    *(("GRADIO_TEMP_DIR", folder) for folder in ("/dev/null/x", "/proc/self/nothing", "/etc/hostname")),
    *(("SSL_CERT_FILE", file) for file in ("/no/such/file", "/etc/hostname")),
    *(("http_proxy", proxy) for proxy in ("http://[::1", "http://host:port", "ftp://host")),
    *(("GRADIO_ROOT_PATH", path) for path in ("lab", "/la b", "https://a.org:abc", "https://", "ftp://a.org/lab")),
    *(("CLIPTRASE_TRUSTED_PROXY", proxy) for proxy in ("notanip", "10.0.0.0/8", "127.0.0.1, proxy.example")),
    *(("CLIPTRASE_HOSTS", host) for host in ("https://example.org/lab", "example.org:80", "a b", "..")),
    *(("ALL_PROXY", proxy) for proxy in ("socks4://host:1", "socks://host", "://")),
    *(("HTTPS_PROXY", "gopher://host"), ("all_proxy", "http://host:1/\x01")),
]


@pytest.mark.parametrize(("name", "value"), SENSELESS, ids=lambda value: repr(value[:20]))
def test_a_senseless_variable_is_one_line_that_names_it(name, value, variables, capsys):
    variables.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        environment.settle()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{name}: " in said
    assert "expected" in said


def test_a_machine_without_a_temporary_folder_is_told_which_variable(variables, capsys):
    def none():
        raise FileNotFoundError("No usable temporary directory found in ['/secret']")

    variables.setattr(tempfile, "gettempdir", none)
    with pytest.raises(SystemExit):
        environment.settle()
    said = capsys.readouterr().err
    assert "TMPDIR: " in said
    assert "secret" not in said


@pytest.mark.parametrize(
    "name", ["GRADIO_SERVER_PORT", "GRADIO_NUM_PORTS", "GRADIO_DEBUG", "GRADIO_TEMP_DIR", "http_proxy", "SSL_CERT_FILE"]
)
def test_empty_counts_as_not_set(name, variables):
    variables.setenv(name, "")
    environment.settle()
    assert environment.port() is None


@pytest.mark.parametrize("taken_by", ["a file", "another user"])
def test_a_temporary_folder_that_is_another_s_is_left_alone(taken_by, variables, tmp_path):
    variables.setattr(tempfile, "tempdir", str(tmp_path))
    if taken_by == "a file":
        (tmp_path / "gradio").touch()
    else:  # simulated, since root may write everywhere
        made = tempfile.TemporaryFile

        def refused(folder):
            if Path(folder) == tmp_path / "gradio":
                raise PermissionError(13, "Permission denied")
            return made(dir=folder)

        variables.setattr(tempfile, "TemporaryFile", lambda dir: refused(dir))  # noqa: A006
    environment.settle()
    own = Path(os.environ["GRADIO_TEMP_DIR"])
    assert own.parent == tmp_path
    assert own.name.startswith("gradio-")
    assert own.stat().st_mode & 0o077 == 0  # other users have no access


def test_each_process_has_a_folder_and_deletes_old_files_that_others_left(variables, tmp_path):
    left, used, foreign = (tmp_path / name / "a" / "photo.jpg" for name in ("gradio-lab-1", "gradio-lab-2", "other"))
    for path, age in ((left, 3), (used, 1), (foreign, 3)):
        path.parent.mkdir(parents=True)
        path.touch()
        for place in (path, path.parent, path.parent.parent):
            os.utime(place, 2 * (time.time() - 3600 * age,))
    variables.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    environment.settle()
    own = Path(os.environ["GRADIO_TEMP_DIR"])
    assert (own.parent, own.stat().st_mode & 0o077) == (tmp_path, 0)
    assert not left.parent.exists()
    assert used.is_file()
    assert foreign.is_file()
    environment.settle()  # `gradio app.py` runs the page's file once more
    assert Path(os.environ["GRADIO_TEMP_DIR"]) == own
    (own / "photo.jpg").touch()
    environment.delete_own_folder()
    assert not own.exists()


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:9", "socks5://h:1", "socks5h://user:word@h:1"])
def test_the_page_s_own_machine_is_never_asked_through_a_proxy(name, address, variables):
    variables.setenv(name, address)
    variables.setenv("NO_PROXY", "example.org, .internal")
    environment.settle()
    for variable in ("no_proxy", "NO_PROXY"):
        assert os.environ[variable].split(",") == ["example.org", ".internal", "localhost", "127.0.0.1", "::1"]
    client = httpx.Client()
    scheme = "http" if name == "http_proxy" else "https"
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert client._transport_for_url(httpx.URL(f"{scheme}://{host}:1/")) is client._transport
    assert client._transport_for_url(httpx.URL(f"{scheme}://huggingface.co/")) is not client._transport


def test_an_address_of_this_machine_is_not_asked_through_a_proxy_either(variables):
    variables.setenv("http_proxy", "http://127.0.0.1:9")
    variables.setenv("GRADIO_SERVER_NAME", "192.0.2.7")
    environment.settle()
    assert "192.0.2.7" in os.environ["NO_PROXY"].split(",")


def test_proxies_of_the_system_survive_the_exception_for_this_machine(variables):
    """urllib ignores the settings of macOS and Windows once a variable is set, so they must be copied."""
    variables.setattr(environment.urllib.request, "getproxies", lambda: {"https": "http://proxy.internal:3128"})
    environment.settle()
    assert os.environ["https_proxy"] == "http://proxy.internal:3128"


@pytest.mark.parametrize("home", [None, ""])
def test_without_a_home_nothing_is_called_tilde(home, variables):
    variables.setattr(os.path, "expanduser", lambda path: path)  # a user without an entry in the user database
    if home is None:
        variables.delenv("HOME")
    else:
        variables.setenv("HOME", home)
    environment.settle()
    assert Path(os.environ["HOME"]).is_absolute()


def test_all_of_it_together_works_with_the_real_server(tmp_path):
    (tmp_path / "gradio").touch()
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"127.0.0.1:{proxy.getsockname()[1]}"
        variables = {"http_proxy": f"http://{address}", "ALL_PROXY": f"socks5://{address}", "NO_PROXY": "x.org"}
        with serving(tmp_path, HOME="", TMPDIR=str(tmp_path), GRADIO_TEMP_DIR="", **variables) as server:
            visitor = Visitor(server.address)
            picture = visitor.upload(EXAMPLES / "shepherd.jpg")
            assert visitor.segment(picture=picture, words="dog; grass") is None
            visitor.close()
            uploaded = Path(picture["path"])
            assert uploaded.is_relative_to(tmp_path)
            assert uploaded.exists()
            server.process.send_signal(signal.SIGINT)  # Ctrl-C
            assert server.process.wait(30) == 0
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):  # no connection was made to the proxy
            proxy.accept()
    assert "Traceback" not in server.log.read_text()
    assert not uploaded.exists()  # the end of the program deletes uploads


def test_a_start_that_is_refused_leaves_no_folder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "GRADIO_SERVER_PORT": port}
        ended = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=variables, capture_output=True, timeout=120)
    assert ended.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uploads_go_although_somebody_reads_an_answer_at_the_end(number, tmp_path):
    with serving(tmp_path) as server:
        visitor = Visitor(server.address)
        uploaded = Path(visitor.upload(EXAMPLES / "shepherd.jpg")["path"])
        with visitor.http.stream("GET", f"{API}/heartbeat/{visitor.session}") as alive:
            next(alive.iter_lines())
            listener = visitor.event("segment", "click")
            visitor.join(listener["id"], visitor.data(listener))
            with visitor.http.stream("GET", f"{API}/queue/data", params={"session_hash": visitor.session}) as answers:
                next(answers.iter_lines())
                server.process.send_signal(number)
                assert server.process.wait(30) == 0
        visitor.close()
    assert not uploaded.exists()


# --- address and port ---


def test_a_taken_port_is_said_and_no_other_used_instead(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(app.service, "start", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
        with pytest.raises(SystemExit) as ended:
            app.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"app.py: GRADIO_SERVER_PORT: expected a free port, got {port}, which is taken")


@pytest.mark.parametrize("name", ["no.such.host.invalid", "300.1.1.1", "192.0.2.1", "a b", "x" * 300, "::g"])
def test_an_address_that_is_not_this_machine_s_is_named(name, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    assert environment.why_no_address().startswith("GRADIO_SERVER_NAME: expected")


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--port", "7981"], "GRADIO_SERVER_PORT"),
        (["--server-port=7981"], "GRADIO_SERVER_PORT"),
        (["x"], "deployment.md"),
    ],
)
def test_an_argument_that_is_a_variable_is_named(arguments, remedy):
    ended = subprocess.run(
        [sys.executable, "app.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2
    (said,) = ended.stderr.splitlines()
    assert said.startswith(f"app.py: expected --open or nothing, got {' '.join(arguments)}. ")
    assert remedy in said


# --- `gradio app.py`, and Ctrl-C ---


def test_gradio_s_own_command_may_run_the_file_again_in_a_thread(monkeypatch):
    """`gradio app.py` executes the file a second time to watch it for changes, while the page already runs."""
    source, failed = (ROOT / "app.py").read_text(encoding="utf-8"), []
    monkeypatch.setattr("gradio.Blocks.launch", lambda *_, **__: failed.append("launched again"))

    def run():
        try:
            exec(compile(source, "app.py", "exec"), {"__name__": "__main__"})
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed


@pytest.mark.parametrize("moment", [0.2, 0.7, 1.1])  # an idle machine needs 1.6 s until the page is there
def test_ctrl_c_during_imports_prints_no_trace(moment, tmp_path):
    variables = {"CLIPTRASE_MODEL": "nano", "GRADIO_TEMP_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-u", "app.py"],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert said == ""
    assert process.returncode == 130
