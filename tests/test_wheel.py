"""Wheel: it is built and unpacked, and its command line runs from there with the bundled models."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLED = ("nano", "sam-nano", "examples")
WORDS = ["--vocabulary", "dog; grass"]

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
RUN = """
import json, os, sys
import cliptrase_core
print("FROM", os.path.dirname(cliptrase_core.__file__))
from cliptrase_core.cli import main
for line in json.loads(sys.argv[1]):
    print("CODE", main(line))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Folder with the content of the wheel, built from a copy of the sources, since building leaves files behind."""
    place = tmp_path_factory.mktemp("wheel")
    source, built, unpacked = place / "source", place / "built", place / "site"
    source.mkdir()
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "app.py"):
        shutil.copy2(ROOT / name, source)
    for name in ("cliptrase_core", "demo", "assets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, "-c", BUILD, built], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        archive.extractall(unpacked)
    return unpacked


def files(folder: Path, pattern: str = "*") -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


def test_the_wheel_holds_the_whole_package_and_nothing_of_the_page(wheel):
    assert files(ROOT / "cliptrase_core") <= files(wheel / "cliptrase_core"), "a new folder belongs into pyproject.toml"
    assert {path.name for path in wheel.iterdir() if path.suffix != ".dist-info"} == {"cliptrase_core"}
    entries = configparser.ConfigParser()
    entries.read(next(wheel.glob("*.dist-info")) / "entry_points.txt")
    assert dict(entries["console_scripts"]) == {"cliptrase": "cliptrase_core.cli:main"}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_and_pictures_are_in_the_wheel_and_their_scripts_are_not(wheel, name):
    here = {path.name for path in (ROOT / "assets" / name).iterdir() if path.is_file() and path.suffix != ".py"}
    assert files(wheel / "cliptrase_core" / "assets" / name) == here
    assert not files(wheel / "cliptrase_core" / "assets", "*.py")


def run(wheel: Path, folder: Path, *lines: list[str]) -> tuple[str, str]:
    """Run commands in one process that has the wheel first in its path; return its output and errors."""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(lines)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"FROM {wheel / 'cliptrase_core'}" in done.stdout
    return done.stdout, done.stderr


def test_the_command_line_works_from_another_folder(wheel, tmp_path):
    picture = wheel / "cliptrase_core" / "assets" / "examples" / "shepherd.jpg"
    out, _ = run(
        wheel,
        tmp_path,
        ["segment", str(picture), *WORDS, "--refine", "sam-nano+edges", "--output", "out"],
        ["evaluate", "--setting", "examples", "--limit", "1", "--templates", "simple7", "--output", "report.json"],
        ["doctor"],
    )
    assert out.count("CODE 0") == 3
    assert json.loads((tmp_path / "out" / "shepherd.json").read_text())["picture"] == "shepherd.jpg"
    assert json.loads((tmp_path / "report.json").read_text())["pictures"]["scored"] == 1
    assert "  nano: included\n" in out
    assert "  SAM sam-nano: included\n" in out
    assert "page would start with: nothing: the page is not installed" in out
