"""The one door to the core: `core.viz` is `cliptrase_core.viz` with all its modules, imported when first asked for.

The core, and torch with it, takes seconds to import, so the page is drawn before it is there. Python lets two threads
that import parts of one package at once see each other's half-made modules, and an import that failed so is not tried
again by itself. Here one thread imports at a time, the whole package first; all others wait. Imports no Gradio.

open_clip brings two libraries along that take as long to import as torch itself, and that the page never runs: timm,
whose image towers are refused, and torch's compiler, which torchvision asks one question. They are left out while
open_clip is imported; whoever wants them afterwards gets them.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any

PACKAGE = "cliptrase_core"
OTHERS = {"torch": "torch", "zerogpu_model": "demo.zerogpu_model"}
"""What else must not be imported by two threads at once: it is large, or imports the core at its top."""
LIGHT = frozenset(["errors"])
"""Parts of the core that bring nothing large."""
COMPILER = "torch._dynamo.utils"

_lock = threading.RLock()  # re-entrant: demo.zerogpu_model is imported here and asks for more of the core itself


def __getattr__(name: str) -> ModuleType:
    """A package of the core with all its modules, a module, or one of `OTHERS`; waits while another thread imports.

    Raises:
        ModuleNotFoundError: there is none of this name.
    """
    if name.startswith("__"):  # what Python itself looks for in a module
        raise AttributeError(name)
    with _lock:
        importlib.import_module(PACKAGE)
        if name not in LIGHT:
            _import_open_clip()
        module = importlib.import_module(OTHERS.get(name, f"{PACKAGE}.{name}"))
        if name not in OTHERS:
            for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
                importlib.import_module(found.name)
    globals()[name] = module  # the next time without the lock, which a forked worker might find taken
    return module


class _Compiler(ModuleType):
    """Stands for torch's compiler until something of it is used, or asked for by whoever is not torchvision."""

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        """The one question, answered by the compiler itself."""
        answer: bool = _compiler().is_compile_supported(device)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself looks for in a module
            raise AttributeError(name)
        return getattr(_compiler(), name)


def _compiler() -> ModuleType:
    if isinstance(sys.modules.get(COMPILER), _Compiler):
        del sys.modules[COMPILER]
    return importlib.import_module(COMPILER)


def _import_open_clip() -> None:
    """Import open_clip without timm and without torch's compiler; what goes wrong shows when the core is imported."""
    if "open_clip" in sys.modules:
        return
    stand_ins = {"timm": None, COMPILER: _Compiler(COMPILER)}
    put = {name: stand_in for name, stand_in in stand_ins.items() if name not in sys.modules}
    sys.modules.update(put)  # type: ignore[arg-type]
    try:
        with suppress(ImportError):
            importlib.import_module("open_clip")
    finally:
        for name, stand_in in put.items():
            if name in sys.modules and sys.modules[name] is stand_in:
                del sys.modules[name]
