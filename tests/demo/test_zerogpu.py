"""ZeroGPU, simulated by a `spaces` module that forks: work in the child, bytes both ways, caches in the parent."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cliptrase_core import InputError
from demo import zerogpu, zerogpu_model
from demo.service import SegmentRequest, Service
from demo.settings import Settings


class Forked:
    """Replacement of `spaces.GPU`: runs each call in a forked process, as a Space does, and records its process id."""

    def __init__(self):
        self.pids, self.durations = [], []

    def __call__(self, duration):
        self.durations.append(duration)
        return lambda function: lambda *arguments: self.run(function, arguments)

    def run(self, function, arguments):
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        sent = pickle.dumps(arguments)

        def child():
            theirs.send((os.getpid(), function(*pickle.loads(sent))))

        process = context.Process(target=child)
        process.start()
        assert ours.poll(120), "the worker hangs"
        pid, result = ours.recv()
        process.join()
        self.pids.append(pid)
        assert isinstance(result, bytes)  # never a tensor, which would have to be shared
        return result


@pytest.fixture
def zero(monkeypatch):
    forked = Forked()
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=forked))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(zerogpu_model, "DEVICE", "cpu")
    importlib.reload(zerogpu)
    yield forked
    monkeypatch.undo()
    importlib.reload(zerogpu)


def test_without_spaces_nothing_changes():
    def function():
        """Any."""

    assert zerogpu.on_gpu(function) is function
    assert not zerogpu.shared()
    assert zerogpu.device_name("cpu") == "cpu"


def test_a_space_without_a_lent_gpu_runs_plainly(zero, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU")
    service = Service(Settings(model="nano", device="cpu"))
    assert not isinstance(service.models.segmenter(), zerogpu_model.ZeroGPUSegmenter)
    assert not zero.pids


def test_the_worker_does_the_heavy_part_and_the_result_is_the_same(zero, nano, picture, tmp_path):
    segmenter = zerogpu_model.ZeroGPUSegmenter("nano", None, "fp32")
    encoding = segmenter.encode(picture)
    assert len(zero.pids) == 1
    assert zero.pids[0] != os.getpid()
    result, expected = segmenter.segment(encoding, "cat; dog"), nano.segment(nano.encode(picture), "cat; dog")
    assert len(zero.pids) == 2  # the words
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_allclose(result.confidence, expected.confidence, atol=1e-4)
    segmenter.segment(encoding, "dog; cat", denoise="none")
    assert len(zero.pids) == 2  # known words and an encoded picture need no GPU call
    torch.testing.assert_close(
        segmenter.capture(picture).maps().attention, nano.capture(picture).maps().attention, atol=1e-3, rtol=1e-2
    )
    assert len(zero.pids) == 3
    assert zero.durations == [zerogpu.DURATION]
    assert zerogpu.DURATION <= 15
    assert not zerogpu_model._remote  # the cache of the worker stays in the worker


def test_the_page_s_caches_stay_in_the_parent(zero, picture, tmp_path):
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    service = Service(Settings(model="nano"))
    assert "shared GPU" in service.models.facts().device
    assert not zero.pids  # loading uses no GPU time
    first = service.segment(str(path), SegmentRequest("cat; dog"))
    asked = len(zero.pids)
    again = service.segment(str(path), SegmentRequest("cat; dog", threshold=0.5))
    assert again.result_cached
    assert again.encoding_cached
    assert not first.result_cached
    assert len(zero.pids) == asked


def test_errors_of_the_worker_come_back_as_they_were(zero, picture, monkeypatch):
    segmenter = zerogpu_model.ZeroGPUSegmenter("nano", None, "fp32")
    with pytest.raises(InputError, match="at most"):
        segmenter.embed_words(["word " * 200])
    monkeypatch.setattr(
        zerogpu_model, "home", lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory"))
    )
    with pytest.raises(RuntimeError, match="out of memory"):
        segmenter.encode(picture)


def test_a_model_loaded_after_the_fork_is_read_by_the_worker_itself(nano):
    request = pickle.dumps(("never seen", "nano", "embedded", "fp32", "words", (["cat"], ["a {}."])))
    threads = torch.get_num_threads()
    try:
        zerogpu_model.DEVICE, before = "cpu", zerogpu_model.DEVICE
        vectors = pickle.loads(zerogpu_model.answer(request))
    finally:
        zerogpu_model.DEVICE = before
        zerogpu_model._remote.clear()
        torch.set_num_threads(threads)
    assert vectors.shape == (1, 256)


def test_what_lies_on_a_gpu_is_brought_home():
    class There:
        """Stand-in for a tensor on a GPU, which must not be pickled."""

        def cpu(self):
            return torch.ones(1)

        def __reduce__(self):
            raise AssertionError("a CUDA tensor would leave the worker")

    assert pickle.loads(pickle.dumps(zerogpu_model.home((There(), There())))) == (torch.ones(1), torch.ones(1))
    assert pickle.loads(pickle.dumps(zerogpu_model.home(There()))) == torch.ones(1)
