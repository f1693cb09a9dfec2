"""Boundary refinement: a coarse result and its picture in, the same classes with better boundaries out.

`none` changes nothing. `edges` follows the edges of the picture and needs no weights. The others use SAM (A. Kirillov
et al., Segment Anything, ICCV 2023), with prompts for every component of the coarse result, or for all masks of the
picture. `sam-nano+edges` runs both, one after the other. `apply_fixes` applies clicks, boxes and strokes of a person.
"""

import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cliptrase_core.names import FREE, MODES, NONE, REFINERS, SAMS
from cliptrase_core.refine.base import Refiner
from cliptrase_core.refine.fixes import Fix, apply_fixes, class_at, read_fixes
from cliptrase_core.refine.refiners import is_available, load_refiner, refine
from cliptrase_core.reports import ComponentReport, RefineReport
from cliptrase_core.results import Refined

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


if TYPE_CHECKING:
    _Module = object  # to a checker, a module has any attribute
else:
    _Module = ModuleType


class _Callable(_Module):
    """Callable package, for `cc.refine(...)`: package and function share a name, which Python binds to the package."""

    __call__ = staticmethod(refine)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to import it: a module is not pickled, but an executor of processes gets `refine` that way."""
        return importlib.import_module, (__name__,)

    if TYPE_CHECKING:  # a checker takes the package for an object of this class; a test compares with `__all__`
        FREE, MODES, NONE, REFINERS, SAMS = FREE, MODES, NONE, REFINERS, SAMS
        ComponentReport, Fix, RefineReport = ComponentReport, Fix, RefineReport
        Refined, Refiner = Refined, Refiner
        apply_fixes, class_at = staticmethod(apply_fixes), staticmethod(class_at)
        is_available, load_refiner = staticmethod(is_available), staticmethod(load_refiner)
        read_fixes, refine = staticmethod(read_fixes), staticmethod(refine)


_own: Any = sys.modules[__name__]
_own.__class__ = _Callable
callable_package: _Callable = _own
__signature__ = inspect.signature(refine)  # inspect would take `result` for the package itself
