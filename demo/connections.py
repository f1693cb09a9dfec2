"""Connections that stay open for nothing: bounded in number for each address, and in time until a request has come.

The server below Gradio waits without end for the rest of a request's headers, and takes as many connections as the
system does. Gradio starts that server itself, without a way to say more; `bound` names the protocol of this file in the
table from which the server takes its own. Imports no Gradio.
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
    """Have servers that are started from now on take their connections by this file's protocol."""
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedConnection"


class BoundedConnection(H11Protocol):
    """One connection: refused where its address has too many, closed where a request's headers do not end."""

    open_at: ClassVar[Counter[str]] = Counter()
    """Connections of each address; of named proxies, whose visitors share theirs, under an empty name."""
    proxies: ClassVar[frozenset[str]] = trusted_proxies(os.environ)

    _group: str | None = None
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Count it; one too many is closed before anything is read."""
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
        """Count it no longer."""
        super().connection_lost(exc)
        self._head_came()
        if self._group is not None:
            self.open_at[self._group] -= 1
            if not self.open_at[self._group]:
                del self.open_at[self._group]
            self._group = None

    def data_received(self, data: bytes) -> None:
        """A part of a request: the clock runs from its first byte until its headers are whole."""
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
