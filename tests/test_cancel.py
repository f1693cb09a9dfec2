"""Cancellation: work checks its token, stops at any check, and leaves no partial results.

- the token: cancelled by hand, by time limit, from another thread, in one thread only;
- every stage checks the token often enough, and stops at any check;
- cancelled work gives the complete result when it is run again;
- cancelled work does not wait for a lock.
"""

from __future__ import annotations

import contextvars
import copy
import dataclasses
import pickle
import threading

import numpy as np
import pytest
import torch
from torch._utils import ExceptionWrapper

import cliptrase_core as cc
from cliptrase_core import Cancelled, CancelToken, InputError, Segmenter, cancellable
from cliptrase_core.cancel import check, holding, steps
from cliptrase_core.refine import by_sam, load_refiner, refiners
from cliptrase_core.regions import decode
from cliptrase_core.text import encoder
from tests.conftest import tiny_clip
from tests.counting_token import CountingToken

WORDS = "cat; dog; tree; sky; road; house"


def test_a_token_ends_work_once_and_for_all():
    token = CancelToken()
    with cancellable(token):
        check()
        token.cancel()
        token.cancel()
        for _ in range(2):
            with pytest.raises(Cancelled) as ended:
                check()
            assert not ended.value.late
    check()  # outside the block the token has no effect
    assert token.cancelled


@pytest.mark.parametrize(("seconds", "over"), [(0.0, True), (-1.0, True), (1000.0, False), (None, False)])
def test_a_time_limit_says_that_it_was_the_time(seconds, over):
    token = CancelToken(seconds)
    assert token.cancelled == over
    if over:
        with pytest.raises(Cancelled, match="time limit") as ended:
            token.check()
        assert ended.value.late


@pytest.mark.parametrize("token", ["x", 60, CancelToken])
def test_what_is_no_token_is_refused_at_once(token):
    with pytest.raises(InputError, match="token: expected a CancelToken or None, got"), cancellable(token):
        raise AssertionError("the work has begun")
    check()


@pytest.mark.parametrize("late", [True, False])
def test_the_reason_survives_a_copy_and_a_worker(late):
    ended = Cancelled(late)
    for again in (pickle.loads(pickle.dumps(ended)), copy.deepcopy(ended)):
        assert (again.late, str(again)) == (late, str(ended))

    with pytest.raises(Cancelled) as found:  # as a DataLoader does, without its process, which outlives the test
        ExceptionWrapper((Cancelled, ended, None)).reraise()
    assert (found.value.late, str(found.value)) == (late, str(ended))


def test_tokens_lie_within_each_other_and_none_protects():
    outer, inner = CancelToken(), CancelToken()
    outer.cancel()
    with cancellable(outer):
        with cancellable(inner):
            check()
        with cancellable(None):
            check()
        with pytest.raises(Cancelled):
            check()


@pytest.mark.parametrize("copied", [True, False])
def test_a_thread_heeds_the_token_of_the_context_that_it_runs_in(copied):
    token, seen = CancelToken(), []
    token.cancel()

    def look() -> None:
        try:
            check()
        except Cancelled:
            seen.append("ended")

    with cancellable(token):
        thread = threading.Thread(target=contextvars.copy_context().run if copied else look, args=[look][: int(copied)])
        thread.start()
        thread.join(10)
    assert seen == (["ended"] if copied else [])


def test_steps_are_looked_at_one_by_one():
    token, done = CancelToken(), []
    with cancellable(token):
        items = steps("abc")
        done += [next(items), next(items)]
        token.cancel()
        with pytest.raises(Cancelled):
            next(items)
    assert done == ["a", "b"]


@pytest.mark.parametrize("others", [1, 3])
def test_who_is_no_longer_wanted_does_not_wait_for_a_lock(others):
    lock, token, ended = threading.Lock(), CancelToken(), []

    def wait() -> None:
        try:
            with cancellable(token), holding(lock):
                ended.append("took it")
        except Cancelled:
            ended.append("left")

    lock.acquire()
    threads = [threading.Thread(target=wait) for _ in range(others)]
    for thread in threads:
        thread.start()
    token.cancel()
    for thread in threads:
        thread.join(10)
    assert ended == ["left"] * others
    lock.release()
    with holding(lock):  # without a token it is an ordinary lock
        assert lock.locked()
    assert not lock.locked()


@pytest.fixture
def fresh() -> Segmenter:
    """Segmenter with empty caches of words and regions."""
    return Segmenter.from_open_clip(tiny_clip())


def _stage(name: str, segmenter: Segmenter, picture: np.ndarray):
    """Return a repeatable function that is slow on large inputs, and its minimum number of token checks."""
    encoding = segmenter.encode(picture)
    quarters = np.repeat(np.repeat(np.arange(4, dtype=np.int32).reshape(2, 2), 24, 0), 32, 1)
    result = dataclasses.replace(segmenter.segment(encoding, WORDS), labels=quarters)
    blocks = len(segmenter.backbone.blocks)
    words = iter(range(10**6))
    load_refiner("sam-nano")  # once for all tests, so not part of a repeatable stage
    refined = {
        "sam": lambda: _forgetful(load_refiner("sam-nano"))(result, picture),
        "everything": lambda: _forgetful(load_refiner("sam-nano", mode="everything"))(result, picture),
        "edges": lambda: load_refiner("edges")(result, picture),
    }
    if name in refined:
        return refined[name], 3
    if name.startswith("method "):
        return lambda: segmenter.segment(segmenter.encode(picture), WORDS, method=name.split()[1]), blocks
    return {
        "encode": (lambda: segmenter.encode(picture), blocks),
        "batch": (lambda: segmenter.encode_batch([picture, picture]), blocks),
        "words": (lambda: segmenter.embed_words([f"new {next(words)}"]), 2),
        "many words": (lambda: segmenter.embed_words([f"new {next(words)}" for _ in range(100)]), 100 * 7),
        "cluster": (lambda: segmenter.clusters(encoding, eps=0.1 + next(words) * 1e-6), 2),
        "label": (lambda: segmenter.segment(encoding, WORDS, size=(900, 900 + next(words))), 2),
        "label small": (lambda: decode.largest_at_pixels(torch.rand(40, 6, 8), (300, 400)), 2),
        "capture": (lambda: segmenter.capture(picture), blocks),
        "maps": (lambda: segmenter.inspect(picture), blocks + 2),
        "depth": (lambda: segmenter.capture(picture).depth(), 2 * blocks),
        "scores": (lambda: segmenter.scores(segmenter.encode(picture), WORDS, method="resclip"), blocks),
    }[name]


def _forgetful(refiner):
    refiners.forget_pictures([""])
    return refiner


STAGES = (
    *("encode", "batch", "words", "many words", "cluster", "label", "label small", "capture", "maps", "depth"),
    *("scores", "method resclip", "method gem", "method naclip", "sam", "everything", "edges"),
)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_looks_and_ends_at_any_look(name, fresh, picture, monkeypatch):
    monkeypatch.setattr(encoder, "PROMPTS_AT_ONCE", 32)
    monkeypatch.setattr(by_sam, "SETTINGS", {**by_sam.SETTINGS, "points_per_side": 4, "points_per_batch": 4})
    work, least = _stage(name, fresh, picture)
    token = CountingToken()
    with cancellable(token):
        work()
    assert token.looks >= least
    for place in {1, token.looks // 2, token.looks} - {0}:
        ending = CountingToken(end_at=place)
        with cancellable(ending), pytest.raises(Cancelled):
            work()
        assert ending.looks == place, "whatever was told to end went on"


@pytest.mark.parametrize("place", [1, 5, 9, 14])
def test_what_was_left_is_made_whole_the_next_time(place, fresh, picture):
    other = Segmenter.from_open_clip(tiny_clip())
    with cancellable(CountingToken(end_at=place)), pytest.raises(Cancelled):
        fresh.segment(fresh.encode(picture), WORDS, method="resclip", size=(500, 700))
    again = fresh.segment(fresh.encode(picture), WORDS, method="resclip", size=(500, 700))
    whole = other.segment(other.encode(picture), WORDS, method="resclip", size=(500, 700))
    np.testing.assert_array_equal(again.labels, whole.labels)
    np.testing.assert_array_equal(again.regions, whole.regions)


def test_the_names_are_public():
    assert {"CancelToken", "Cancelled", "cancellable"} <= set(cc.__all__)
    assert not issubclass(Cancelled, cc.CliptraseError), "it is no message for a person"


@pytest.mark.parametrize("seconds", ["5", float("nan"), True, [1]])
def test_a_time_limit_that_is_no_number_is_refused(seconds):
    with pytest.raises(cc.InputError, match="time limit: expected seconds, a number"):
        CancelToken(seconds)
    assert not CancelToken(np.float32(60)).cancelled
    assert not CancelToken(float("inf")).cancelled
