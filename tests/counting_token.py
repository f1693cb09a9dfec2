"""A cancel token that counts its checks."""

from __future__ import annotations

from cliptrase_core import CancelToken


class CountingToken(CancelToken):
    """Cancel token that counts its checks and cancels itself at check number `end_at`."""

    def __init__(self, end_at: int | None = None) -> None:
        super().__init__()
        self.looks, self.end_at = 0, end_at

    def check(self) -> None:
        self.looks += 1
        if self.looks == self.end_at:
            self.cancel()
        super().check()
