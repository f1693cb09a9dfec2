"""Files: bundled assets, text of any encoding, portable names, and atomic writing.

A file is written whole or not at all. It never replaces a file of another program: own files have a mark.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import secrets
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import PngImagePlugin

from cliptrase_core.errors import InputError, OutputError, out_of_space

MARK = "cliptrase-lab"
"""Mark in every file that this program writes: `Software` of a PNG, start of `format` in a JSON, comment of a NumPy
archive, comment at the end of Markdown and HTML. Files for other programs, in which people correct them, contain it
with the SHA-256 of all content before it: see `seal`."""

DIGESTS = "files.sha256"
"""List of digests and paths of written files that contain no mark, such as copies of pictures; paths are relative to
the folder of the list. A file with another digest was changed by a person."""

_SEAL = re.compile(rb"cliptrase-lab ([0-9a-f]{64})")

PICTURE_ENDS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif"),
    *(".heic", ".heif", ".hif", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
)
"""Endings, in lower case, by which pictures are found in a folder; reading depends on content only."""

MAX_STEM = 100
_MAX_STEM_BYTES = 200
"""File systems allow 255 bytes in a name; the longest ending takes 12."""

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?: *\..*)?", re.IGNORECASE | re.DOTALL)


def asset(*parts: str) -> Path:
    """Return the path of a bundled file or folder: below `assets/` of the repository, or of the installed package.

    Args:
        parts: path below `assets`, for example "nano", "config.json"; it need not exist.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "assets"  # in a wheel only: pyproject.toml puts it there
    return (installed if installed.is_dir() else package.parent / "assets").joinpath(*parts)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 if it starts with its byte order mark (Windows writes both).

    Raises:
        OSError: no such file, or no permission to read it.
        UnicodeDecodeError: another encoding.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


@contextmanager
def as_file(content: bytes, name: str) -> Iterator[Path]:
    """Provide content as a temporary file, for code that reads paths only. The file is removed at the end.

    Args:
        content: content of the file.
        name: name of the file, which appears in messages; made safe by `safe_stem`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / safe_stem(name)
        path.write_bytes(content)
        yield path


def safe_stem(stem: str) -> str:
    """Return a file name without endings that is valid on every common file system; letters of all scripts remain.

    Separators, wild cards, quotes and invisible characters become "_". Leading dots and outer spaces are removed. Names
    that Windows reserves get a "_" in front. The result has at most 100 characters (200 bytes). An empty name becomes
    "picture".
    """
    if not isinstance(stem, str):
        raise InputError("file name", expected="a text", got=type(stem).__name__, remedy='For example "street".')
    text = unicodedata.normalize("NFC", stem)
    text = "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c) in _UNSEEN else c for c in text)
    text = _cut(text.lstrip(". "))
    if _RESERVED.fullmatch(text):
        text = _cut(f"_{text}")
    return text or "picture"


def free_stem(stem: str, taken: set[str]) -> str:
    """Return a safe stem that no other result has, even if case is ignored: "dog", then "dog-2".

    Args:
        stem: wanted stem, see `safe_stem`.
        taken: stems of the other results, in folded case; the new one is added.
    """
    free = stem = safe_stem(stem)
    short = stem.encode()[:180].decode(errors="ignore")[:90]  # leaves space for a number
    number = 1
    while free.casefold() in taken:
        number += 1
        free = f"{short}-{number}"
    taken.add(free.casefold())
    return free


# Control, format, surrogate and unassigned characters, line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """Return a text in which characters that a terminal would obey or hide are escaped, such as "\\n" or "\\x1b"."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNSEEN else c for c in text)


def _cut(text: str) -> str:
    short = text[:MAX_STEM].encode("utf-8")[:_MAX_STEM_BYTES]
    return short.decode("utf-8", "ignore").rstrip(". ")  # drops a character that was cut in two


def not_written(what: str, folder: object, error: Exception, option: str = "folder", full: str = "") -> OutputError:
    """Return the error for files that cannot be written: neither a number nor the name of a temporary file.

    Args:
        what: subject of the message, such as "output folder".
        folder: folder of the files.
        error: reason.
        option: name of the folder in the remedy: a command-line option where there is one.
        full: remedy if there is no space; empty for the usual one.
    """
    zero = isinstance(error, ValueError) and "null" in str(error)
    reason = "a zero byte in its name" if zero else getattr(error, "strerror", None) or str(error)
    if out_of_space(error):
        remedy = full or f"Free disk space, or choose another {option}."
        return OutputError(what, expected="free disk space", got=reason, remedy=remedy)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = "a file is in the way"
    got = f"{str(folder)!r} ({reason})"
    return OutputError(what, expected="a folder that can be written", got=got, remedy=f"Choose another {option}.")


@contextmanager
def writing(what: str, folder: object, option: str = "folder", full: str = "") -> Iterator[None]:
    """Turn a failure of the file system into an InputError, see `not_written`."""
    try:
        yield
    except OSError as error:
        raise not_written(what, folder, error, option, full) from error


def write_all(folder: Path, contents: Mapping[str, bytes | Iterable[bytes]]) -> None:
    """Write every file under a temporary name first, then move all, so that no incomplete file is visible.

    Args:
        folder: folder; created if missing.
        contents: content by path below `folder`, with "/"; parent folders are created. A content may come in chunks.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for name, content in contents.items():
            part = folder / f".{secrets.token_hex(8)}.tmp"
            waiting.append((part, folder / name))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                for component in (content,) if isinstance(content, bytes) else content:
                    file.write(component)
        for part, final in waiting:
            os.replace(part, final)
    finally:
        for part, _ in waiting:
            part.unlink(missing_ok=True)


def seal(parts: Iterable[bytes], *, before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    """Yield the parts of a text, then a last line with its digest, by which `is_ours` detects changes.

    Args:
        parts: parts of the text; the last one ends with a line break.
        before: text before the mark in the last line, for example the start of a comment.
        after: text after the mark in the last line.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
        yield part
    yield _sealing_line(digest.hexdigest(), before, after)


def _sealing_line(digest: str, before: bytes, after: bytes) -> bytes:
    return before + f"{MARK} {digest}".encode() + after + b"\n"


@contextmanager
def sealed_file(path: Path, *, before: bytes = b"", after: bytes = b"") -> Iterator[Callable[[bytes], None]]:
    """Provide a function that appends to a file. At the end it gets the last line of `seal` and replaces `path`.

    If an exception is raised before, `path` stays as it was.

    Args:
        path: path of the file; parent folders are created.
        before: as in `seal`.
        after: as in `seal`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, digest = path.parent / f".{secrets.token_hex(8)}.tmp", hashlib.sha256()
    try:
        with part.open("xb") as file:

            def append(content: bytes) -> None:
                digest.update(content)
                file.write(content)

            yield append
            file.write(_sealing_line(digest.hexdigest(), before, after))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _is_sealed(content: bytes) -> bool:
    text, _, last = content.rstrip(b"\n").rpartition(b"\n")
    mark = _SEAL.search(last)
    return mark is not None and hashlib.sha256(text + b"\n").hexdigest() == mark[1].decode()


def is_ours(path: Path) -> bool:
    """Return whether this program wrote a file: a PNG, JSON, npz, HTML, Markdown or sealed text with its mark."""
    try:
        if path.suffix == ".png":
            with PngImagePlugin.PngImageFile(path) as picture:  # reads the header only, so any size is allowed
                return bool(picture.info.get("Software") == MARK)
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return archive.comment == MARK.encode()
        content = path.read_bytes()
        if _is_sealed(content):
            return True
        text = content.decode("utf-8")
        if path.suffix != ".json":
            return text.rstrip().rpartition("\n")[2].startswith(f"<!-- {MARK} ")  # other text may contain the mark
        record = json.loads(text)
        return isinstance(record, dict) and str(record.get("format")).startswith(MARK)
    except Exception:  # readers raise dozens of kinds for broken files, which are not ours
        return False


def size_and_time(path: Path) -> tuple[int, int]:
    """Return size in bytes and modification time in ns of a file, to detect a change; zeros if it is missing."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a ValueError for a zero byte
        return 0, 0
    return found.st_size, found.st_mtime_ns


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def read_digests(folder: Path) -> dict[str, set[str]]:
    """Return the digests of a folder's list `DIGESTS` by path; empty if there is no list."""
    found: dict[str, set[str]] = {}
    try:
        lines = (folder / DIGESTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        digest, _, name = line.partition("  ")
        found.setdefault(name, set()).add(digest)
    return found


def expect_ours(paths: Iterable[Path], option: str = "folder") -> None:
    """Raise InputError for the first existing file that was not written by this program.

    Args:
        paths: paths to be written.
        option: name of the path in the message: a command-line option where there is one.
    """
    for path in paths:
        if os.path.lexists(path) and not is_ours(path):
            raise InputError(
                f"output {path.name!r}",
                expected="no file of that name, or one that this program wrote",
                got=f"another file in {path.parent.name or path.parent.resolve().name!r}",
                remedy=f"Choose another {option}, or move that file away.",
            )
