"""Manual fixes of a result: clicks and boxes, which SAM extends to objects, and brush strokes.

A fix consists of a few numbers, in shares of the picture. The same list gives the same fixes at screen size and at full
size. Leaving out the last fix of the list undoes it.

Pixels that are removed from a class go to "everything else" or to the background, if the result has one, else to the
nearest other class. If the whole picture is one class, they go to a new "everything else". An excluding click or box
and an eraser remove pixels of one class only: the named class, or the class at `Fix.aim`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import Progress, quietly, steps
from cliptrase_core.errors import InputError, expect_one_of, is_number
from cliptrase_core.io.geometry import Size
from cliptrase_core.io.image import ImageInput
from cliptrase_core.maps import count_changes
from cliptrase_core.names import SAMS
from cliptrase_core.refine.base import Pixels, expect_result, picture_of
from cliptrase_core.refine.prompting import give_away
from cliptrase_core.refine.refiners import device_of, loaded_sam
from cliptrase_core.results import EVERYTHING_ELSE, Refined, Segmentation, is_background

MOST_FIXES = 500
MOST_POINTS = 4096
"""Most points of one stroke: a minute of drawing."""
MOST_POINTS_IN_ALL = 20_000
LARGEST_RADIUS = 0.25
CLICK, BOX, BRUSH = TOOLS = ("click", "box", "brush")

Kind = TypeVar("Kind", bound=Segmentation)
Masked = tuple[tuple[slice, slice], npt.NDArray[np.bool_]]
"""A box of a label map, and a mask of the selected pixels within it."""


@dataclass(frozen=True)
class Fix:
    """Manual fix of a result: one click, one box or one stroke.

    Attributes:
        points: (x, y) in shares of the picture's width and height, 0 to 1 from its left and upper edges; a click has
            one, a box two opposite corners.
        class_name: class that the selected pixels get; None removes a class from them.
        radius: radius of the brush, in shares of the picture's longer side; None for a click or a box.
        sam: model that segments the object under a click or in a box, one of `SAMS`; None for a brush.
        from_class: class to remove, if `class_name` is None. Applied to another result, the fix changes no other class.
            None removes the class that the result shows at `aim`.
    """

    points: tuple[tuple[float, float], ...]
    class_name: str | None = None
    radius: float | None = None
    sam: str | None = None
    from_class: str | None = None

    def __post_init__(self) -> None:
        """Raise InputError unless the values describe a click, a box or a stroke."""
        for name in (self.class_name, self.from_class):
            if name is not None and not isinstance(name, str):
                _refuse("class", "a name, or nothing", repr(name)[:80], "Name one of the result's classes.")
        if self.class_name is not None and self.from_class is not None:
            _refuse("fix", "a class to add, or one to remove", "both", "Give one of them.")
        if (self.radius is None) == (self.sam is None):
            got = "neither" if self.sam is None else "both"
            _refuse("fix", "a radius (a stroke) or a SAM (a click or a box)", got, "Give one of them.")
        if self.sam is not None:
            expect_one_of("sam", self.sam, SAMS)
        elif not is_number(self.radius) or not 0 < (self.radius or 0) <= LARGEST_RADIUS:
            expected = f"above 0 and at most {LARGEST_RADIUS} of the picture's longer side"
            _refuse("brush radius", expected, repr(self.radius)[:40], "Choose another size.")
        else:
            object.__setattr__(self, "radius", float(self.radius or 0))  # JSON has no numbers of NumPy
        if not isinstance(self.points, (list, tuple, np.ndarray)):
            _refuse("points", "a list of (x, y)", repr(self.points)[:80], "Put the points into a list.")
        most = 2 if self.sam is not None else MOST_POINTS
        if not 1 <= len(self.points) <= most:
            remedy = "Click once, or draw one box." if self.sam is not None else "Draw a shorter stroke."
            what = "points for SAM" if self.sam is not None else "points of a brush"
            _refuse(what, f"1 to {most}", str(len(self.points)), remedy)
        object.__setattr__(self, "points", tuple(map(_inside, self.points)))
        if self.tool == BOX and any(one == other for one, other in zip(*self.points, strict=True)):
            _refuse("box", "two corners apart, in both directions", repr(self.points)[:80], "Draw a larger box.")

    @property
    def tool(self) -> str:
        """Name of the tool, one of `TOOLS`."""
        if self.sam is None:
            return BRUSH
        return CLICK if len(self.points) == 1 else BOX

    @property
    def aim(self) -> tuple[float, float]:
        """Point (x, y) of the class that it removes: the middle of a box, else its first point."""
        (x, y), (other_x, other_y) = self.points[0], self.points[-1]
        return ((x + other_x) / 2, (y + other_y) / 2) if self.tool == BOX else (x, y)

    def as_dict(self) -> dict[str, Any]:
        """Return the fix as JSON values; `read_fixes` reads them."""
        how = {"sam": self.sam} if self.sam is not None else {"radius": self.radius}
        whose = {"class": self.class_name} | ({"from": self.from_class} if self.from_class is not None else {})
        return {"tool": self.tool, **how, **whose, "points": [list(point) for point in self.points]}


def read_fixes(entries: Any) -> tuple[Fix, ...]:
    """Read fixes from JSON values, as stored in the settings of a saved result.

    Args:
        entries: list of values from `Fix.as_dict`; a `Fix` is returned as it is.

    Raises:
        InputError: other values, or more than `MOST_FIXES`.
    """
    if not isinstance(entries, (list, tuple)):
        _refuse("fixes", "a list", type(entries).__name__, "Take it from the settings of a saved result.")
    if len(entries) > MOST_FIXES:
        _refuse("fixes", f"at most {MOST_FIXES}", str(len(entries)), "Leave some out.")
    fixes = tuple(_read(entry) for entry in entries)
    _expect_few(len(fixes), sum(len(one.points) for one in fixes))
    return fixes


def _listed(fixes: Any) -> tuple[Fix, ...]:
    """Return fixes, or their JSON values, as fixes."""
    if not isinstance(fixes, Iterable) or isinstance(fixes, (str, Mapping)):
        got, remedy = type(fixes).__name__, "Put a single fix into a list."
        _refuse("fixes", "a list of Fix, or of saved fixes", got, remedy)
    first = itertools.islice(fixes, MOST_FIXES + 1)  # more are refused
    return tuple(_read(one) for one in first)


def _read(entry: Any) -> Fix:
    if isinstance(entry, Fix):
        return entry
    points = entry.get("points") if isinstance(entry, Mapping) else None
    if not isinstance(points, (list, tuple)):
        _refuse("fix", "an object with points", repr(entry)[:80], "See Fix.as_dict.")
    expect_one_of("tool", entry.get("tool"), TOOLS)
    if len(points) > MOST_POINTS:  # before they are copied
        _refuse("points of a stroke", f"1 to {MOST_POINTS}", str(len(points)), "Draw a shorter stroke.")
    pairs = tuple(tuple(point) if isinstance(point, (list, tuple)) else (point,) for point in points)
    how = {"radius": entry.get("radius")} if entry["tool"] == BRUSH else {"sam": entry.get("sam")}
    if None in how.values():
        _refuse(entry["tool"], f"a value for {next(iter(how))}", "none", "Add it.")
    one = Fix(pairs, entry.get("class"), **how, from_class=entry.get("from"))
    if one.tool != entry["tool"]:
        expected = "two corners" if entry["tool"] == BOX else "one point"
        _refuse(entry["tool"], expected, str(len(points)), f"Name it a {one.tool}, or give {expected}.")
    return one


def apply_fixes(
    result: Kind,
    image: ImageInput,
    fixes: Iterable[Fix | Mapping[str, Any]],
    *,
    device: str | None = None,
    seen: Pixels | None = None,
    picture_name: str = "",
    step: Progress = quietly,
) -> Kind:
    """Apply manual fixes to a result, one after the other.

    `regions` and `confidence` still describe the result before the fixes. The fixes are appended to
    `settings["fixes"]`, so that they can be applied again. Two calls give the same result as one call with all fixes.

    Args:
        result: coarse, refined or already fixed result; it is not changed.
        image: as for `refine`.
        fixes: fixes in the order of application, or their values in the settings of a saved result.
        device: as for `refine`.
        seen: (h, w, 3), the same picture at a smaller size, as the input of SAM instead of `image`.
        picture_name: as for `load_refiner`.
        step: progress callback (share in [0, 1], text); an exception that it raises ends the work.

    Returns:
        A result of the same kind. The report of a refined result counts the changes anew.

    Raises:
        InputError: no result, a class that the result does not have, too many fixes, or a picture of another size.
        WeightsError: the weights of a SAM are not available.
    """
    expect_result(result)
    before, fixes = read_fixes(result.settings.get("fixes", [])), _listed(fixes)
    _expect_few(len(before) + len(fixes), sum(len(one.points) for one in (*before, *fixes)))
    if not fixes:
        return result
    pixels = picture_of(result, image)
    labels, names = result.labels.copy(), list(result.class_names)
    for number, one in steps(enumerate(fixes)):
        step(number / len(fixes), f"fix {number + 1} of {len(fixes)}")
        for name in (one.class_name, one.from_class):  # before SAM, which may take long
            if name is not None:
                expect_one_of("class", name, names)
        if one.sam is None:
            box, mask = stroke(one.points, one.radius or 0.0, result.size)
        else:
            sam = loaded_sam(one.sam, device=device or device_of(result)).of(picture_name)
            shown = pixels if seen is None else seen
            if one.tool == BOX:
                box, mask = sam.object_in_box(shown, one.points, result.size, step)
            else:
                box, mask = sam.object_at(shown, one.points[0], result.size, step)
        if one.class_name is not None:
            labels[box][mask] = names.index(one.class_name)
        else:
            _take_away(labels, names, one, box, mask)
    settings = {**result.settings, "fixes": [one.as_dict() for one in (*before, *fixes)]}
    changes: dict[str, Any] = {"labels": labels, "class_names": tuple(names), "settings": settings}
    if isinstance(result, Refined):
        counts = count_changes(result.coarse, labels, tuple(names))
        changes["report"] = dataclasses.replace(result.report, **counts)
    return dataclasses.replace(result, **changes)


def class_at(result: Segmentation, point: tuple[float, float]) -> str:
    """Return the class that a result shows at a point (x, y), in shares of its width and height.

    Raises:
        InputError: no result, or a point outside the picture.
    """
    expect_result(result)
    return result.class_names[int(result.labels[_pixel(_inside(point), result.size)])]


def _take_away(
    labels: npt.NDArray[np.int32], names: list[str], one: Fix, box: tuple[slice, slice], mask: npt.NDArray[np.bool_]
) -> None:
    """Give the selected pixels of the class to remove to another class; changes labels and names in place."""
    if one.from_class is None:
        old = int(labels[_pixel(one.aim, (labels.shape[0], labels.shape[1]))])
    else:
        old = names.index(one.from_class)
    released = mask & (labels[box] == old)
    heir = _heir(names, old)
    if heir is None and (labels == old).all():
        names.append(EVERYTHING_ELSE)
        heir = len(names) - 1
    if heir is not None:
        labels[box][released] = heir
        return
    whole = np.zeros(labels.shape, np.bool_)
    whole[box] = released
    labels[:] = give_away(labels, labels, whole)


def _heir(names: Sequence[str], old: int) -> int | None:
    """Return the label, other than `old`, of "everything else" or the background; None if there is none."""
    rest = [label for label, name in enumerate(names) if name == EVERYTHING_ELSE and label != old]
    return next(iter([*rest, *(at for at, name in enumerate(names) if is_background(name) and at != old)]), None)


def stroke(points: Sequence[tuple[float, float]], radius: float, size: Size) -> Masked:
    """Return the pixels in a map of (H, W) under a stroke of a round brush; arguments as in `Fix`."""
    height, width = size
    reach = radius * max(size)
    line = np.rint(np.array(points) * (width, height) - 0.5).astype(np.int32)
    margin = math.ceil(reach) + 1
    left, top = (max(0, int(at) - margin) for at in line.min(axis=0))
    right, bottom = (
        min(whole, int(at) + margin + 1) for at, whole in zip(line.max(axis=0), (width, height), strict=True)
    )
    mask = np.zeros((bottom - top, right - left), np.uint8)
    inside = line - (left, top)
    cv2.polylines(mask, [inside], isClosed=False, color=1, thickness=max(1, round(2 * reach)))
    for end in (inside[0], inside[-1]):  # a stroke of one point is a dot
        cv2.circle(mask, end.tolist(), round(reach), color=1, thickness=-1)
    return np.s_[top:bottom, left:right], mask.view(np.bool_)


def _pixel(point: tuple[float, float], size: Size) -> tuple[int, int]:
    """Return (row, column) of the pixel under a point in a map of (H, W)."""
    return min(int(point[1] * size[0]), size[0] - 1), min(int(point[0] * size[1]), size[1] - 1)


def _expect_few(fixes: int, points: int) -> None:
    """Raise InputError for more fixes or points than a person makes: all of them are stored and applied again."""
    for what, count, most in (("fixes", fixes, MOST_FIXES), ("points of all strokes", points, MOST_POINTS_IN_ALL)):
        if count > most:
            _refuse(what, f"at most {most}", str(count), "Undo some, or fix the rest in an annotation tool.")


def _inside(point: Any) -> tuple[float, float]:
    """Return a point as two floats; raise InputError unless it lies in the picture."""
    pair = isinstance(point, (list, tuple, np.ndarray)) and len(point) == 2 and all(map(is_number, point))
    if not pair or not all(0 <= share <= 1 for share in point):
        expected = "x and y from 0 to 1, in shares of the picture"
        _refuse("point", expected, repr(point)[:80], "Click or draw inside the picture.")
    return float(point[0]), float(point[1])


def _refuse(what: str, expected: str, got: str, remedy: str) -> NoReturn:
    raise InputError(what, expected=expected, got=got, remedy=remedy)
