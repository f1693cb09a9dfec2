"""Boundary refinement: a coarse result and its picture in, the same classes with better boundaries out.

`none` changes nothing; `edges` follows the picture's own edges and needs no weights; the others are SAM (A. Kirillov et
al., Segment Anything, ICCV 2023), asked about every component of the coarse result, or for everything in the picture;
`sam-nano+edges` is one after the other. `apply_fixes` does what a person says: clicks and strokes.
"""

import sys
from types import ModuleType

from cliptrase_core.refine.fixes import Fix, apply_fixes, class_at, read_fixes
from cliptrase_core.refine.refiners import FREE, NONE, REFINERS, SAMS, is_here, load_refiner, refine
from cliptrase_core.refine.report import MODES, Refiner
from cliptrase_core.results import ComponentReport, Refined, RefineReport

__all__ = [
    "FREE",
    "MODES",
    "NONE",
    "REFINERS",
    "SAMS",
    "ComponentReport",
    "Fix",
    "RefineReport",
    "Refined",
    "Refiner",
    "apply_fixes",
    "class_at",
    "is_here",
    "load_refiner",
    "read_fixes",
    "refine",
]


class _Callable(ModuleType):
    """`cc.refine(...)`: the name of the package is the name of its one function, and Python binds it to the package."""

    __call__ = staticmethod(refine)


sys.modules[__name__].__class__ = _Callable
