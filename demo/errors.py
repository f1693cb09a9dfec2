"""Errors that a user can fix, with a text that may be shown. Imports no Gradio."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from demo import core

NO_ROOM = (
    "The computer that runs this page has no room for files. Free some of its disk, or tell its operator. "
    "Then try again."
)


NOT_WRITTEN = "The computer that runs this page cannot write its files. Tell its operator, whose log has the reason."
_log = logging.getLogger(__name__)


class UserError(Exception):
    """Error that the user can fix; its text may be shown."""


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Turn the core's own errors, and a lack of memory, into a `UserError` with a helpful text."""
    try:
        yield
    except core.errors.OutputError as error:  # its text names a folder of the server
        full = core.errors.out_of_space(error.__cause__)
        _log.error("%s", error)
        raise UserError(NO_ROOM if full else NOT_WRITTEN) from error
    except core.errors.CliptraseError as error:
        raise UserError(str(error)) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not core.errors.out_of_memory(error):
            raise
        raise UserError(
            "This machine does not have enough memory for this size. Choose a smaller short side under Settings, "
            "for instance 224."
        ) from error
