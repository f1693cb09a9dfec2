"""Shared fixtures of the page's tests."""

from __future__ import annotations

import pytest
from PIL import Image

from demo.service import Service
from demo.settings import Settings


class Click:
    """Stand-in for the event that Gradio passes to a select listener."""

    def __init__(self, index):
        self.index = index


@pytest.fixture(scope="module")
def service():
    """Service with the embedded model, one for each test file."""
    return Service(Settings(model="nano", device="cpu"))


@pytest.fixture
def photo(tmp_path, picture):
    """Path of a file with the small picture of `tests/conftest.py`."""
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    return str(path)
