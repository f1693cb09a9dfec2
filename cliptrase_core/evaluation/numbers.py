"""Meaning of the numbers in mask files: class, background or ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError
from cliptrase_core.io.masks import IGNORED

Raw = npt.NDArray[np.int32]
"""Numbers of a mask file, (H, W), 0 to 65535."""

VOID = 255
"""Usual number of a pixel that does not count, in masks of 8 bits."""
VOID_16 = 65535
"""The same number in masks of 16 bits."""

_OUTSIDE = -2
_MOST = 65_536
_SHOWN = 8


@dataclass(frozen=True)
class Numbers:
    """Convention for the numbers in masks.

    Attributes:
        first: number of the first class; the other classes follow in order.
        ignored: numbers of pixels that do not count.
        background: numbers of the background, which is the label after the last class.
        single: class of each number, for numbers that are not consecutive; if set, `first` is not used.
    """

    first: int = 0
    ignored: tuple[int, ...] = (VOID,)
    background: tuple[int, ...] = ()
    single: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that all numbers are possible in a mask."""
        for number in (self.first, *self.ignored, *self.background, *self.single):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _MOST:
                raise InputError(
                    "number in a mask",
                    expected=f"a whole number, 0 to {_MOST - 1}",
                    got=repr(number),
                    remedy="Masks have 8 or 16 bits.",
                )

    def known(self, classes: int) -> set[int]:
        """Return the numbers of C classes and of the background, without ignored numbers."""
        own = set(self.single) or set(range(self.first, self.first + classes))
        return (own | set(self.background)) - set(self.ignored)

    def expect_apart(self, classes: int) -> None:
        """Raise InputError if a number of C classes is also ignored or background, or is too large for a mask."""
        own = set(self.single) or set(range(self.first, self.first + classes))
        twice = sorted(own & {*self.ignored, *self.background} | {*self.ignored} & {*self.background})
        if twice or max(own, default=0) >= _MOST:
            raise InputError(
                "numbers in masks",
                expected=f"{classes} classes from {self.first} on, other numbers for ignored pixels and background",
                got=f"{twice[0]} twice" if twice else f"numbers up to {max(own)}, of 16 bits",
                remedy="Give another `first`, `ignored` or `background`.",
            )

    def read(self, raw: Raw, classes: int) -> npt.NDArray[np.int32]:
        """Convert the numbers of a mask file to classes.

        Args:
            raw: (H, W), 0 to 65535.
            classes: C, without the background.

        Returns:
            (H, W): 0..C-1, C for the background, `IGNORED` for pixels that do not count.

        Raises:
            InputError: a number that is not part of the convention.
        """
        ground_truth: npt.NDArray[np.int32] = self._table(classes)[raw]
        unknown = np.unique(raw[ground_truth == _OUTSIDE])
        if len(unknown):
            shown = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
            raise InputError(
                "mask",
                expected=self._described(classes),
                got=f"also {shown}",
                remedy="Check that the masks belong to this setting and were converted its way.",
            )
        return ground_truth

    def _table(self, classes: int) -> npt.NDArray[np.int32]:
        table = np.full(_MOST, _OUTSIDE, np.int32)
        if self.single:
            for number, label in self.single.items():
                table[number] = label
        else:
            table[self.first : self.first + classes] = np.arange(classes)
        # Set after the classes, to overwrite them: 255 is never a class in 8 bits; PC459 (16 bits) ignores only 65535.
        table[list(self.ignored)] = IGNORED
        table[list(self.background)] = classes
        return table

    def _described(self, classes: int) -> str:
        own = "numbers of the setting" if self.single else f"{self.first} to {self.first + classes - 1}"
        others = [f"{n} (background)" for n in self.background[:3]] + [f"{n} (ignored)" for n in self.ignored[:3]]
        return ", ".join((own, *others))


# Conventions of the masks of published data sets, one for each published form.

# Original label ids of Cityscapes for the 19 classes that are scored.
_CITY_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITY = Numbers(
    ignored=tuple(number for number in (*range(35), 255) if number not in _CITY_IDS),
    single={number: label for label, number in enumerate(_CITY_IDS)},
)

ZERO_IS_NOTHING = Numbers(first=1, ignored=(0, 255))
ZERO_IS_BACKGROUND = Numbers(first=1, background=(0,))
PLAIN = Numbers()
BITS_16 = Numbers(ignored=(VOID_16,))
# Quirk B2: background and void have the same number; both are scored as background.
VOID_IS_BACKGROUND = Numbers(ignored=(), background=(255,))
# COCO: stuff is background of things. Quirk B1: only "banner" and void are background, other stuff is ignored.
STUFF_IS_BACKGROUND = Numbers(background=tuple(range(80, 171)))
ALL_ELSE_IS_BACKGROUND = Numbers(ignored=(), background=(*range(80, 171), 255))  # SCLIP's cvt_coco_object.py
B1 = Numbers(ignored=tuple(range(81, 171)), background=(80, 255))
# Published COCO-Stuff masks: id - 1, 0 to 181; eleven numbers are not used (github.com/nightrome/cocostuff).
_RAW_COCO = tuple(n for n in range(182) if n not in (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90))
RAW_STUFF = Numbers(single={number: label for label, number in enumerate(_RAW_COCO)})
_RAW_THINGS = {number: label for label, number in enumerate(_RAW_COCO[:80])}
RAW_OBJECTS = Numbers(background=_RAW_COCO[80:], single=_RAW_THINGS)
RAW_ALL_ELSE = Numbers(ignored=(), background=(*_RAW_COCO[80:], 255), single=_RAW_THINGS)
