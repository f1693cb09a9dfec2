"""No network access: start-up, a result and an attention view, in a process that logs and refuses other addresses."""

from __future__ import annotations

from demo.settings import EXAMPLES
from tests.server import serving
from tests.visitor import Visitor, call

GUARD = '''
import ipaddress, runpy, socket, sys

def note(host):
    """Only this machine may be asked; anything else is written down and refused."""
    host = (host or b"127.0.0.1").decode() if isinstance(host, (bytes, type(None))) else str(host)
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback or host == "0.0.0.0"
    except ValueError:
        inside = False
    if not inside:
        print("REFUSED", host, flush=True)
        raise OSError(f"no network: {host}")

lookup, connect, connect_ex, sendto = (
    socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
)
socket.getaddrinfo = lambda host, *rest, **named: (note(host), lookup(host, *rest, **named))[1]
socket.gethostbyname = lambda host: (note(host), host)[1]

class Guarded(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            note(address[0])
        return connect(self, address)

    def connect_ex(self, address):
        if self.family != socket.AF_UNIX:
            note(address[0])
        return connect_ex(self, address)

    def sendto(self, data, *rest):
        if self.family != socket.AF_UNIX:
            note(rest[-1][0])
        return sendto(self, data, *rest)

socket.socket = Guarded
print("GUARDED", flush=True)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    print("GUARD WORKS", flush=True)
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
'''


def test_nothing_leaves_the_machine(tmp_path):
    with serving(tmp_path, ("-c", GUARD)) as server:
        visitor = Visitor(server.address)
        picture = visitor.upload(EXAMPLES / "shepherd.jpg")
        assert visitor.segment(picture=picture, words="dog; road") is None
        assert visitor.do("result", "select", at=[9, 9]).succeeded
        assert visitor.do("patches", "select", at=[9, 9]).succeeded
        assert call(server.address, "segment", image=picture, vocabulary="dog; road; wall")["classes"]
        assert call(server.address, "inspect_patch", image=picture, row=1, column=1)["grid"]
        for path in ("/", "/theme.css", "/manifest.json", "/gradio_api/info"):
            assert visitor.http.get(path).status_code == 200
        visitor.close()
    said = server.log.read_text()
    assert "GUARD WORKS" in said
    refused = [line for line in said.splitlines() if line.startswith("REFUSED")]
    assert refused == ["REFUSED 192.0.2.1"]  # the guard's own test
