"""Runs that are cut, shared or forbidden: resume, locks, torchrun, and reports that stay the same."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.batches import make_batches
from cliptrase_core.evaluation.records import Ledger, Record, part_path, read_ledgers, record_of
from cliptrase_core.evaluation.run import Group, records_folder
from tests.evaluation_worker import HEADER, STAMPS, Seven, evaluate

ROOT = Path(__file__).parents[2]


def records(segmenter, output, source=None, **settings):
    found = evaluate(segmenter, output, Group(), source or Seven(), **settings)
    return list(found.records), found.pace


def stop():
    raise KeyboardInterrupt


def test_a_run_that_was_cut_goes_on_to_the_same_records(segmenter, tmp_path):
    whole, _ = records(segmenter, tmp_path / "whole.json")
    cut = tmp_path / "cut.json"
    with pytest.raises(KeyboardInterrupt):
        records(segmenter, cut, Seven(6, stop))
    part = part_path(records_folder(cut), 0)
    assert 0 < len(read_ledgers(part.parent, HEADER, STAMPS)) < 7
    part.write_bytes(part.read_bytes()[:-7])  # a line that was not written to its end
    source = Seven()
    resumed, pace = records(segmenter, cut, source)
    assert resumed == whole
    assert pace.resumed > 0
    assert source.loaded == [2, 3, 5, 6], "what was known is not read again"


def test_a_picture_that_cannot_be_used_is_recorded_and_the_rest_goes_on(segmenter, tmp_path):
    found, _ = records(segmenter, tmp_path / "r.json")
    assert [record.key for record in found if record.problem] == ["e"]
    assert all(record.pixels for record in found if record.key != "e")


def test_records_of_another_run_are_refused_unless_it_starts_over(segmenter, tmp_path):
    output = tmp_path / "r.json"
    with Ledger(part_path(records_folder(output), 0), {**HEADER, "batch": 3}) as ledger:
        ledger.append([Record("a", problem="of another run")])
    with pytest.raises(InputError, match="a run with batch = 2, got 3"):
        records(segmenter, output)
    found, _ = records(segmenter, output, fresh=True)
    assert found[0].problem is None


def test_a_record_of_files_that_have_changed_is_not_used_again(segmenter, tmp_path):
    class Repaired(Seven):
        def stamp(self, index):
            return (99,) if index == 2 else super().stamp(index)

    output = tmp_path / "r.json"
    whole, _ = records(segmenter, output)
    source = Repaired()
    again, pace = records(segmenter, output, source)
    assert source.loaded == [2, 3], "its batch alone"
    assert pace.images == 1
    assert [(r.cells, r.pixels) for r in again] == [(r.cells, r.pixels) for r in whole]
    assert records(segmenter, output, Repaired())[1].images == 0


def test_a_damaged_record_is_refused_with_its_line(tmp_path):
    with Ledger(part_path(tmp_path, 0), HEADER):
        pass
    with part_path(tmp_path, 0).open("ab") as file:
        file.write(b"{broken\n")
    with pytest.raises(InputError, match="a damaged line 2"):
        read_ledgers(tmp_path, HEADER, STAMPS)


def test_two_processes_do_not_write_one_report(segmenter, tmp_path):
    code = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    lock = str(tmp_path / "r.json.lock")
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        try:
            with pytest.raises(InputError, match="expected no other writer"):
                records(segmenter, tmp_path / "r.json")
        finally:
            other.kill()
    FileLock(lock).acquire(timeout=10).lock.release()
    records(segmenter, tmp_path / "r.json")  # a writer that died holds nothing


def test_matrices_come_back_from_the_file_as_they_were(tmp_path):
    matrix = np.zeros((3, 4), np.int64)
    matrix[1, 2], matrix[2, 3] = 5, 70_000
    record = record_of("a", STAMPS["a"], matrix, {"mIoU": 1 / 3})
    with Ledger(part_path(tmp_path, 0), HEADER) as ledger:
        ledger.append([record, Record("b", STAMPS["b"], left_out="nothing counts")])
    back = read_ledgers(tmp_path, HEADER, STAMPS)
    assert back == {"a": record, "b": Record("b", STAMPS["b"], left_out="nothing counts")}
    rebuilt = np.zeros(12, np.int64)
    rebuilt[list(back["a"].cells)] = back["a"].pixels
    np.testing.assert_array_equal(rebuilt.reshape(3, 4), matrix)


def test_batches_depend_on_nothing_but_their_size():
    assert make_batches(7, 3) == [(0, 1, 2), (3, 4, 5), (6,)]


def shared(output, *arguments, succeeds=True):
    """Run two processes that share one evaluation."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["-m", "tests.evaluation_worker", str(output), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert (done.returncode == 0) == succeeds, done.stderr


def test_two_processes_write_the_report_that_one_writes(tmp_path):
    line = ["evaluate", "--setting", "examples", "--limit", "5", "--batch", "1"]
    line += ["--model", "nano", "--templates", "simple7", "--output"]
    assert cli.main([*line, str(tmp_path / "one.json")]) == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [*start, "-m", "cliptrase_core", *line, str(tmp_path / "two.json")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reports = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")]
    commands = [report.pop("run")["command"] for report in reports]
    assert reports[0] == reports[1]
    assert commands[1].startswith("torchrun --nproc-per-node=2 -m cliptrase_core evaluate")
    parts = sorted(records_folder(tmp_path / "two.json").glob("*.jsonl"))
    assert [part.read_bytes().count(b"\n") for part in parts] == [1 + 3, 1 + 2], "both worked: batches in turn"


def test_a_process_that_dies_leaves_a_run_that_goes_on(segmenter, tmp_path):
    whole, _ = records(segmenter, tmp_path / "whole.json")
    output = tmp_path / "died.json"
    shared(output, 1, succeeds=False)
    assert not output.exists()
    resumed, pace = records(segmenter, output)
    assert resumed == whole
    assert pace.resumed > 0


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "a", "cells": [1], "pixels": [1, 2]}',
        '{"key": "a", "cells": "1"}',
        '{"key": "a", "cells": [1.5], "pixels": [2]}',
        '{"key": "a", "unknown": 1}',
        '{"key": "a", "extra": {"x": "y"}}',
        '{"key": "a", "stamp": [[1]]}',
        '{"key": 1}',
        '{"header": 5}',
        "[1]",
        "null",
        "[" * 100_000,
        '{"key": "a", "extra": ' + '{"a":' * 50_000 + "1" + "}" * 50_001,
    ],
    ids=range(12),
)
def test_a_record_that_nobody_wrote_is_one_line_and_what_is_there_stays(tmp_path, line):
    part = part_path(tmp_path, 0)
    part.write_text('{"header": {"setting": "x"}}\n' + line + "\n")
    before = part.read_bytes()
    with pytest.raises(InputError, match="expected records of pictures, got a damaged line"):
        read_ledgers(tmp_path, {"setting": "x"}, {"a": ()})
    assert part.read_bytes() == before


def test_a_full_disk_is_one_line_and_the_records_before_are_whole(tmp_path, monkeypatch):
    with Ledger(part_path(tmp_path, 0), {"setting": "x"}) as ledger:
        ledger.append([Record("a", (), (1,), (2,))])
        real = ledger._file

        class Full:
            def write(self, content):
                raise OSError(errno.ENOSPC, "No space left on device")

            close = real.close

        monkeypatch.setattr(ledger, "_file", Full())
        with pytest.raises(InputError, match="expected room to write, got No space left on device"):
            ledger.append([Record("b")])
    assert list(read_ledgers(tmp_path, {"setting": "x"}, {"a": (), "b": ()})) == ["a"]
