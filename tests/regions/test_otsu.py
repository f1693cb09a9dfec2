"""Otsu's threshold of two heaps of values, of equal ones and of one alone."""

from __future__ import annotations

import torch

from cliptrase_core.regions.otsu import otsu_threshold


def test_the_threshold_parts_two_heaps_and_takes_all_of_one():
    heaps = torch.cat([torch.full((30,), -3.0), torch.full((10,), 5.0)])
    assert -3 < otsu_threshold(heaps) < 5
    assert otsu_threshold(torch.full((9,), 2.0)) < 2
    assert otsu_threshold(torch.tensor([7.0])) < 7
    assert -3e6 < otsu_threshold(heaps * 1e6) < 5e6
