"""The one door to the core: `core.viz` is `cliptrase_core.viz` with all its modules, imported when first asked for.

The core, and torch with it, takes seconds to import, so the page is drawn before it is there. Python lets two threads
that import parts of one package at once see each other's half-made modules, and an import that failed so is not tried
again by itself. Here one thread imports at a time, the whole package first; all others wait. Imports no Gradio.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from types import ModuleType

PACKAGE = "cliptrase_core"
OTHERS = {"torch": "torch", "zerogpu_model": "demo.zerogpu_model"}
"""What else must not be imported by two threads at once: it is large, or imports the core at its top."""

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
        module = importlib.import_module(OTHERS.get(name, f"{PACKAGE}.{name}"))
        if name not in OTHERS:
            for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
                importlib.import_module(found.name)
    globals()[name] = module  # the next time without the lock, which a forked worker might find taken
    return module
