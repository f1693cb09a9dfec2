"""Maps (H, W) of a result: what is counted in them, and maps that cost their full size only once they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Owner = TypeVar("Owner")


def runs(*maps: npt.NDArray[np.integer[Any]]) -> tuple[npt.NDArray[Any], ...]:
    """Where each run of one label begins, row after row, its length, and its label in each map.

    Neighbours are nearly always alike: what is counted by runs takes a fifth of the time of counting pixels.

    Args:
        maps: (H, W) each, at least one; of several a run ends where any of them changes.
    """
    flat = [one.ravel() for one in maps]
    changes = reduce(np.logical_or, (one[1:] != one[:-1] for one in flat))
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return starts, np.diff(starts, append=flat[0].size), *(one[starts] for one in flat)


class _Map:
    """An attribute that keeps what it was given, and turns it into its type when it is first asked for.

    A photograph's labels are found in a byte a pixel and handed out in four, and most results are written without
    anybody looking at the regions or the confidence of a pixel.
    """

    def __init__(self, name: str, kind: type[np.generic]) -> None:
        self._name, self._kind = name, kind

    def __get__(self, owner: Any, of: type | None = None) -> npt.NDArray[Any]:
        if owner is None:
            raise AttributeError(self._name)  # to a data class: there is no default
        if self._name not in vars(owner):
            vars(owner)[self._name] = np.asarray(given(owner, self._name), self._kind)
        made: npt.NDArray[Any] = vars(owner)[self._name]
        return made

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[f"given {self._name}"] = value


def given(owner: Any, name: str) -> Any:
    """What a map was made with: an array of any type, or what has a `shape` and becomes one by `__array__`."""
    return vars(owner)[f"given {name}"]


def made_when_asked(**kinds: type[np.generic]) -> Callable[[type[Owner]], type[Owner]]:
    """Decorates a data class: these of its attributes are maps, each of one type, see `_Map`."""

    def decorate(owner: type[Owner]) -> type[Owner]:
        for name, kind in kinds.items():
            setattr(owner, name, _Map(name, kind))
        return owner

    return decorate
