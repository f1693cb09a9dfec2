"""Paired timing and peak memory: what every benchmark row stands on."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

ROUNDS = 11


def paired(work: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[list[float]]:
    """Seconds of each function, run in turn, round by round: drift of the machine hits all alike."""
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
    """Median of the round-by-round ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def peak_memory(setup: str, work: str) -> float:
    """Bytes above the loaded model that `work` needs at its peak, in a process of its own.

    Args:
        setup: Python lines that load the model.
        work: Python lines that are measured.
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
    """Bytes of this process that are in memory now (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
