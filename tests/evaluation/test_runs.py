"""Interrupted, shared and refused runs: resume, locks, torchrun, and identical reports."""

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
from cliptrase_core.evaluation import run as running
from cliptrase_core.evaluation.batches import make_batches
from cliptrase_core.evaluation.records import (
    Ledger,
    Record,
    every_record,
    expect_same,
    part_path,
    read_ledgers,
    record_of,
)
from cliptrase_core.evaluation.run import Group, common_backend, has_own_gpu, own_device, records_folder, started_by
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
    part.write_bytes(part.read_bytes()[:-7])  # an incomplete last line
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


METHOD = {"method": "cliptrase", "templates": "a" * 90, "vote": None, "eps": None, "min_samples": None, "z": 1}


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ({"method": METHOD}, {"method": {**METHOD, "vote": False}}, 'method = {"vote": false}, got {"vote": null}. '),
        (
            {"method": METHOD},
            {"method": {**METHOD, "vote": False, "eps": 0.7}},
            'method = {"eps": 0.7, "vote": false}, got {"eps": null, "vote": null}. ',
        ),
        ({"slide": None}, {"slide": {"window": 224}}, 'slide = {"window": 224}, got null. '),
        ({"a": {"b": {"c": 1, "d": 1}}}, {"a": {"b": {"c": 2, "d": 1}}}, 'a = {"b": {"c": 2}}, got {"b": {"c": 1}}. '),
        ({"words": "x" * 300 + "cat"}, {"words": "x" * 300 + "dog"}, 'xxdog", got ...xxx'),
        ({"words": "x" * 100}, {"words": "x" * 101}, 'x", got ...x'),
        ({"words": "cat"}, {"words": "c" * 300}, "ccc..., got "),
        ({"method": {}}, {"method": {"vote": None}}, 'method = {"vote": null}, got {}. '),
    ],
)
def test_a_refusal_names_what_differs(tmp_path, found, wanted, said):
    with pytest.raises(InputError) as refusal:
        expect_same(found, wanted, tmp_path, "--save-predictions")
    message = str(refusal.value)
    assert said in message
    first, second = message.partition(" = ")[2].partition(". Choose another --save-predictions")[0].split(", got ")
    assert first != second
    assert max(len(first), len(second)) <= 86


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


@pytest.mark.parametrize("place", [2, 4])
def test_a_file_that_is_replaced_after_it_was_read_is_scored_by_the_next_run(segmenter, tmp_path, place):
    """The fifth picture cannot be read."""

    class Replaced(Seven):
        now = False

        def stamp(self, index):
            return (99,) if index == place and self.now else super().stamp(index)

        def load(self, index):
            self.now = self.now or index == place
            return super().load(index)

    output, source = tmp_path / "r.json", Replaced()
    found, _ = records(segmenter, output, source)
    assert found[place].stamp == (place + 1,), "of the file that was read"
    again, pace = records(segmenter, output, source)
    assert (pace.images, again[place].stamp) == (1, (99,))


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
    records(segmenter, tmp_path / "r.json")  # the lock of a killed writer is free


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
    """Run one evaluation in two processes."""
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
        with pytest.raises(InputError, match="expected free disk space, got No space left on device"):
            ledger.append([Record("b")])
    assert list(read_ledgers(tmp_path, {"setting": "x"}, {"a": (), "b": ()})) == ["a"]


class Store(dict):
    """Replacement of the store of torchrun, with the answers of all other processes."""

    def __init__(self, *others):
        super().__init__({f"cliptrase/own_gpu/{rank}": answer for rank, answer in enumerate(others, 1)})

    def set(self, key, value):
        self[key] = value.encode()

    get = dict.__getitem__


@pytest.fixture
def machine(monkeypatch):
    """Function that simulates a machine with GPUs, on which this process is one of several."""

    def made(gpus, together, *, nccl=True, rank=0):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(running.distributed, "is_nccl_available", lambda: nccl)
        for name, value in (("WORLD_SIZE", together), ("LOCAL_WORLD_SIZE", together), ("LOCAL_RANK", rank)):
            monkeypatch.setenv(name, str(value))

    return made


@pytest.mark.parametrize(
    ("gpus", "together", "nccl", "device", "own"),
    [
        (4, 4, True, None, True),
        (4, 2, True, "cuda", True),
        (0, 2, True, None, False),
        (1, 2, True, None, False),
        (4, 4, False, None, False),
        (4, 4, True, "cpu", False),
        (4, 4, True, "cuda:1", False),
    ],
)
@pytest.mark.parametrize("other", [b"yes", b"no"])
def test_nccl_carries_records_where_every_process_has_a_gpu_of_its_own(
    machine, monkeypatch, gpus, together, nccl, device, own, other
):
    machine(gpus, together, nccl=nccl, rank=1)
    assert has_own_gpu(device) is own
    said, gpu = [], []
    monkeypatch.setattr(running.distributed, "rendezvous", lambda url: iter([(Store(other), 0, 2)]))
    monkeypatch.setattr(running.distributed, "init_process_group", lambda backend, **facts: said.append(backend))
    monkeypatch.setattr(running.distributed, "destroy_process_group", lambda: said.append("left"))
    monkeypatch.setattr(torch.cuda, "set_device", gpu.append)
    with running.joined(device) as group:
        assert (group.rank, group.world) == (0, 2)
    every = own and other == b"yes"
    assert said == ["nccl" if every else "gloo", "left"], "never two ways in one run"
    assert gpu == (["cuda:1"] if every else [])


def test_every_process_finds_the_same_way():
    store = Store(b"yes", b"no")
    assert common_backend(store, 0, 3, True) == "gloo"
    assert store["cliptrase/own_gpu/0"] == b"yes"
    assert common_backend(Store(b"yes"), 0, 2, True) == "nccl"


@pytest.mark.parametrize(
    ("gpus", "rank", "device", "used"),
    [
        (2, 0, None, "cuda:0"),
        (2, 1, None, "cuda:1"),
        (2, 1, "cuda", "cuda:1"),
        (2, 3, None, "cuda:1"),
        (2, 1, "cuda:0", "cuda:0"),
        (2, 1, "cpu", "cpu"),
        (0, 1, None, None),
    ],
)
def test_each_process_takes_its_own_gpu_unless_another_device_is_asked_for(machine, gpus, rank, device, used):
    machine(gpus, 4, rank=rank)
    assert own_device(device) == used


def test_one_process_joins_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with running.joined("cuda") as group:
        assert (group.world, own_device("cuda"), started_by()) == (1, "cuda", ["python"])


def test_a_report_says_how_processes_on_several_machines_are_started(monkeypatch):
    for name, value in (("WORLD_SIZE", 8), ("LOCAL_WORLD_SIZE", 4), ("GROUP_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    assert started_by() == ["torchrun", "--nnodes=2", "--nproc-per-node=4"]


class Machine(Group):
    """One of two machines without a common file system: the first receives the records of the second."""

    handed = None

    def by_first(self, action):
        return action()

    def gather(self, mine):
        if not self.first:
            Machine.handed = mine
            return []
        return [mine, Machine.handed]


def test_what_other_machines_did_is_known_on_the_first_one_afterwards(segmenter, tmp_path):
    whole, _ = records(segmenter, tmp_path / "whole.json")
    first, second = tmp_path / "first" / "r.json", tmp_path / "second" / "r.json"
    assert evaluate(segmenter, second, Machine(1, 2), Seven()) is None
    found = evaluate(segmenter, first, Machine(0, 2), Seven())
    assert list(found.records) == whole
    assert every_record(records_folder(first)) == {record.key: record for record in whole}
    again, pace = records(segmenter, first)
    assert (again, pace.images, pace.resumed) == (whole, 0, 7)


def test_a_growing_limit_on_another_number_of_processes_goes_on(segmenter, tmp_path):
    class Five(Seven):
        keys = tuple("abcde")

    output = tmp_path / "r.json"
    whole, _ = records(segmenter, tmp_path / "whole.json")
    evaluate(segmenter, tmp_path / "elsewhere" / "r.json", Machine(1, 2), Five())
    evaluate(segmenter, output, Machine(0, 2), Five())
    source = Seven()
    grown, pace = records(segmenter, output, source)
    assert grown == whole
    assert pace.resumed == 4, "the fifth was alone in its batch"
    assert source.loaded == [5, 6]
