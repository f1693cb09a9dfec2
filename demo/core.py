"""Only access to the core: `core.viz` is `cliptrase_core.viz` with all its modules, imported at the first access.

The import of the core, and of torch with it, takes seconds, so the page is drawn before. In Python, two threads that
import modules of one package at the same time can see each other's incomplete modules, and an import that failed for
this reason is not repeated. Here one thread imports at a time, the whole package first; all others wait. Imports no
Gradio.

open_clip imports two libraries that take as long to import as torch itself and that the page never uses: timm, whose
image towers are refused, and torch's compiler, of which torchvision calls one function. They are left out while
open_clip is imported, and can be imported as usual afterwards.
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
"""Further modules that two threads must not import at the same time: they are large, or import the core at the top."""
LIGHT = frozenset(["errors"])
"""Modules of the core that import nothing large."""
COMPILER = "torch._dynamo.utils"

_lock = threading.RLock()  # re-entrant: demo.zerogpu_model is imported here and imports further modules of the core


def __getattr__(name: str) -> ModuleType:
    """Import a package of the core with all its modules, a module, or one of `OTHERS`; waits while another thread does.

    Raises:
        ModuleNotFoundError: there is no module of this name.
    """
    if name.startswith("__"):  # looked up by Python itself
        raise AttributeError(name)
    with _lock:
        importlib.import_module(PACKAGE)
        if name not in LIGHT:
            _import_open_clip()
        module = importlib.import_module(OTHERS.get(name, f"{PACKAGE}.{name}"))
        if name not in OTHERS:
            for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
                importlib.import_module(found.name)
    globals()[name] = module  # later accesses need no lock, which may be held by another thread at a fork
    return module


class _Compiler(ModuleType):
    """Placeholder for torch's compiler while open_clip is imported; the first use imports the real module."""

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        """Call the same function of the real module; torchvision calls only this one."""
        answer: bool = _compiler().is_compile_supported(device)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # looked up by Python itself
            raise AttributeError(name)
        return getattr(_compiler(), name)


def _compiler() -> ModuleType:
    if isinstance(sys.modules.get(COMPILER), _Compiler):
        del sys.modules[COMPILER]
    return importlib.import_module(COMPILER)


def _import_open_clip() -> None:
    """Import open_clip without timm and torch's compiler; import errors are raised later, by the import of the core."""
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
