"""Large blocks of memory that are kept while a folder is worked on."""

import subprocess
import sys

import pytest

from cliptrase_core.io import memory

SCRIPT = """
import resource
import numpy as np
from cliptrase_core.io.memory import blocks_kept
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_large_blocks_are_kept_within_and_given_back_after():
    """In a process of its own: what glibc is told counts for all of it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", ["darwin", "win32", "another C library"])
def test_elsewhere_nothing_happens(monkeypatch, system):
    if system == "another C library":
        monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    else:
        monkeypatch.setattr(memory.sys, "platform", system)
    with memory.blocks_kept() as known:
        assert known is False
