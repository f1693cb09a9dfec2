"""Limits on idle connections: their number per address, and the time until a request has arrived.

The server below Gradio waits for the rest of a request's headers without a time limit, and accepts as many connections
as the system allows. Gradio starts that server itself and offers no option for this. `bound` enters the protocol of
this file in the table from which the server takes its protocol. Imports no Gradio.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Any, ClassVar

import h11
from uvicorn import config
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.addresses import group_of, is_trusted, trusted_proxies
from demo.settings import CONNECTIONS, CONNECTIONS_EACH, HEAD_TIMEOUT_S


def bound() -> None:
    """Make servers that start from now on use the protocol of this file."""
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedConnection"


class BoundedConnection(H11Protocol):
    """Connection that is refused if its address has too many, and closed if a request's headers do not end in time."""

    open_at: ClassVar[Counter[str]] = Counter()
    """Number of connections by address. Named proxies, whose visitors share them, count under an empty name."""
    proxies: ClassVar[frozenset[str]] = trusted_proxies(os.environ)

    _group: str | None = None
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Count the connection; one above the limit is closed before anything is read."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        trusted = is_trusted(address, self.proxies)
        self._group = "" if trusted else group_of(address)
        self.open_at[self._group] += 1
        if self.open_at.total() > CONNECTIONS or (not trusted and self.open_at[self._group] > CONNECTIONS_EACH):
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        super().connection_lost(exc)
        self._head_came()
        if self._group is not None:
            self.open_at[self._group] -= 1
            if not self.open_at[self._group]:
                del self.open_at[self._group]
            self._group = None

    def data_received(self, data: bytes) -> None:
        """Handle part of a request. The time limit runs from its first byte until its headers are complete."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_came()
        elif self._late is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
