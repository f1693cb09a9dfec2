"""Query of available memory (host and cgroup): a process that uses more is killed without a message."""

from __future__ import annotations

from pathlib import Path

from cliptrase_core.errors import InputError
from cliptrase_core.io.geometry import Frame

PIXEL_BYTES, PATCH_BYTES, PAIR_BYTES = 75, 100_000, 18
"""Bytes for each labelled pixel, patch and pair of patches until a result is written. Measured: 66 to 76 for a pixel
(3 and 12 megapixels, 3 to 40 words, with and without refinement), 5 GB for 16,384 patches."""

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
"""Folder in which Linux gives the memory limits of a container."""


def expect_memory(what: str, frame: Frame) -> None:
    """Raise InputError if a picture needs more memory than is available; accept every picture if that is unknown.

    Args:
        what: name of the picture, for the message.
        frame: layout of the picture.
    """
    (height, width), (h, w), left = frame.labels, frame.grid, available()
    pixels, patches = height * width, h * w
    needed = PIXEL_BYTES * pixels + bytes_of_patches(patches)
    if left is not None and needed > left:
        expected = f"one that fits the {left / 1e9:.1f} GB of available memory"
        got = f"{height} x {width} in {patches} patches, for about {needed / 1e9:.1f} GB"
        remedy = "Make it smaller, give a smaller --short-side, or close other programs."
        raise InputError(what, expected=expected, got=got, remedy=remedy)


def bytes_of_patches(patches: int) -> int:
    """Return the peak memory of a number of patches in bytes, without that of pixels."""
    return PATCH_BYTES * patches + PAIR_BYTES * patches**2


def available() -> int | None:
    """Return the available bytes: those of the machine or the container, whichever is less; None if unknown."""
    found = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    for line in _read(MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    limit, used = (_read(CGROUP / name).strip() for name in ("memory.max", "memory.current"))
    if not (limit.isdigit() and used.isdigit()):  # "max": no limit
        return None
    # Cached pages of files count as used, but the system frees them when memory runs short.
    lines = _read(CGROUP / "memory.stat").splitlines()
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, int(limit) - int(used) + cached)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):  # not on this system
        return ""
