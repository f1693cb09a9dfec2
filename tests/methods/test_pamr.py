"""PAMR: smoothing along colours compared with loops, in parts, and on a picture of one colour."""

from __future__ import annotations

import numpy as np
import torch

from cliptrase_core.methods import pamr
from tests import method_reference


def test_smoothing_along_colours_equals_loops_and_may_take_words_in_parts(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    colours = torch.randint(0, 256, (3, 20, 12), generator=generator).to(torch.uint8)
    logits = torch.randn(5, 5, 3, generator=generator)
    maps = np.stack([method_reference.bilinear(one, (20, 12)) for one in logits.double().numpy()])
    expected = method_reference.pamr(maps, colours.double().numpy())
    winners, probabilities = pamr.smoothed_winners(logits, colours)
    np.testing.assert_array_equal(winners.numpy(), expected.argmax(0))
    shares = np.exp(expected) / np.exp(expected).sum(0)
    np.testing.assert_allclose(probabilities.numpy(), shares.max(0), atol=1e-6)
    monkeypatch.setattr(pamr, "VALUES_AT_ONCE", 2 * 20 * 12)
    again, same = pamr.smoothed_winners(logits, colours)
    assert torch.equal(again, winners)
    torch.testing.assert_close(same, probabilities)


def test_a_grey_picture_has_neighbours_that_count_alike():
    places, shares = pamr.colour_neighbours(torch.full((3, 4, 5), 128, dtype=torch.uint8))
    assert places.shape == (20, 16)
    torch.testing.assert_close(shares, torch.full((20, 16), 1 / 16))
