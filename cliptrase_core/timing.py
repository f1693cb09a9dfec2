"""What each stage took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Write the seconds that the block took under the name of its stage."""
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
