"""Maps (H, W) of a result: runs of equal labels, changes, and maps that are converted to their type on first access."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Owner = TypeVar("Owner")


def runs(*maps: npt.NDArray[np.integer[Any]]) -> tuple[npt.NDArray[Any], ...]:
    """Return the start index of each run of one label, row after row, its length, and its label in each map.

    Neighbouring pixels are nearly always equal: counting by runs takes a fifth of the time of counting pixels.

    Args:
        maps: one or more maps (H, W); a run ends where any of them changes.
    """
    flat = [one.ravel() for one in maps]
    changes = reduce(np.logical_or, (one[1:] != one[:-1] for one in flat))
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return starts, np.diff(starts, append=flat[0].size), *(one[starts] for one in flat)


def count_changes(
    before: npt.NDArray[np.integer], after: npt.NDArray[np.integer], names: tuple[str, ...]
) -> dict[str, Any]:
    """Count the changed pixels, and the pixels that each class gained and lost."""
    moved = after != before
    won, lost = (np.bincount(labels[moved], minlength=len(names)) for labels in (after, before))
    return {
        "changed": int(moved.sum()),
        "gained": {names[i]: int(won[i]) for i in np.flatnonzero(won)},
        "lost": {names[i]: int(lost[i]) for i in np.flatnonzero(lost)},
    }


class _Map:
    """Attribute that stores a value as given, and converts it to its type on first access, to a read-only array.

    Labels of a photograph are computed with one byte per pixel and returned with four. Most results are written without
    any access to the regions or the confidence of a pixel.
    """

    def __init__(self, name: str, kind: type[np.generic]) -> None:
        self._name, self._kind = name, kind

    def __get__(self, owner: Any, of: type | None = None) -> npt.NDArray[Any]:
        if owner is None:
            raise AttributeError(self._name)  # tells the data class that there is no default
        if self._name not in vars(owner):
            converted = np.asarray(given(owner, self._name), self._kind).view()
            converted.flags.writeable = False  # files and areas are made of the value as given
            vars(owner)[self._name] = converted
        made: npt.NDArray[Any] = vars(owner)[self._name]
        return made

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[f"given {self._name}"] = value


def given(owner: Any, name: str) -> Any:
    """Return the value that a map was set to: an array of any type, or an object with `shape` and `__array__`."""
    return vars(owner)[f"given {name}"]


def made_when_asked(**kinds: type[np.generic]) -> Callable[[type[Owner]], type[Owner]]:
    """Return a decorator of a data class that turns these attributes into maps, each of one type; see `_Map`."""

    def as_given(self: Any) -> dict[str, Any]:
        """Return what is pickled and copied: a converted map would become a second array, and writable."""
        return {name: value for name, value in vars(self).items() if name not in kinds}

    def decorate(owner: type[Owner]) -> type[Owner]:
        for name, kind in kinds.items():
            setattr(owner, name, _Map(name, kind))
        owner.__getstate__ = as_given  # type: ignore[attr-defined]
        return owner

    return decorate
