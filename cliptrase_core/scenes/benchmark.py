"""The scene benchmark: scenes in a drawing style that no embedded model was trained on, and what is measured on them.

Everything is fixed by a seed, so scenes are composed when they are needed; only the cut-outs are kept in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptrase_core.files import asset
from cliptrase_core.scenes.compose import Scene, SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites, read_pack
from cliptrase_core.scenes.stuff import STUFF, Pixels, ground

PACK = asset("sprites", "openmoji.npz")
SEED = 2407_08268  # a fixed number that training never uses
GROUND = (8, 288)  # paintings of every kind of ground, and their side in pixels
SETTINGS = SceneSettings(size=224, most_objects=5, single=(0.4, 0.95), several=(0.25, 0.55))

Labels = NDArray[np.int16]
Segment = Callable[[Pixels, Sequence[str]], NDArray[np.integer]]
"""A picture and words -> (H, W), index of a word for every pixel."""


@dataclass(frozen=True)
class Figures:
    """Means over scenes, in percent.

    Attributes:
        miou: mean IoU of the classes that are present.
        accuracy: share of pixels that are right.
        boundary_f: harmonic mean of how many drawn boundary pixels are true ones and the other way round.
        miou_error: standard error of `miou`.
        scenes: how many.
    """

    miou: float
    accuracy: float
    boundary_f: float
    miou_error: float
    scenes: int


def compose_scenes(
    count: int, sprites: Sprites | None = None, seed: int = SEED, settings: SceneSettings = SETTINGS
) -> list[Scene]:
    """The first `count` scenes of the benchmark; other cut-outs give the same layouts in another style."""
    draw = scene_drawer(sprites, seed, settings)
    return [draw(index) for index in range(count)]


def scene_drawer(
    sprites: Sprites | None = None, seed: int = SEED, settings: SceneSettings = SETTINGS
) -> Callable[[int], Scene]:
    """What composes the scene of an index, in any order and in any thread; arguments as for `compose_scenes`."""
    sprites = read_pack(PACK) if sprites is None else sprites
    stock = ground(np.random.default_rng(seed), *GROUND)
    # A generator for each scene: how many are asked for does not change any of them.
    return lambda index: compose(np.random.default_rng([seed, index]), sprites, stock, settings)


def scene_words(scene: Scene, names: Sequence[str], count: int | None, seed: int = SEED) -> list[int]:
    """The vocabulary for a scene: what is in it and others at random.

    Args:
        scene: from `compose_scenes`.
        names: every class name, objects then stuff.
        count: words in all; None takes every class.
        seed: of the choice.

    Returns:
        Indices into `names`, ascending, so that their order tells nothing.
    """
    if count is None:
        return list(range(len(names)))
    present = np.unique(scene.labels)
    absent = np.setdiff1d(np.arange(len(names)), present)
    rng = np.random.default_rng([seed, *(int(label) for label in present)])
    return sorted(int(index) for index in (*present, *rng.choice(absent, max(0, count - len(present)), replace=False)))


def measure(
    segment: Segment, scenes: Sequence[Scene], names: Sequence[str], words: int | None = 20, tolerance: int = 2
) -> Figures:
    """Score a way to segment.

    Args:
        segment: what is measured.
        scenes: from `compose_scenes`.
        names: every class name, objects then stuff.
        words: size of each scene's vocabulary; None asks for every class at once.
        tolerance: pixels that a boundary may be off.
    """
    rows = []
    for scene in scenes:
        asked = scene_words(scene, names, words)
        answer = np.asarray(asked)[segment(scene.image, [names[index] for index in asked])]
        rows.append(
            (
                scene_iou(scene.labels, answer),
                (scene.labels == answer).mean(),
                boundary_f(scene.labels, answer, tolerance),
            )
        )
    table = 100 * np.array(rows)
    miou, accuracy, boundary = (float(value) for value in table.mean(0))
    error = float(table[:, 0].std(ddof=1) / np.sqrt(len(table))) if len(table) > 1 else 0.0
    return Figures(miou, accuracy, boundary, error, len(table))


def scene_iou(truth: NDArray[np.integer], answer: NDArray[np.integer]) -> float:
    """Mean IoU of the classes that are present in the truth, (H, W) each."""
    present = np.unique(truth)
    return float(
        np.mean([((truth == c) & (answer == c)).sum() / ((truth == c) | (answer == c)).sum() for c in present])
    )


def boundaries(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(H, W): pixels whose right or lower neighbour is of another class."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """(H, W): everything within `by` pixels, diagonal steps counting as one."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if a == axis else (0, 0) for a in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=axis)
        mask = np.asarray(windows.any(-1))
    return mask


def boundary_f(truth: NDArray[np.integer], answer: NDArray[np.integer], tolerance: int = 2) -> float:
    """F-score of boundaries, 1 where neither map has any."""
    wanted, drawn = boundaries(truth), boundaries(answer)
    if not wanted.any() and not drawn.any():
        return 1.0
    precision = (drawn & grown(wanted, tolerance)).sum() / max(1, drawn.sum())
    recall = (wanted & grown(drawn, tolerance)).sum() / max(1, wanted.sum())
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def class_names(sprites: Sprites) -> tuple[str, ...]:
    """Every class of scenes made of these cut-outs: objects, then stuff."""
    return (*sprites.names, *STUFF)
