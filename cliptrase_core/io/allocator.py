"""Tell glibc's allocator what to keep and what to give back; on other systems nothing happens. Imports no numpy."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LARGE_BLOCK = 4 * 1024 * 1024
"""Bytes from which a block is a photograph's: the layers of a ViT-B-16 at 224 pixels stay below."""
KEPT_FREE = 32 * 1024 * 1024
"""Free bytes that are kept at hand for small blocks."""
HEAPS = 2
"""Heaps that threads share: each of its own would keep what its thread freed, and Gradio has forty threads."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
"""Of glibc's mallopt(3)."""
_RETURNED = {_MMAP_THRESHOLD: LARGE_BLOCK, _TRIM_THRESHOLD: KEPT_FREE, _ARENA_MAX: HEAPS}
_KEPT = {_MMAP_MAX: 0, _ARENA_MAX: 1, _TRIM_THRESHOLD: 2**31 - 1}
_USUAL = {_MMAP_MAX: 65_536, _ARENA_MAX: 0, _TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20}
"""What glibc arrives at by itself in a process that frees large blocks."""


def return_large_blocks() -> bool:
    """Have large blocks of memory go back to the system as soon as they are free; whether this system knows how.

    By itself glibc learns from every large block that was freed to keep the next one: a page that has made one picture
    at full size would hold hundreds of megabytes for good.
    """
    return _tell(_RETURNED)


def return_free() -> bool:
    """Give small blocks that are free back too, some 15 ms of work; whether any were."""
    try:
        return bool(_glibc().malloc_trim(0))
    except (OSError, AttributeError):
        return False


@contextmanager
def blocks_kept() -> Iterator[bool]:
    """Within, glibc keeps freed blocks of any size for the next one; whether this system knows how.

    By itself it gives all above 32 MB back at once. The system clears each page that is taken anew: of a folder of
    12-megapixel photographs, whose every map is larger, that was a quarter of the work.
    """
    known = _tell(_KEPT)
    try:
        yield known
    finally:
        if known:
            _tell(_USUAL)
            return_free()


def _tell(wanted: Mapping[int, int]) -> bool:
    try:
        mallopt = _glibc().mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*one) == 1 for one in wanted.items())


def _glibc() -> ctypes.CDLL:
    """The C library; AttributeError at the first call where it is another one than glibc."""
    if not sys.platform.startswith("linux"):
        raise OSError("no glibc")
    return ctypes.CDLL(None)
