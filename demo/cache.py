"""A small store that keeps what was used last and makes each thing once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cliptrase_core.cancel import holding

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """The values of the last keys that were asked for; threads share one.

    Making happens under a lock: a key that two people ask for at once is made once, and only one thing is made
    at a time, which suits a machine with one model.
    """

    def __init__(self, capacity: int | Callable[[], int], weigh: Callable[[Value], int] = lambda _: 1) -> None:
        """Keep values of at most `capacity` together; the newest stays even if it alone weighs more.

        Args:
            capacity: in the unit of `weigh`; a function is asked anew for each value that comes.
            weigh: what a value takes, for example its bytes; by default each counts as one.
        """
        self._capacity = capacity if callable(capacity) else lambda: capacity
        self._weigh = weigh
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def peek(self, key: Hashable) -> Value | None:
        """The value if it is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def get(self, key: Hashable, make: Callable[[], Value]) -> tuple[Value, bool]:
        """The value, and whether it was kept; what `make` raises is passed on and nothing is kept.

        Raises:
            Cancelled: nobody waits for the value any longer, found out before it is made.
        """
        kept = self.peek(key)
        if kept is not None:
            return kept, True
        with holding(self._making):  # whom nobody waits for by then makes nothing
            kept = self.peek(key)  # somebody may have made it meanwhile
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
        """Drop the values of some keys; how many there were."""
        with self._lock:
            gone = [key for key in self._values if unwanted(key)]
            for key in gone:
                del self._values[key], self._weights[key]
        return len(gone)

    def items(self) -> list[tuple[Hashable, Value]]:
        """Everything that is kept, what was unused for longest first; counts as no use."""
        with self._lock:
            return list(self._values.items())

    def __len__(self) -> int:
        return len(self._values)
