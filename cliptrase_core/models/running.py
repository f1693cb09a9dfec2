"""Conditions of every run of a model: the weights that its caches belong to, and its own precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from cliptrase_core.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


class Weights:
    """Weights of a model as they were at first: cached words and encodings belong to them.

    A change is found by torch's count of changes in place and by the address of each tensor, in less than 0.1 ms. A
    change through `.data`, which torch does not count, is not found.
    """

    def __init__(self, model: nn.Module) -> None:
        """Store the state of all parameters, without their values."""
        self._places = [(one._parameters, name) for one in model.modules() for name in one._parameters]
        self._first = list(model.parameters())  # kept, so that no new tensor gets the address of one of these
        self._before = self._state()

    def expect_unchanged(self) -> None:
        """Raise InputError if a parameter was changed, moved, cast or replaced."""
        if self._state() != self._before:
            expected, got = "the weights that the segmenter was created with", "weights that were changed since"
            remedy = "Create a new Segmenter, and encode the pictures again."
            raise InputError("model", expected=expected, got=got, remedy=remedy)

    def _state(self) -> list[tuple[int, int]]:
        # A tensor made in inference mode has no count: torch forbids its changes elsewhere.
        now = [parameters.get(name) for parameters, name in self._places]
        return [(0 if one.is_inference() else one._version, one.data_ptr()) for one in now if one is not None]


@contextmanager
def own_precision(device: torch.device) -> Iterator[None]:
    """Switch off the caller's autocast: results are cached and described as of the model's own precision."""
    with torch.autocast("cpu", enabled=False):
        if device.type == "cpu" or not torch.amp.is_autocast_available(device.type):
            yield
        else:
            with torch.autocast(device.type, enabled=False):
                yield


def in_own_precision(method: Function) -> Function:
    """Return a method that runs without the caller's autocast on the `device` of its owner."""

    @functools.wraps(method)
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        with own_precision(self.device):
            return method(self, *arguments, **options)

    return run  # type: ignore[return-value]


def as_loaded(method: Function) -> Function:
    """Return a method that runs `in_own_precision`, if the owner's `weights` are those that it was created with."""
    alone = in_own_precision(method)

    @functools.wraps(method)
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        self.weights.expect_unchanged()
        return alone(self, *arguments, **options)

    return run  # type: ignore[return-value]
