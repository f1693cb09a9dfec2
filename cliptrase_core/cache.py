"""Small caches of the most recently used values; each value is made only once."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from cliptrase_core.cancel import holding

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values of the most recently used keys; safe to share between threads.

    Values are made under a lock: if two threads need the same key, its value is made once. Only one value is made at
    a time, which suits a machine with one model.
    """

    def __init__(self, capacity: int | Callable[[], int], weigh: Callable[[Value], int] = lambda _: 1) -> None:
        """Limit the total weight of the values to `capacity`; the newest value stays even if it alone is heavier.

        Args:
            capacity: limit in the unit of `weigh`; a function is called again for each new value.
            weigh: function that returns the weight of a value, for example its bytes; by default each weighs 1.
        """
        self._capacity = capacity if callable(capacity) else lambda: capacity
        self._weigh = weigh
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()  # with their weights
        self._total = 0
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def peek(self, key: Hashable) -> Value | None:
        """Return the value if it is cached, else None."""
        found = self._find(key)
        return None if found is None else found[0]

    def get(self, key: Hashable, make: Callable[[], Value]) -> tuple[Value, bool]:
        """Return the value, and whether it was cached; errors of `make` are passed on, and then nothing is cached.

        Raises:
            Cancelled: the request was cancelled before the value was made.
        """
        found = self._find(key)
        if found is None:
            with holding(self._making):  # raises Cancelled if the request was cancelled meanwhile
                found = self._find(key)  # another thread may have made it meanwhile
                if found is None:
                    value = make()
                    self.put(key, value)
                    return value, False
        return found[0], True

    def put(self, key: Hashable, value: Value) -> None:
        """Cache a value that was made elsewhere, for instance together with others."""
        with self._lock:
            weight = self._weigh(value)
            self._drop(key)
            self._values[key] = value, weight
            self._total += weight
            most = self._capacity()
            while len(self._values) > 1 and self._total > most:
                self._drop(next(iter(self._values)))

    def discard(self, unwanted: Callable[[Hashable], bool]) -> int:
        """Drop the values of all keys for which `unwanted` is true. Return their number."""
        with self._lock:
            gone = [key for key in self._values if unwanted(key)]
            for key in gone:
                self._drop(key)
        return len(gone)

    def items(self) -> list[tuple[Hashable, Value]]:
        """Return all keys and values, the least recently used first; does not count as use."""
        with self._lock:
            return [(key, value) for key, (value, _) in self._values.items()]

    def __len__(self) -> int:
        return len(self._values)

    def _find(self, key: Hashable) -> tuple[Value, int] | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def _drop(self, key: Hashable) -> None:
        _, weight = self._values.pop(key, (None, 0))
        self._total -= weight


class CacheOfEach(Generic[Value]):
    """A cache for each of many objects, such as encodings, which ends with it; safe to share between threads."""

    def __init__(self, capacity: int) -> None:
        """Limit the number of values of each object to `capacity`."""
        self._capacity = capacity
        self._caches: weakref.WeakKeyDictionary[Any, LRUCache[Value]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of objects with values."""
        return len(self._caches)

    def get(self, owner: Any, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return a value of an object, cached or made now; see `LRUCache.get`. No value may refer to its object."""
        with self._lock:
            own = self._caches.setdefault(owner, LRUCache(self._capacity))
        return own.get(key, make)[0]
