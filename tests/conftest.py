"""Fixtures for all tests: tiny seeded models, a picture, a running server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import pytest
import torch
from hypothesis import settings
from open_clip.model import CLIP
from torch import nn

from cliptrase_core import Segmenter
from tests.server import Server, serving

settings.register_profile("calm", deadline=None)  # a busy machine is slow
settings.load_profile("calm")

DATA = Path(__file__).parent / "data"


def tiny_clip(
    *, quick_gelu: bool = True, dtype: torch.dtype = torch.float32, seed: int = 0, **vision: object
) -> nn.Module:
    """Return an open_clip CLIP that is small enough for loops in Python: 3 blocks, 2 heads, 4x4 patches of 8 pixels."""
    torch.manual_seed(seed)
    vision_cfg = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32, **vision}
    text_cfg = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    model = CLIP(16, vision_cfg, text_cfg, quick_gelu=quick_gelu).eval()
    for name, value in model.named_parameters():
        # With the small initial weights all attention is nearly uniform, and tests of it could not fail.
        if value.ndim >= 2 and "embedding" not in name:
            nn.init.normal_(value, std=0.35)
    for block in model.visual.transformer.resblocks:
        nn.init.normal_(block.attn.in_proj_bias, std=0.2)
    return model.requires_grad_(False).to(dtype)  # last, so that every type has the same weights


@pytest.fixture(scope="session")
def model() -> nn.Module:
    return tiny_clip()


@pytest.fixture(scope="session")
def segmenter(model: nn.Module) -> Segmenter:
    return Segmenter.from_open_clip(model)


@pytest.fixture(scope="session")
def nano() -> Segmenter:
    return Segmenter.from_pretrained("nano", device="cpu")


@pytest.fixture
def picture() -> np.ndarray:
    """A picture of 48 x 64 pixels: four quarters of different colours, with noise."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (48, 64, 3))
    image[:24, :32, 0] += 150
    image[24:, 32:, 1] += 150
    image[:24, 32:, 2] += 150
    return image.astype(np.uint8)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app as its own process, running offline on the embedded model."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
