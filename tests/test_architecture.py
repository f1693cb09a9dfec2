"""Architecture rules: allowed imports, size of files and functions, and imports without side effects."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from cliptrase_core import names
from cliptrase_core.evaluation.readers.registry import READERS
from cliptrase_core.models.precision import PRECISIONS
from cliptrase_core.refine.sam_checkpoints import PUBLISHED

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "cliptrase_core").rglob("*.py"))
DEMO = sorted((ROOT / "demo").rglob("*.py"))
SOURCES = [*CORE, *DEMO, ROOT / "app.py"]

MOST_FILE_LINES = 450
MOST_TAB_LINES = 540  # a tab is one file with its texts, handlers and components
MOST_FUNCTION_LINES = 60  # without docstrings

# Layers of the core, lowest first. A module imports only from its own package and from lower layers.
FLOORS: tuple[set[str], ...] = (
    {"errors", "version", "maps", "names", "reports"},
    {"cancel"},
    {"io", "cache"},
    {"presets", "methods.registry"},
    {"options", "canvas"},
    {"results"},
    {"models"},
    {"methods", "regions", "text"},
    {"inspection", "refine"},
    {"viz"},
    {"io.export"},
    {"segmenter"},
    {"evaluation"},
    {"cli"},
    {"__main__"},
)

ONLY_IN = {
    "open_clip": {"models", "text"},
    "sklearn": set(),  # in tests only: it takes more than a second to import
    "segment_anything": {"refine"},
    "huggingface_hub": {"models"},
    "cv2": {"canvas", "viz", "io", "refine", "regions", "evaluation"},
    "matplotlib": {"viz"},
    "gradio": set(),
    "demo": set(),
}
# Layers of the page, lowest first, with the same rule; `core` is the only entry point to the library.
PAGE_FLOORS: tuple[set[str], ...] = (
    {
        "settings",
        "addresses",
        "static",
        "ending",
        "jobs",
        "installable",
        "core",
        "file_kinds",
        "json_text",
        "quick",
        "html",
    },
    {"errors", "theme", "zerogpu", "cancelling", "connections", "visitors"},
    {"examples", "environment", "zerogpu_model", "drawing", "model_facts"},
    {"models"},
    {"service"},
    {"answers", "handling", "compare_html", "about_words"},
    {"tabs"},
    {"changing", "opening"},
    {"api", "guard", "security", "reopen"},
    {"review"},
    {"page"},
)
WITH_GRADIO = {
    *("handling", "tabs", "api", "guard", "visitors", "changing", "opening", "reopen", "review", "theme", "page"),
}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Return all modules that a file imports, at any depth of its code."""
    return imported(ast.walk(tree_of(path)))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def documented(node: ast.AST) -> int:
    """Return the number of lines of a node's docstring."""
    if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return 0
    return len((ast.get_docstring(node, clean=False) or "").splitlines())


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def room(path: Path) -> str:
    """Return the name of the folder or file directly below `demo`."""
    return path.relative_to(ROOT / "demo").parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package(module: str) -> str:
    """Return the entry of `FLOORS` for a module of the core: "cliptrase_core.io.export.coco" -> "io.export"."""
    parts = module.split(".")[1:]
    known = {entry for floor in FLOORS for entry in floor}
    return next((own for end in (2, 1) if (own := ".".join(parts[:end])) in known), parts[0] if parts else "")


def page_floor(own: str) -> int:
    return next(level for level, rooms in enumerate(PAGE_FLOORS) if own in rooms)


def floor(own: str) -> int:
    return next(level for level, entries in enumerate(FLOORS) if own in entries)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_module_of_the_core_has_its_floor():
    assert {package(module_of(path)) for path in CORE} - {""} == {entry for floor in FLOORS for entry in floor}


UP_AT_RUN_TIME = {"results": {"viz", "io.export"}}
"""Exceptions: higher packages that a module may import inside its functions."""


@cache
def imports_at_once(path: Path) -> set[str]:
    """Return the modules that a file imports when it is imported itself, not inside functions or for types."""
    within = {
        part
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_for_types(node)
        for part in ast.walk(node)
    }
    outer = [node for node in ast.walk(tree_of(path)) if node not in within]
    return imported(outer)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("path", [p for p in CORE if module_of(p) != "cliptrase_core"], ids=name)
def test_the_core_s_arrows_point_down(path):
    own = package(module_of(path))
    late = {m for m in imports(path) - imports_at_once(path) if package(m) in UP_AT_RUN_TIME.get(own, ())}
    for module in imports(path) - late:
        if module.startswith("cliptrase_core.") and (other := package(module)) in {e for f in FLOORS for e in f}:
            assert other == own or floor(other) < floor(own), f"{own} imports {module}"


def test_only_figures_need_matplotlib():
    assert [name(path) for path in CORE if "matplotlib" in packages(path)] == ["cliptrase_core/viz/figure.py"]


@pytest.mark.parametrize("path", CORE, ids=name)
def test_outside_libraries_stay_in_their_packages(path):
    own = package(module_of(path)).split(".")[0]
    for library, rooms in ONLY_IN.items():
        assert library not in packages(path) or own in rooms


@pytest.mark.parametrize("path", DEMO, ids=name)
def test_the_page_s_arrows_point_down(path):
    own = room(path)
    if own == "__init__":
        return
    for module in imports(path):
        if module.startswith("demo.") and (other := module.split(".")[1]) != own:
            assert page_floor(other) < page_floor(own), f"{own} imports {module}"


@pytest.mark.parametrize("path", [p for p in DEMO if room(p) == "tabs"], ids=name)
def test_tabs_do_not_import_each_other(path):
    met = {module.split(".")[2] for module in imports(path) if module.startswith("demo.tabs.")}
    assert met <= {"common", path.stem}


@pytest.mark.parametrize("path", [p for p in DEMO if room(p) not in WITH_GRADIO], ids=name)
def test_gradio_stays_above_the_service(path):
    assert "gradio" not in packages(path)


LIGHT = (
    *("cliptrase_core.options", "cliptrase_core.cancel", "cliptrase_core.cache", "cliptrase_core.names"),
    *("cliptrase_core.io.allocator", "cliptrase_core.io.export.formats"),
)
"""Modules of the core that the page may import directly, since they do not import torch."""
BEHIND_THE_DOOR = {"cliptrase_core", "torch", "open_clip", "segment_anything", "importlib"}
THE_DOOR, BROUGHT_BY_IT = "core", "zerogpu_model"


def runs(node: ast.AST) -> list[ast.AST]:
    """Return all descendants of a node, except the code under TYPE_CHECKING."""
    found = []
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            found += [child, *runs(child)]
    return found


@pytest.mark.parametrize("path", [p for p in [*DEMO, ROOT / "app.py"] if p.stem != THE_DOOR], ids=name)
def test_the_page_gets_the_core_through_its_one_door(path):
    """Check that the page imports the core through demo/core.py: its lock keeps threads from half-imported modules."""
    for node in runs(tree_of(path)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        modules = [module for module in modules if module != "cliptrase_core" and not module.startswith(LIGHT)]
        if path.stem != BROUGHT_BY_IT:
            assert not {module.split(".")[0] for module in modules} & BEHIND_THE_DOOR, ast.unparse(node)
        assert "demo.zerogpu_model" not in modules, "ask for core.zerogpu_model"


@pytest.mark.parametrize("path", [*DEMO, ROOT / "app.py"], ids=name)
def test_the_page_imports_nothing_while_it_answers(path):
    functions = [n for n in runs(tree_of(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    late = [ast.unparse(n) for f in functions for n in runs(f) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert not late, "import at the top, or through demo/core.py"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_fit_their_ceilings(path):
    text = path.read_text(encoding="utf-8")
    tree = tree_of(path)
    most = MOST_TAB_LINES if path.parent.name == "tabs" else MOST_FILE_LINES
    assert len(text.splitlines()) <= most
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - documented(node)
            assert lines <= MOST_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_input_is_never_checked_by_assert(path):
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(path)))


def test_importing_opens_no_connection_and_no_device_and_writes_nothing():
    guard = (
        "import socket, sys, builtins\n"
        "import torch, open_clip, sklearn.cluster, scipy, pycocotools.mask, huggingface_hub, tqdm\n"
        "import os; os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'\n"
        "import gradio\n"
        "def refuse(*a, **k): raise SystemExit('touched the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "original = builtins.open\n"
        "def watched(file, mode='r', *a, **k):\n"
        "    if any(letter in mode for letter in 'wax+'): raise SystemExit(f'wrote {file}')\n"
        "    return original(file, mode, *a, **k)\n"
        "builtins.open = watched\n"
        "import cliptrase_core, app\n"
        "raise SystemExit('started CUDA' if torch.cuda.is_initialized() else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", guard], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_of_the_command_line_are_those_of_the_tables():
    assert (*PRECISIONS, names.AUTO) == names.PRECISION_NAMES
    assert tuple(PUBLISHED) == names.PUBLISHED_SAMS
    assert tuple(READERS) == names.LAYOUTS


PICTURE = "assets/examples/kitten.jpg"
WRONG = {
    "following arguments are required": [],
    "file 'nothing.jpg'": ["--vocabulary", "cat; dog", "nothing.jpg"],
    "vocabulary": ["--vocabulary", ";", PICTURE],
    "format: expected one of png": ["--vocabulary", "cat; dog", "--formats", "gif", PICTURE],
    "--polygons: expected a format": ["--vocabulary", "cat; dog", "--polygons", PICTURE],
    "jobs: expected auto": ["--vocabulary", "cat; dog", "--jobs", "many", PICTURE],
    "output folder": ["--vocabulary", "cat; dog", PICTURE, "--output", "README.md"],
}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        *((["--help"], 0, ""), (["--version"], 0, "")),
        *(([command, "--help"], 0, "") for command in ("segment", "inspect", "evaluate")),
        *((["segment", "--output", "out", *arguments], 2, said) for said, arguments in WRONG.items()),
        (["inspect", "--row", "0", "--column", "0", "--output", "out", "nothing.jpg"], 2, "file 'nothing.jpg'"),
    ],
    ids=str,
)
def test_usage_and_its_errors_need_no_torch(arguments, code, said):
    program = (
        "import sys\n"
        "from cliptrase_core.cli import main\n"
        "code = 0\n"
        "try: code = main(sys.argv[1:])\n"
        "finally: print('large:', sorted({'torch', 'open_clip', 'scipy', 'huggingface_hub'} & set(sys.modules)))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stdout.endswith("large: []\n")


def test_saved_results_are_read_drawn_and_exported_without_torch(tmp_path):
    program = (
        "import sys\n"
        "import numpy as np\n"
        "import cliptrase_core as cc\n"
        "from tests.io.export.test_saving import IMAGE, make\n"
        "(files,) = cc.export({'a': make()}, sys.argv[1], 'png,overlay,npz,coco,yolo', images=IMAGE)\n"
        "assert cc.load_result(files.json).overlay(IMAGE).shape == IMAGE.shape\n"
        "print(sorted({'torch', 'open_clip', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
