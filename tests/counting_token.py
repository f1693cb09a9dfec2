"""A token that counts how often work looks at it."""

from __future__ import annotations

from cliptrase_core import CancelToken


class CountingToken(CancelToken):
    """Counts looks, and cancels itself at one of them."""

    def __init__(self, end_at: int | None = None) -> None:
        super().__init__()
        self.looks, self.end_at = 0, end_at

    def check(self) -> None:
        self.looks += 1
        if self.looks == self.end_at:
            self.cancel()
        super().check()
