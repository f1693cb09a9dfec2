"""Environment variables that can prevent the start: corrected if possible, else refused with one line.

Gradio reads them at import and ends with a long traceback on some, so `settle` runs before. Imports no Gradio.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import httpx

from demo.addresses import is_ip_address, listed
from demo.errors import UserError
from demo.settings import DELETE_CACHE

BAD_INPUT = 2
"""Exit code for errors that the user can fix, as everywhere in this project."""
_HOST = re.compile(r"\.?[\w-]+(?:\.[\w-]+)*\.?")
_ROOT = re.compile(r"(?:/[^/\s?#]+)+/?")
OWN_FOLDER = "gradio-lab-"
"""Start of the name of a process's folder for uploads and results."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("", "0.0.0.0", "::")
PORTS = (1, 65535)
NUMBERS = {
    "GRADIO_SERVER_PORT": PORTS,
    "GRADIO_NUM_PORTS": PORTS,
    "GRADIO_NODE_NUM_PORTS": PORTS,
    "GRADIO_ANALYTICS_MAX_EVENTS": (1, 10**9),
    "GRADIO_DEBUG": (0, 1),
}
"""Variables that Gradio converts to integers without a check, with the smallest and largest sensible value."""


def settle() -> None:
    """Correct the environment so that the page can start; end the program with one line if this is not possible."""
    try:
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # of the server below Gradio; demo/security.py checks proxies instead
        for put_right in (_numbers, _home, _certificates, _proxies, _names, _root_path, _temporary_folder):
            put_right()
    except UserError as error:
        refuse(str(error))


def refuse(text: str) -> NoReturn:
    """End the program with one line on standard error."""
    sys.stderr.write(f"app.py: {text}\n")
    sys.exit(BAD_INPUT)


def port() -> int | None:
    """Return the requested port, the only one to use; None for the first free one."""
    given = os.environ.get("GRADIO_SERVER_PORT")
    return int(given) if given else None


def why_no_address() -> str:
    """Return the reason why the page cannot listen on its address and port; plain text."""
    name, wanted = os.environ.get("GRADIO_SERVER_NAME") or LOOPBACK[1], port()
    try:
        with socket.socket() as probe:
            probe.bind((name, 0))
    except (OSError, UnicodeError):
        expected = "expected an IPv4 address or a name of this machine"
        return f"GRADIO_SERVER_NAME: {expected}, got {name[:80]!r}. For instance 127.0.0.1, or 0.0.0.0 for all."
    if wanted is None:
        return "GRADIO_SERVER_PORT: the ports from 7860 on are all taken. Name a free one."
    try:
        with socket.socket() as probe:
            probe.bind((name, wanted))
    except OSError as error:
        taken = "is taken" if error.errno == errno.EADDRINUSE else "this user may not open"
        return f"GRADIO_SERVER_PORT: expected a free port, got {wanted}, which {taken}. Leave it out for a free one."
    return f"GRADIO_SERVER_PORT: port {wanted} was taken a moment ago. Start again, or leave it out for a free one."


def _numbers() -> None:
    for name, (least, most) in NUMBERS.items():
        text = os.environ.get(name, "").strip()
        if not text:
            os.environ.pop(name, None)  # empty counts as not set
        elif not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
            expected = f"expected a whole number from {least} to {most}"
            raise UserError(f"{name}: {expected}, got {text[:40]!r}. Correct it, or leave it out.")


def _home() -> None:
    """Set a home folder if there is none: libraries store downloads below it, and would create a folder "~" instead."""
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # empty counts as not set: the user database is read then
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = str(Path(_temporary(), "cliptrase-home"))


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise UserError("TMPDIR: expected a folder that can be written, got none. Name one.") from error


def _temporary_folder() -> None:
    """Make a folder for the uploads of this process alone, below a writable one.

    Another process would serve its files, and delete them at its end. On a shared machine, the usual folder may belong
    to another user. Old files of processes that ended too suddenly to delete them are deleted now.
    """
    given = os.environ.get("GRADIO_TEMP_DIR")
    if given and Path(given).name.startswith(OWN_FOLDER):
        return  # `gradio app.py` runs the page's file once more
    home = Path(given or Path(_temporary(), "gradio"))
    if not given and not _can_write(home):
        home = Path(_temporary())
    try:
        if _can_write(home):
            delete_left_over(home)
            os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix=OWN_FOLDER, dir=home)
            atexit.register(delete_own_folder)  # also if the start is refused, or another program imports the page
            return
    except OSError:  # the disk is full
        pass
    expected = "expected a folder that can be made and written"
    raise UserError(f"GRADIO_TEMP_DIR: {expected}, got {str(home)[:200]!r}. Name another, or leave it out.")


def delete_left_over(home: Path, age: float = DELETE_CACHE[1]) -> None:
    """Delete the files in the folders of all processes below `home` that are older than `age` seconds."""
    old: list[Path] = []  # found before anything is deleted, which makes the folder around it younger
    for folder in home.glob(f"{OWN_FOLDER}*"):
        for path in (folder, *folder.rglob("*")):
            with suppress(OSError):  # another process deletes it, too
                if path.lstat().st_mtime < time.time() - age:
                    old.append(path)
    for path in reversed(old):  # what is in a folder comes before it
        with suppress(OSError):  # a folder that is not empty
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def delete_own_folder() -> None:
    """Delete the uploads and results of this process."""
    own = Path(os.environ.get("GRADIO_TEMP_DIR", ""))
    if own.name.startswith(OWN_FOLDER):
        shutil.rmtree(own, ignore_errors=True)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError):
        return False
    return True


def _certificates() -> None:
    """Check the file of certificates: a network with a proxy often has its own."""
    try:
        httpx.create_ssl_context()
    except OSError as error:
        expected = "expected a file of certificates that can be read"
        raise UserError(f"SSL_CERT_FILE: {expected}, got none. Correct it, or leave it out.") from error


def _proxies() -> None:
    """Exclude this machine from proxies: the page checks over HTTP that it is up. The model hub may use a proxy."""
    found = {scheme: address for scheme, address in urllib.request.getproxies().items() if address and scheme != "no"}
    if not found:
        return
    for scheme, address in found.items():
        variable = next((n for n in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY") if os.environ.get(n)), None)
        if variable is None:  # from the system's settings, which are ignored once a variable is set
            os.environ[f"{scheme}_proxy"] = address
        if scheme in ("http", "https", "all"):
            _expect_proxy(variable or f"{scheme}_proxy", address)
    listed = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    own = os.environ.get("GRADIO_SERVER_NAME", "").strip("[]")
    names = dict.fromkeys(name.strip() for name in (*listed, *LOOPBACK, own) if name.strip() not in EVERYWHERE)
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)


def _names() -> None:
    """Check names and addresses that would otherwise match nobody, in silence."""
    for variable, expected, fits in (
        (
            "CLIPTRASE_TRUSTED_PROXY",
            "IP addresses, separated by commas",
            lambda entry: entry == "*" or is_ip_address(entry),
        ),
        ("CLIPTRASE_HOSTS", "host names without scheme, port or path, separated by commas", _HOST.fullmatch),
    ):
        wrong = next((entry for entry in listed(os.environ.get(variable, "")) if not fits(entry)), None)
        if wrong is not None:
            raise UserError(f"{variable}: expected {expected}, got {wrong[:80]!r}. Correct it, or leave it out.")


def _root_path() -> None:
    """Check the path behind a proxy: with a wrong one, the page starts and cannot be reached."""
    given = os.environ.get("GRADIO_ROOT_PATH", "").strip()
    if not given.rstrip("/"):
        os.environ.pop("GRADIO_ROOT_PATH", None)  # the root itself counts as not set
    elif not _ROOT.fullmatch(given) and not _is_web_address(given):
        expected = "expected a path such as /lab, or an address such as https://example.org/lab"
        raise UserError(f"GRADIO_ROOT_PATH: {expected}, got {given[:80]!r}. Correct it, or leave it out.")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in text
    except ValueError:  # a port that is no number
        return False


def _expect_proxy(variable: str, address: str) -> None:
    try:
        httpx.Client(proxy=address if "://" in address else f"http://{address}", trust_env=False).close()
    except ImportError as error:
        raise UserError(f"{variable}: SOCKS needs a package that is not here. Run: pip install socksio.") from error
    except (ValueError, httpx.InvalidURL) as error:
        expected = "expected an address such as http://host:port or socks5://host:port"
        raise UserError(f"{variable}: {expected}, got something else. Correct it, or leave it out.") from error
