"""Give memory back to the system. How much is left, `cliptrase_core.io.memory` says."""

from __future__ import annotations

import ctypes
import sys

LARGE_BLOCK = 4 * 1024 * 1024
"""Bytes from which a block is a photograph's: the layers of a ViT-B-16 at 224 pixels stay below."""
KEPT_FREE = 32 * 1024 * 1024
"""Free bytes that are kept at hand for small blocks."""
HEAPS = 2
"""Heaps that threads share: each of its own would keep what its thread freed, and Gradio has forty threads."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of glibc's mallopt(3)."""


def return_large_blocks() -> bool:
    """Have large blocks of memory go back to the system as soon as they are free; whether this system knows how.

    By itself glibc learns from every large block that was freed to keep the next one: a page that has made one picture
    at full size would hold hundreds of megabytes for good.
    """
    try:
        mallopt = _glibc().mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_THRESHOLD, LARGE_BLOCK), (_M_TRIM_THRESHOLD, KEPT_FREE), (_M_ARENA_MAX, HEAPS))
    return sum(mallopt(*one) for one in wanted) == len(wanted)


def return_free() -> bool:
    """Give small blocks that are free back too, some 15 ms of work; whether this system knows how."""
    try:
        return bool(_glibc().malloc_trim(0))
    except (OSError, AttributeError):
        return False


def _glibc() -> ctypes.CDLL:
    """The C library; AttributeError at the first call where it is another one than glibc."""
    if not sys.platform.startswith("linux"):
        raise OSError("no glibc")
    return ctypes.CDLL(None)
