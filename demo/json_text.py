"""Shape of a JSON text before it is parsed: nesting and number of values, in time linear in its length. No Gradio.

Both count outside of strings. Text that is no JSON may give any count, but no parser comes further in it than here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_PART = 1 << 17
"""Bytes of which arrays are made at a time, so that these take little memory."""
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_BEFORE_VALUES = np.zeros(256, np.bool_)
_BEFORE_VALUES[list(b"[{,")] = True


def is_nested_deeper(text: bytes, most: int) -> bool:
    """Return whether brackets of a JSON text are nested deeper than `most`."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for part in _outside_strings(text):
        depths = depth + np.cumsum(_STEPS[part], dtype=np.int32)
        if depths.max(initial=0) > most:
            return True
        depth = depths[-1] if len(depths) else depth
    return False


def has_more_values(text: bytes, most: int) -> bool:
    """Return whether a JSON text has more lists, objects and values in them than `most`: each takes a hundred bytes."""
    if sum(text.count(sign) for sign in (b"[", b"{", b",")) <= most:
        return False
    return bool(sum(np.count_nonzero(_BEFORE_VALUES[part]) for part in _outside_strings(text)) > most)


def _outside_strings(text: bytes) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the bytes outside of strings, and the closing quotes, of one part of the text after the other."""
    plain = np.frombuffer(text.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    quotes = np.zeros(1, np.uint8)
    for start in range(0, len(plain), _PART):
        part = plain[start : start + _PART]
        quotes = quotes[-1] + np.cumsum(part == ord('"'), dtype=np.uint8)  # overflows, but stays even or odd
        yield part[quotes % 2 == 0]
