"""Comparison with the published code: features, affinity, clusters and labels, at 224 and 336.

The expected values are from the published script on the CPU, with a tiny ViT and five pictures (tests/data/golden).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file

from cliptrase_core import Segmenter
from tests.conftest import DATA

GOLDEN = DATA / "golden"
CASES = [(size, index) for size in (224, 336) for index in range(5)]
WITH_AFFINITY = [*((224, index) for index in range(5)), (336, 0)]


@pytest.fixture(scope="module")
def expected():
    return np.load(GOLDEN / "expected.npz")


@pytest.fixture(scope="module")
def published():
    """Tiny ViT of the golden values, and its eight text features."""
    weights = {name: value.float() for name, value in load_file(GOLDEN / "tiny_vit.safetensors").items()}
    text = weights.pop("text_features")
    vision = {"layers": 12, "width": 64, "head_width": 64, "patch_size": 16, "image_size": 224}
    tower = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    model = CLIP(32, vision, tower, quick_gelu=True)
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    assert not unknown
    return Segmenter.from_open_clip(model.eval()), text


@pytest.mark.parametrize(("size", "index"), CASES)
def test_features_equal_the_published_ones(published, expected, size, index):
    segmenter, _ = published
    encoding = segmenter.encode(GOLDEN / f"image{index}.png", f"paper-{size}")
    features = torch.cat([encoding.cls[None], encoding.patches]).numpy()
    np.testing.assert_allclose(features, expected[f"{size}/{index}/features"], atol=1e-4)


@pytest.mark.parametrize(("size", "index"), WITH_AFFINITY)
def test_affinity_equals_the_published_one(published, expected, size, index):
    segmenter, _ = published
    affinity = segmenter.encode(GOLDEN / f"image{index}.png", f"paper-{size}").affinity.numpy()
    np.testing.assert_allclose(affinity, expected[f"{size}/{index}/affinity"], atol=2e-3)


@pytest.mark.parametrize(("size", "index"), CASES)
def test_clusters_equal_the_published_ones(published, expected, size, index):
    segmenter, text = published
    encoding = segmenter.encode(GOLDEN / f"image{index}.png", f"paper-{size}")
    result = segmenter.segment(encoding, text_features=text, class_names=[f"class {i}" for i in range(8)])
    theirs = expected[f"{size}/{index}/dbscan"]
    pairs = set(zip(result.patch_clusters.tolist(), theirs.tolist(), strict=True))
    assert len(pairs) == len(set(theirs.tolist())) == len({ours for ours, _ in pairs})
    assert all((ours == -1) == (other == -1) for ours, other in pairs)


@pytest.mark.parametrize("words", ["plain", "background"])
@pytest.mark.parametrize(("size", "index"), CASES)
def test_labels_equal_the_published_ones_on_every_pixel(published, expected, size, index, words):
    segmenter, text = published
    encoding = segmenter.encode(GOLDEN / f"image{index}.png", f"paper-{size}")
    names = [f"class {i}" for i in range(8 if words == "plain" else 6)]
    result = segmenter.segment(encoding, text_features=text, class_names=names)
    assert result.labels.shape == (size, size)
    assert result.class_names == (*names, "background")[: len(names) + (words == "background")]
    np.testing.assert_array_equal(result.labels, expected[f"{size}/{words}/{index}/labels"])
