"""Memory that glibc keeps or returns, in separate processes: its settings hold for a whole process."""

import subprocess
import sys

import pytest

from cliptrase_core.io import allocator

KEPT = """
import resource
import numpy as np
from cliptrase_core.io.allocator import blocks_kept
from tests.benchmarks.measure import resident

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(50_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with blocks_kept() as known:
    assert known
    faults()
    assert faults() < 20
    held = resident()
assert resident() < held - 40_000_000
assert faults() > 200  # pages of 2 MB, or many more of 4 kB
"""

RETURNED = """
import numpy as np
from cliptrase_core.io import allocator
from tests.benchmarks.measure import resident

def use():
    return [np.ones(20_000_000, np.uint8) for _ in range(10)]

assert allocator.return_large_blocks()
use()  # from here on glibc would keep blocks of this size
before = resident()
kept = use()[::3]
held = sum(part.nbytes for part in kept)
assert resident() - before < held + 10_000_000, (resident() - before, held)
"""

FREED = """
from cliptrase_core.io.allocator import return_free
from tests.benchmarks.measure import resident

blocks = [bytearray(b"x" * 100_000) for _ in range(1000)]
del blocks[:-1]  # the last one keeps glibc from returning the others by itself
before = resident()
assert return_free() is True
assert resident() < before - 80_000_000, (before, resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
@pytest.mark.parametrize("script", [KEPT, RETURNED, FREED], ids=["kept", "returned", "freed"])
def test_glibc_does_as_it_is_told(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", ["darwin", "win32", "another C library"])
def test_elsewhere_nothing_happens(monkeypatch, system):
    if system == "another C library":
        monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    else:
        monkeypatch.setattr(allocator.sys, "platform", system)
    assert allocator.return_large_blocks() is False
    assert allocator.return_free() is False
    with allocator.blocks_kept() as known:
        assert known is False
