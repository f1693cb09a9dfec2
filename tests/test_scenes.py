"""Composed scenes: kinds of ground, exact truth, repeatable from a seed, sprites; the benchmark's scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cliptrase_core.scenes import benchmark
from cliptrase_core.scenes.colour import hue_matrix, recolour
from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites, build, halve, premultiply
from cliptrase_core.scenes.stuff import ABOVE, PAINTERS, STUFF, ground, paint


def shapes() -> Sprites:
    """A red square and a green disc, 128 pixels."""
    y, x = np.mgrid[:128, :128]
    square = (abs(y - 64) < 56) & (abs(x - 64) < 56)
    disc = (y - 64) ** 2 + (x - 64) ** 2 < 56**2
    pixels = np.zeros((2, 128, 128, 4), np.uint8)
    pixels[0][square] = (250, 10, 10, 255)
    pixels[1][disc] = (10, 250, 10, 255)
    return build(premultiply(pixels), np.array([0, 1], np.int16), ("square", "disc"))


@pytest.fixture(scope="module")
def stock():
    return ground(np.random.default_rng(0), 2, 128)


def test_every_kind_of_ground_has_a_painter_and_paints():
    assert tuple(PAINTERS) == STUFF
    assert set(ABOVE) <= set(STUFF)
    for kind in STUFF:
        painted = paint(np.random.default_rng(0), kind, 64)
        assert painted.shape == (64, 64, 3)
        assert painted.dtype == np.uint8


def test_the_truth_of_a_plain_scene_is_where_its_colours_are(stock):
    black = {kind: [np.zeros_like(paintings[0])] for kind, paintings in stock.items()}
    settings = SceneSettings(size=96, most_objects=3)
    for seed in range(20):
        scene = compose(np.random.default_rng(seed), shapes(), black, settings)
        red, green = scene.image[..., 0].astype(int), scene.image[..., 1].astype(int)  # shadows darken, hue stays
        assert (red > green)[scene.labels == 0].all()
        assert (green > red)[scene.labels == 1].all()
        assert (scene.image.max(-1) < 130)[scene.labels >= 2].mean() > 0.99
        assert ((scene.objects >= 0) == (scene.labels < 2)).all()


def test_the_same_seed_gives_the_same_scene_and_another_gives_another(stock):
    settings = SceneSettings(size=64, recolour=0.5, degrade=0.5)
    first, again, other = (compose(np.random.default_rng(seed), shapes(), stock, settings) for seed in (1, 1, 2))
    assert (first.image == again.image).all()
    assert (first.labels == again.labels).all()
    assert not (first.image == other.image).all()


def test_asking_for_more_scenes_changes_none_of_the_first():
    sprites = shapes()
    few, many = (benchmark.compose_scenes(count, sprites) for count in (2, 3))
    assert all((a.image == b.image).all() for a, b in zip(few, many, strict=False))


def test_other_colours_leave_the_shape_and_never_outshine_alpha():
    cut_out = shapes().levels[1][1]
    for seed in range(30):
        changed = recolour(np.random.default_rng(seed), cut_out)
        assert (changed[..., 3] == cut_out[..., 3]).all()
        assert (changed[..., :3] <= changed[..., 3:]).all()


def test_turning_hue_keeps_greys_and_comes_back_after_a_full_turn():
    np.testing.assert_allclose(hue_matrix(1.0) @ np.ones(3), np.ones(3), atol=1e-6)
    np.testing.assert_allclose(hue_matrix(2 * np.pi), np.eye(3), atol=1e-6)


def test_a_half_size_sprite_is_the_mean_of_two_by_two():
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 2, 2, 4) * 4
    np.testing.assert_array_equal(halve(pixels)[0, 0, 0], pixels[0].reshape(4, 4).mean(0).astype(np.uint8))


# --- scores ---

TRUTH = np.array([[0, 0, 1, 1]] * 4)


@pytest.mark.parametrize(
    ("answer", "iou"),
    [
        (TRUTH, 1.0),
        (np.zeros((4, 4), int), (0.5 + 0) / 2),
        (np.array([[0, 0, 0, 1]] * 4), (2 / 3 + 1 / 2) / 2),
        (np.full((4, 4), 9), 0.0),
    ],
)
def test_scene_iou_by_hand(answer, iou):
    assert benchmark.scene_iou(TRUTH, answer) == pytest.approx(iou)


def test_boundary_f_forgives_what_the_tolerance_says():
    shifted = np.roll(np.repeat([[0] * 8 + [1] * 8], 16, axis=0), 3, axis=1)
    shifted[:, :3] = 0
    straight = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
    assert benchmark.boundary_f(straight, straight, 0) == pytest.approx(1)
    assert benchmark.boundary_f(straight, shifted, 3) == pytest.approx(1)
    assert benchmark.boundary_f(straight, shifted, 2) == 0
    assert benchmark.boundary_f(np.zeros((4, 4), int), np.zeros((4, 4), int)) == 1


def test_a_scene_is_asked_for_its_own_words_among_others():
    scene = benchmark.compose_scenes(1, shapes())[0]
    names = benchmark.class_names(shapes())
    asked = benchmark.scene_words(scene, names, 10)
    assert set(np.unique(scene.labels)) <= set(asked)
    assert asked == sorted(set(asked))
    assert len(asked) == 10
    assert benchmark.scene_words(scene, names, None) == list(range(len(names)))


def test_a_perfect_way_to_segment_scores_a_hundred():
    scenes = benchmark.compose_scenes(3, shapes())
    names = benchmark.class_names(shapes())
    answers = {scene.image.tobytes(): scene.labels for scene in scenes}

    def segment(image, words):
        return np.vectorize([names.index(word) for word in words].index)(answers[image.tobytes()])

    figures = benchmark.measure(segment, scenes, names, 8)
    assert (figures.miou, figures.accuracy, figures.boundary_f) == (100, 100, 100)


def test_the_pack_of_the_held_out_style_is_whole_and_small():
    pack = benchmark.read_pack(benchmark.PACK)
    assert len(pack.names) == 284
    assert len(pack.by_label) > 270
    assert benchmark.PACK.stat().st_size < 5_000_000
