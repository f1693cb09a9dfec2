"""Short soak test: all kinds of requests leave no files (long version: `python -m tests.benchmarks.soak`)."""

from __future__ import annotations

from tests.benchmarks.soak import soak


def test_mixed_requests_leave_no_files_and_no_surprises(tmp_path):
    told = []
    seen = soak(tmp_path, requests=30, warm_up=10, told=lambda *step: told.append(step))
    assert seen.unexpected == []
    assert seen.left == 0
    assert [requests for requests, _ in told] == list(range(3, 31, 3))
    assert len(seen.resident) == 11
