"""Access to the model hub: check that it is reachable, find cached files, download files."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from cliptrase_core.cancel import Progress
from cliptrase_core.errors import WeightsError

PREFERRED_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names that open_clip tries, best first, if its entry of a repository names no file."""

START_TIME_S = 3.0
"""Seconds within which the hub must respond at the start, while nobody has asked for a download."""
ANSWER_TIME_S = 10.0
"""Seconds within which the hub must respond before a download; a slow proxy may need some."""
_LOGS = ("huggingface_hub.utils._http", "huggingface_hub.file_download")
"""Loggers of the hub library that print every retry."""


def offline() -> bool:
    """True when the hub library is set to stay offline (HF_HUB_OFFLINE=1)."""
    return bool(constants.HF_HUB_OFFLINE)


def hub_answers(timeout: float = START_TIME_S) -> bool:
    """Return whether the hub responds within `timeout` seconds, name look-up included."""
    if offline():
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            status = get_session().head(constants.ENDPOINT, timeout=timeout).status_code
        except Exception:  # any error means that the hub is not reachable
            return
        if status < 500:
            answered.set()

    # A name look-up has no time limit, so it runs in a daemon thread that may outlast this call.
    thread = threading.Thread(target=ask, daemon=True, name="hub-answers")
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def files_at(place: str) -> tuple[str, tuple[str, ...]]:
    """Split open_clip's "org/repository/[file]" into the repository and the file names to try, best first."""
    repository, _, file = place.rpartition("/")
    if not file:
        return repository, PREFERRED_FILES
    stem, suffix = os.path.splitext(file)
    return repository, (f"{stem}.safetensors", file) if suffix in (".bin", ".pth") else (file,)


def find_cached(place: str) -> Path | None:
    """Return the path of a cached file of `place`, or None; never uses the network."""
    repository, names = files_at(place)
    return next(filter(None, (find_file(repository, name) for name in names)), None)


def find_file(repository: str, name: str) -> Path | None:
    """Return the path of one cached file of a repository, or None."""
    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def fetch(place: str, what: str, progress: Progress | None = None) -> Path:
    """Download the best file of `place` into the hub's cache; the hub library resumes a broken transfer by itself.

    Args:
        place: "org/repository/" or "org/repository/file".
        what: name shown to users, such as "ViT-B-16:openai".
        progress: callback for the bytes received; if None, the hub library's own bar is shown.

    Raises:
        WeightsError: the download failed; the message contains the cause and a remedy.
    """
    return fetch_file(*files_at(place), what, progress)


def fetch_file(repository: str, names: Sequence[str], what: str, progress: Progress | None = None) -> Path:
    """Download the first of `names` that exists in a repository; otherwise like `fetch`."""
    # The hub library retries for half a minute where there is no network.
    if not any(find_file(repository, name) for name in names) and not hub_answers(ANSWER_TIME_S):
        raise _failure(what, LocalEntryNotFoundError("no answer"))
    extra: dict[str, Any] = {}
    if progress is not None and "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        extra["tqdm_class"] = _bar_that_tells(progress)
    for name in names:
        try:
            with _retries_unprinted():
                return Path(str(hf_hub_download(repository, name, **extra)))
        except LocalEntryNotFoundError as error:  # a subclass of the next error, with another meaning
            raise _failure(what, error) from error
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise _failure(what, error) from error
    raise WeightsError(
        f"weights {what}",
        expected=f"{' or '.join(names)} in the repository {repository}",
        got="a repository with none of them",
        remedy="Choose another tag, or pass a weights file.",
    )


@contextmanager
def _retries_unprinted() -> Iterator[None]:
    """Drop the hub library's warnings of this thread: the error after the last retry has the cause in one line."""
    own = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.thread != own or record.levelno > logging.WARNING

    loggers = [logging.getLogger(name) for name in _LOGS]
    for logger in loggers:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(passes)


def _bar_that_tells(progress: Progress) -> type:
    """Return a progress bar class for the hub library that also calls `progress`, even while the bar is hidden."""

    class Bar(tqdm):
        came_in = 0.0

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)  # type: ignore[no-untyped-call]
            self.came_in = float(settings.get("initial") or 0)  # a resumed transfer does not start at 0
            if self.total:
                _expect_space(self.total - self.came_in)

        def update(self, n: float | None = 1) -> bool | None:
            self.came_in += n or 0  # tqdm does not count while its bar is hidden
            if self.total:
                text = f"{self.came_in / 1e6:.0f} of {self.total / 1e6:.0f} MB"
                progress(min(1.0, self.came_in / self.total), text)
            shown: bool | None = super().update(n)
            return shown

    return Bar


def _expect_space(needed: float) -> None:
    """Raise OSError before a long transfer if the disk has too little space; the library only warns."""
    folder = Path(constants.HF_HUB_CACHE)
    if folder.is_dir() and shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _failure(what: str, error: Exception) -> WeightsError:
    """Return an error with the cause in one line; the library's own text is left out: it has folders and addresses."""
    got, remedy = _cause_and_remedy(error)
    return WeightsError(f"weights {what}", expected="a file from the model hub", got=got, remedy=remedy)


def _cause_and_remedy(error: Exception) -> tuple[str, str]:
    by_hand = "or download the file elsewhere and pass its path instead"
    if offline():
        return "HF_HUB_OFFLINE=1 and no copy in the Hub cache", f"Unset HF_HUB_OFFLINE, {by_hand}."
    if isinstance(error, GatedRepoError):
        return "a repository that asks for permission", f"Log in with `hf auth login`, {by_hand}."
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository (it may be private)", f"Choose another tag, {by_hand}."
    if isinstance(error, LocalEntryNotFoundError):  # it wraps the original error
        if isinstance(error.__cause__, FileMetadataError):
            remedy = "This network may require a login: open any page in a browser, then load it again"
            return "a response that is not the hub's", f"{remedy}, {by_hand}."
        if status := _status(error.__cause__):
            return f"HTTP status {status}", f"Load it again in a while, {by_hand}."
        return "no answer from the hub", f"Check the connection and load it again, {by_hand}."
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "a full disk", "Free some space or point HF_HOME at a larger disk, then load it again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "a cache folder that cannot be written", "Point HF_HOME at a folder of yours, then start again."
    status = _status(error)
    got = f"HTTP status {status}" if status else f"a broken transfer ({type(error).__name__})"
    return got, f"Load it again in a while, {by_hand}."


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, or None."""
    found: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return found
