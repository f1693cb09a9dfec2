"""Cache of the most recently used values: limits by count and by weight, values made once, cancelled waiting."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest

from cliptrase_core import Cancelled, CancelToken, cancellable
from cliptrase_core.cache import LRUCache

_count = itertools.count()


def test_the_store_forgets_what_was_unused_for_longest_and_makes_once():
    kept, made = LRUCache(2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == 2


def test_the_store_forgets_by_weight_but_keeps_the_newest():
    kept = LRUCache(10, len)
    for text in ("aaaa", "bbbb", "cccc", "d" * 20):
        kept.get(text[0], lambda text=text: text)
    assert kept.peek("d") == "d" * 20
    assert len(kept) == 1


def test_an_emptied_store_weighs_nothing():
    store: LRUCache[bytes] = LRUCache(10, len)
    for name in "abc":
        store.get(name, lambda: bytes(3))
    assert store.discard(lambda key: key in "ab") == 2
    assert store.discard(lambda key: key == "a") == 0
    threads = [threading.Thread(target=store.get, args=(i, lambda: bytes(3))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 3, "weights of what was dropped do not count"


@pytest.mark.parametrize("waiting", [1, 4])
def test_what_nobody_waits_for_by_then_is_not_made(waiting):
    cache, made, ready = LRUCache(10), [], threading.Event()
    token = CancelToken()

    def ask() -> None:
        with cancellable(token), contextlib.suppress(Cancelled):
            cache.get(next(_count), lambda: made.append("in vain"))

    def hold() -> str:
        for thread in threads:
            thread.start()
        token.cancel()
        for thread in threads:
            thread.join(10)  # they give up while the lock is held
        ready.set()
        return "made"

    threads = [threading.Thread(target=ask) for _ in range(waiting)]
    assert cache.get("first", hold) == ("made", False)
    assert ready.is_set()
    assert made == []
