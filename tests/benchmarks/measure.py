"""Paired timing and peak memory for the benchmarks."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

ROUNDS = 11


def paired(work: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[list[float]]:
    """Return the seconds of each function. All run in turn in each round, so that drift affects them equally."""
    for function in work:
        function()
    times: list[list[float]] = [[] for _ in work]
    for _ in range(rounds):
        for function, store in zip(work, times, strict=True):
            start = time.perf_counter()
            function()
            store.append(time.perf_counter() - start)
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def peak_memory(setup: str, work: str) -> float:
    """Return the peak memory of `work` in bytes above the loaded model, measured in a separate process.

    Args:
        setup: Python lines that load the model.
        work: Python lines to measure.
    """
    script = "\n".join(
        [
            "import json, resource",
            "from tests.benchmarks.measure import resident",
            setup,
            "before = resident()",
            work,
            "print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
