"""Boundary refinement: a coarse result and its picture in, the same classes with better boundaries out.

`none` changes nothing. `edges` follows the edges of the picture and needs no weights. The others use SAM (A. Kirillov
et al., Segment Anything, ICCV 2023), with prompts for every component of the coarse result, or for all masks of the
picture. `sam-nano+edges` runs both, one after the other. `apply_fixes` applies clicks, boxes and strokes of a person.
"""

import inspect
import sys
from types import ModuleType

from cliptrase_core.names import FREE, MODES, NONE, REFINERS, SAMS
from cliptrase_core.refine.fixes import Fix, apply_fixes, class_at, read_fixes
from cliptrase_core.refine.refiners import is_available, load_refiner, refine
from cliptrase_core.refine.report import Refiner
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
    "is_available",
    "load_refiner",
    "read_fixes",
    "refine",
]


class _Callable(ModuleType):
    """Callable package, for `cc.refine(...)`: package and function share a name, which Python binds to the package."""

    __call__ = staticmethod(refine)


sys.modules[__name__].__class__ = _Callable
__signature__ = inspect.signature(refine)  # inspect would take `result` for the package itself
