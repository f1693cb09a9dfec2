"""Colour masks: conversion of colours to numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.numbers import VOID, Raw
from cliptrase_core.io.masks import read_colours, read_numbers_and_kind

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_SHOWN = 4
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Colours:
    """A list of colours.

    Attributes:
        numbers: number of each colour.
        source: origin of the list, for messages.
        indexed: True if the values of a grey mask, or of a palette mask with other colours, are indices into the list.
    """

    numbers: Mapping[Colour, int]
    source: str
    indexed: bool = False

    def read_mask(self, path: Path) -> tuple[Raw, str]:
        """Read the numbers (H, W) of a mask, and its kind; see `layouts.ReadMask`.

        Raises:
            InputError: no such mask, or it has colours that are not in the list.
        """
        return self.meant(path, *read_colours(path))

    def meant(self, path: Path, colours: npt.NDArray[np.uint8], kind: str) -> tuple[Raw, str]:
        """Return the result of `read_mask`, given the output of `read_colours` for the same file."""
        places = self.indexed and kind.startswith(("grey", "palette"))
        if colours.ndim == 3:
            found, foreign = self._found(colours)
            if not foreign:
                return found, f"{kind}, colours of {self.source}"
            if not places:
                raise self._refused(path, f"also {foreign}")
        if not places:
            raise self._refused(path, f"a {kind}")
        raw, kind = read_numbers_and_kind(path)
        table = np.array(list(self.numbers.values()), np.int32)
        if raw.max() >= len(table):
            raise self._refused(path, f"the number {raw.max()} of {len(table)} colours")
        return table[raw], f"{kind}, places in {self.source}"

    def _found(self, colours: npt.NDArray[np.uint8]) -> tuple[Raw, str]:
        """Return the numbers (H, W), and a readable text of the colours that are not in the list."""
        known = np.array(sorted(map(_packed, self.numbers)), np.int32)
        numbers = np.array([self.numbers[_unpacked(colour)] for colour in known.tolist()], np.int32)
        given = packed(colours)
        places = np.searchsorted(known, given).clip(max=len(known) - 1)
        foreign = np.unique(given[known[places] != given]).tolist()
        shown = "; ".join(" ".join(map(str, _unpacked(colour))) for colour in foreign[:_SHOWN])
        return numbers[places], shown + ("; ..." if len(foreign) > _SHOWN else "")

    def _refused(self, path: Path, got: str) -> InputError:
        expected = f"the colours of {self.source}"
        remedy = "Add them there, or use the list that belongs to these masks; never save masks smoothed or as JPEG."
        return InputError(f"mask {path.name!r}", expected=expected, got=got, remedy=remedy)


def packed(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Pack colours (H, W, 3) into numbers (H, W): red * 65536 + green * 256 + blue."""
    wide = colours.astype(np.int32)
    joined: npt.NDArray[np.int32] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return joined


def _packed(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _unpacked(colour: int) -> Colour:
    return colour >> 16, colour >> 8 & 255, colour & 255


def colour_of(value: Any, what: str) -> Colour:
    """Parse a colour: "#ff8000", "255 128 0", "255,128,0" or a list of three numbers.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, str) and (found := _HEX.fullmatch(value.strip())) and not value.strip().isdecimal():
        return _unpacked(int(found[1], 16))
    parts = re.split(r"[\s,]+", value.strip(" \t()[]")) if isinstance(value, str) else value
    try:
        red, green, blue = (int(str(part)) for part in parts)
    except (TypeError, ValueError):
        red = green = blue = -1
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        expected = 'a colour such as "#ff8000" or 255, 128, 0'
        raise InputError(what, expected=expected, got=repr(value)[:60], remedy="Correct it.")
    return red, green, blue


def voc_colour(number: int) -> Colour:
    """Return colour 0 to 255 of VOC's palette: the bits of the number, spread over the three bands from the top."""
    bits = [[number >> (3 * place + band) & 1 for place in range(3)] for band in range(3)]
    red, green, blue = (sum(bit << (7 - place) for place, bit in enumerate(band)) for band in bits)
    return red, green, blue


VOC_COLOURS = Colours({**{voc_colour(number): number for number in range(21)}, voc_colour(VOID): VOID}, "VOC")


def read_voc_mask(path: Path) -> tuple[Raw, str]:
    """Read a VOC mask: the published palette file, or a copy that was converted to RGB colours."""
    try:
        return read_numbers_and_kind(path)
    except InputError as error:
        try:
            colours, kind = read_colours(path)
        except InputError:
            raise error from None
        if colours.ndim == 2 or kind.startswith("palette"):
            raise
        return VOC_COLOURS.meant(path, colours, kind)
