"""Cache of the most recently used values: limits by count and by weight, values made once, cancelled waiting."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading

import pytest

from cliptrase_core import Cancelled, CancelToken, cancellable
from cliptrase_core.cache import CacheOfEach, LRUCache

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


def test_each_object_has_values_of_its_own_that_end_with_it():
    class Owner:
        pass

    first, second, made = Owner(), Owner(), []
    store: CacheOfEach[str] = CacheOfEach(2)
    for owner, name in ((first, "one"), (second, "two")):
        for key in ("a", "b", "a", "c", "b"):
            found = store.get(owner, key, lambda key=key, name=name: made.append(name + key) or name + key)
            assert found == name + key
    assert made == ["onea", "oneb", "onec", "oneb", "twoa", "twob", "twoc", "twob"]
    assert len(store) == 2
    del owner, first
    gc.collect()
    assert len(store) == 1


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


def test_weights_count_once_however_often_a_key_is_replaced():
    store: LRUCache[str] = LRUCache(6, len)
    for text in ("aaa", "bb", "a", "aa", "ccc"):
        store.put(text[0], text)
    assert store.items() == [("a", "aa"), ("c", "ccc")]
    store.put("d", "d")
    assert len(store) == 3, "six in all"


def test_nothing_is_a_value_too():
    made: list[int] = []
    store: LRUCache[None] = LRUCache(2)
    assert [store.get("a", lambda: made.append(1)) for _ in range(2)] == [(None, False), (None, True)]
    assert made == [1]


@pytest.mark.parametrize("value", ["made", None])
def test_threads_that_need_one_value_make_it_once(value):
    store, found, asking = LRUCache(2), [], threading.Barrier(5)

    def ask() -> None:
        asking.wait(10)
        found.append(store.get("a", lambda: "made again"))

    def make():
        asking.wait(10)  # now the others ask, too
        return value

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert store.get("a", make) == (value, False)
    for thread in threads:
        thread.join(10)
    assert found == [(value, True)] * 4


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
