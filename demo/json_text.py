"""Shape of a JSON text before it is parsed: nesting and number of values, in time linear in its length. No Gradio.

Both count outside of strings. Text that is no JSON may give any count, but no parser comes further in it than here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_BEFORE_VALUES = np.zeros(256, np.bool_)
_BEFORE_VALUES[list(b"[{,")] = True


def is_nested_deeper(text: bytes, most: int) -> bool:
    """Return whether brackets of a JSON text are nested deeper than `most`."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    return bool(np.cumsum(_STEPS[_outside_strings(text)], dtype=np.int32).max(initial=0) > most)


def has_more_values(text: bytes, most: int) -> bool:
    """Return whether a JSON text has more lists, objects and values in them than `most`: each takes a hundred bytes."""
    if sum(text.count(sign) for sign in (b"[", b"{", b",")) <= most:
        return False
    return bool(np.count_nonzero(_BEFORE_VALUES[_outside_strings(text)]) > most)


def _outside_strings(text: bytes) -> npt.NDArray[np.uint8]:
    """Return the bytes outside of strings, and the closing quotes."""
    plain = np.frombuffer(text.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    even = np.cumsum(plain == ord('"'), dtype=np.uint8) % 2 == 0  # overflows, which leaves the last bit as it is
    return plain[even]
