"""Heat colours equal matplotlib's viridis exactly; colours of differences are pale in the middle."""

import matplotlib
import numpy as np
import pytest

from cliptrase_core.viz import heatmap
from cliptrase_core.viz.heatmap import HEAT_STOPS, HEAT_TABLE, heat_colours, over_picture, signed_colours

VIRIDIS = matplotlib.colormaps["viridis"]


def levels(colours):
    return np.rint(255 * colours[..., :3]).astype(np.uint8)


def test_the_table_is_viridis():
    np.testing.assert_array_equal(HEAT_TABLE, levels(VIRIDIS(np.arange(256))))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.25, 4.0), (1e-9, 2e-9)])
def test_values_get_the_colours_that_matplotlib_gives_them(low, high):
    values = np.random.default_rng(0).uniform(low - 0.2 * (high - low), high + 0.2 * (high - low), (20, 30))
    values[0, :2] = low, high
    expected = levels(VIRIDIS(((values - low) / (high - low)).clip(0, 1)))
    np.testing.assert_array_equal(heat_colours(values, low, high), expected)


def test_a_flat_map_is_dark():
    assert (heat_colours(np.full((2, 2), 3.0), 3.0, 3.0) == HEAT_TABLE[0]).all()


def test_what_css_mixes_between_the_stops_is_viridis():
    stops = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in HEAT_STOPS], float)
    places = np.linspace(0, len(stops) - 1, 256)
    mixed = np.stack([np.interp(places, range(len(stops)), channel) for channel in stops.T], axis=1)
    assert np.abs(mixed - HEAT_TABLE).max() <= 1


def test_no_change_is_pale_and_both_ways_are_told_apart():
    less, none, more = signed_colours(np.array([[-3.0, 0.0, 3.0]]), 2.0)[0].astype(int)
    assert none.tolist() == [247, 247, 247]
    assert less.tolist() == [33, 102, 172]
    assert more.tolist() == [179, 88, 6]
    assert len(heatmap.SIGNED_TABLE) % 2 == 1


def test_a_map_over_a_picture_lets_it_show_through_in_grey():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:, 0] = 255
    out = over_picture(picture, np.full((2, 3, 3), 100, np.uint8))
    assert (out[:, :30] == 75).all()
    assert (out[:, 30:] == round(0.75 * 100 + 0.25 * 76)).all()
