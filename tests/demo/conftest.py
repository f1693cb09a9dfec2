"""What the tests of the page share."""

from __future__ import annotations

import pytest
from PIL import Image

from demo.service import Service
from demo.settings import Settings


class Click:
    """What Gradio hands to a select listener."""

    def __init__(self, index):
        self.index = index


@pytest.fixture(scope="module")
def service():
    """On the embedded model, one for each file of tests."""
    return Service(Settings(model="nano", device="cpu"))


@pytest.fixture
def photo(tmp_path, picture):
    """Path of the small picture that all tests share."""
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    return str(path)
