"""Settings of glibc's memory allocator; without effect on other systems. Imports no numpy."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LARGE_BLOCK = 4 * 1024 * 1024
"""Size in bytes from which a block counts as a photograph's: the layers of a ViT-B-16 at 224 pixels need less."""
KEPT_FREE = 32 * 1024 * 1024
"""Free bytes that the process keeps for small blocks."""
HEAPS = 2
"""Heaps shared by all threads: with one heap per thread, each would keep freed memory, and Gradio has forty threads."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
"""Parameter numbers of glibc's mallopt(3)."""
_RETURNED = {_MMAP_THRESHOLD: LARGE_BLOCK, _TRIM_THRESHOLD: KEPT_FREE, _ARENA_MAX: HEAPS}
_KEPT = {_MMAP_MAX: 0, _ARENA_MAX: 1, _TRIM_THRESHOLD: 2**31 - 1}
_USUAL = {_MMAP_MAX: 65_536, _ARENA_MAX: 0, _TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20}
"""Values that glibc reaches by itself in a process that frees large blocks."""


def return_large_blocks() -> bool:
    """Make glibc return large blocks to the system as soon as they are freed. Return whether the system supports it.

    By default glibc adapts to every large block that is freed and keeps the next one: a page that has made one picture
    at full size would then occupy hundreds of megabytes for good.
    """
    return _set_limits(_RETURNED)


def return_free() -> bool:
    """Return free small blocks to the system too, which takes about 15 ms. Return whether any memory was released."""
    try:
        return bool(_glibc().malloc_trim(0))
    except (OSError, AttributeError):
        return False


@contextmanager
def blocks_kept() -> Iterator[bool]:
    """Make glibc keep freed blocks of any size for reuse within the context. Yield whether the system supports it.

    By default it returns all blocks above 32 MB immediately, and the system clears each page that is allocated again.
    For a folder of 12-megapixel photographs, whose maps are all larger than that, this took a quarter of the time.
    """
    known = _set_limits(_KEPT)
    try:
        yield known
    finally:
        if known:
            _set_limits(_USUAL)
            return_free()


def _set_limits(wanted: Mapping[int, int]) -> bool:
    try:
        mallopt = _glibc().mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*one) == 1 for one in wanted.items())


def _glibc() -> ctypes.CDLL:
    """Return the C library; if it is not glibc, the first call raises AttributeError."""
    if not sys.platform.startswith("linux"):
        raise OSError("no glibc")
    return ctypes.CDLL(None)
