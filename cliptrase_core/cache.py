"""Small cache of the most recently used values; each value is made only once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

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
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def peek(self, key: Hashable) -> Value | None:
        """Return the value if it is cached, else None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def get(self, key: Hashable, make: Callable[[], Value]) -> tuple[Value, bool]:
        """Return the value, and whether it was cached; errors of `make` are passed on, and then nothing is cached.

        Raises:
            Cancelled: the request was cancelled before the value was made.
        """
        kept = self.peek(key)
        if kept is not None:
            return kept, True
        with holding(self._making):  # raises Cancelled if the request was cancelled meanwhile
            kept = self.peek(key)  # another thread may have made it meanwhile
            if kept is not None:
                return kept, True
            value = make()
            with self._lock:
                self._values[key], self._weights[key] = value, self._weigh(value)
                most = self._capacity()
                while len(self._values) > 1 and sum(self._weights.values()) > most:
                    oldest, _ = self._values.popitem(last=False)
                    del self._weights[oldest]
            return value, False

    def discard(self, unwanted: Callable[[Hashable], bool]) -> int:
        """Drop the values of all keys for which `unwanted` is true. Return their number."""
        with self._lock:
            gone = [key for key in self._values if unwanted(key)]
            for key in gone:
                del self._values[key], self._weights[key]
        return len(gone)

    def items(self) -> list[tuple[Hashable, Value]]:
        """Return all keys and values, the least recently used first; does not count as use."""
        with self._lock:
            return list(self._values.items())

    def __len__(self) -> int:
        return len(self._values)
