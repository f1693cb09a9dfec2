"""Put drawn objects on procedural ground: a picture, and the exact truth about every pixel of it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cliptrase_core.scenes.colour import recolour
from cliptrase_core.scenes.sprites import Sprites
from cliptrase_core.scenes.stuff import ABOVE, STUFF, Floats, Pixels

NOBODY = -1


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are made.

    Attributes:
        size: side of the square picture, pixels.
        most_objects: objects are 1 to this many.
        single: (smallest, largest) side of a lone object as a share of the picture; above 1 only a part is seen.
        several: the same where there are more.
        recolour: chance that an object gets other colours than it was drawn with.
        degrade: chance of each of blur, noise and JPEG.
    """

    size: int = 224
    most_objects: int = 5
    single: tuple[float, float] = (0.55, 1.0)
    several: tuple[float, float] = (0.28, 0.6)
    recolour: float = 0.0
    degrade: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A composed picture.

    Attributes:
        image: (H, W, 3) uint8.
        labels: (H, W) int16, object labels first, then the kinds of stuff in the order of `STUFF`.
        objects: (H, W) int16, number of the object in this scene, -1 on the ground.
    """

    image: Pixels
    labels: NDArray[np.int16]
    objects: NDArray[np.int16]


def compose(
    rng: np.random.Generator,
    sprites: Sprites,
    ground: Mapping[str, Sequence[Pixels]],
    settings: SceneSettings,
) -> Scene:
    """Compose one scene; the same generator state gives the same scene."""
    first_stuff = len(sprites.names)
    image, labels = _lay_ground(rng, ground, settings.size, first_stuff)
    objects = np.full_like(labels, NOBODY)
    count = int(rng.integers(1, settings.most_objects + 1))
    for number, (centre, side) in enumerate(_places(rng, count, settings)):
        index = sprites.draw(rng)
        cut_out = sprites.level(index, side)
        if rng.random() < settings.recolour:
            cut_out = recolour(rng, cut_out)
        shadow = rng.random() < 0.4
        _stick(rng, (image, labels, objects), cut_out, centre, side, (int(sprites.labels[index]), number), shadow)
    return Scene(_take_picture(rng, image, settings.degrade), labels, objects)


def _lay_ground(
    rng: np.random.Generator, ground: Mapping[str, Sequence[Pixels]], size: int, first_stuff: int
) -> tuple[Pixels, NDArray[np.int16]]:
    """One kind of stuff, or one above another."""
    kind = int(rng.integers(len(STUFF)))
    image = _patch_of(rng, ground[STUFF[kind]], size)
    labels = np.full((size, size), first_stuff + kind, np.int16)
    if rng.random() < 0.35:
        behind = ABOVE[int(rng.integers(len(ABOVE)))]
        horizon = int(rng.uniform(0.3, 0.7) * size)
        image[:horizon] = _patch_of(rng, ground[behind], size)[:horizon]
        labels[:horizon] = first_stuff + STUFF.index(behind)
    return image, labels


def _patch_of(rng: np.random.Generator, stock: Sequence[Pixels], size: int) -> Pixels:
    """(size, size, 3): a random square of a random painting, brought to size."""
    painting = stock[int(rng.integers(len(stock)))]
    whole = painting.shape[0]
    side = int(rng.uniform(0.7 * min(size, whole), min(2.5 * size, whole)))
    top, left = (int(v) for v in rng.integers(0, whole - side + 1, 2))
    square = Image.fromarray(painting[top : top + side, left : left + side])
    return np.array(square.resize((size, size), Image.Resampling.BILINEAR))


def _places(rng: np.random.Generator, count: int, settings: SceneSettings) -> list[tuple[tuple[float, float], float]]:
    """Centres (x, y) and sides in pixels; an object that finds no room after ten tries is left out."""
    size = settings.size
    if count == 1:
        side = size * rng.uniform(*settings.single)
        reach = abs(size - 0.8 * side) / 2
        return [((size / 2 + rng.uniform(-reach, reach), size / 2 + rng.uniform(-reach, reach)), side)]
    places: list[tuple[tuple[float, float], float]] = []
    overlap = rng.uniform(0.28, 0.5)  # 0.5: boxes may touch; less: they may hide part of each other
    for _ in range(count):
        side = size * rng.uniform(*settings.several)
        for _ in range(10):
            x, y = rng.uniform(0.4 * side, size - 0.4 * side, 2)
            if all(max(abs(x - u), abs(y - v)) > overlap * (side + other) for (u, v), other in places):
                places.append(((float(x), float(y)), side))
                break
    return places


def _stick(
    rng: np.random.Generator,
    canvas: tuple[Pixels, NDArray[np.int16], NDArray[np.int16]],
    cut_out: Pixels,
    centre: tuple[float, float],
    side: float,
    identity: tuple[int, int],
    shadow: bool,
) -> None:
    """Paint a turned, stretched, mirrored cut-out into picture, labels and object numbers, all in place."""
    image, labels, objects = canvas
    height, width = labels.shape
    inverse, reach = _placement(rng, cut_out.shape[0], side)
    left, top = max(0, math.floor(centre[0] - reach)), max(0, math.floor(centre[1] - reach))
    right, bottom = min(width, math.ceil(centre[0] + reach)), min(height, math.ceil(centre[1] + reach))
    if right <= left or bottom <= top:
        return
    a, b, c, d = inverse
    half = cut_out.shape[0] / 2
    x0, y0 = left - centre[0], top - centre[1]
    data = (a, b, a * x0 + b * y0 + half, c, d, c * x0 + d * y0 + half)
    # "RGBX" is four plain channels to Pillow: colours are multiplied by alpha already, it must not do it again.
    source = Image.frombuffer("RGBX", cut_out.shape[1::-1], np.ascontiguousarray(cut_out), "raw", "RGBX", 0, 1)
    drawn = np.asarray(
        source.transform((right - left, bottom - top), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    )
    alpha = drawn[..., 3:].astype(np.uint16)
    box = np.s_[top:bottom, left:right]
    under = _shaded(rng, image[box], drawn[..., 3], side) if shadow else image[box]
    image[box] = np.minimum(under * (255 - alpha) // 255 + drawn[..., :3], 255)
    solid = alpha[..., 0] > 127
    labels[box][solid], objects[box][solid] = identity


def _placement(rng: np.random.Generator, stored: int, side: float) -> tuple[tuple[float, float, float, float], float]:
    """A random turn, stretch and mirroring: the inverse 2 x 2 matrix, and how far the object reaches in pixels."""
    angle = math.radians(rng.normal(0, 12))
    stretch = rng.uniform(0.8, 1.2) if rng.random() < 0.5 else 1.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = stored / side
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    inverse = (mirror * cos / stretch, mirror * sin / stretch, -sin, cos)
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle))) * max(stretch, 1.0)
    return inverse, reach


def _shaded(rng: np.random.Generator, under: Pixels, alpha: Pixels, side: float) -> Pixels:
    """The ground under an object, darkened by its blurred and shifted outline."""
    soft = Image.fromarray(alpha).filter(ImageFilter.BoxBlur(max(1.0, 0.04 * side)))
    dx, dy = (int(v) for v in rng.integers(0, max(2, int(0.1 * side)), 2))
    shift = np.zeros_like(alpha)
    shift[dy:, dx:] = np.asarray(soft)[: alpha.shape[0] - dy, : alpha.shape[1] - dx]
    light = 255 - shift.astype(np.uint16) * int(rng.integers(60, 150)) // 255
    return (under * light[..., None] // 255).astype(np.uint8)


def _take_picture(rng: np.random.Generator, image: Pixels, degrade: float) -> Pixels:
    """Light, and what a camera does: blur, noise, JPEG."""
    if degrade <= 0:
        return image
    height, width = image.shape[:2]
    ramp_x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.float32(rng.normal(0, 0.1))
    ramp_y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * np.float32(rng.normal(0, 0.1))
    tint = rng.normal(0, 8, 3).astype(np.float32)
    picture: Floats = image * (ramp_x + ramp_y + np.float32(rng.uniform(0.7, 1.25))) + tint
    if rng.random() < degrade:
        picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(2, 14))
    taken = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < degrade:
        softened = Image.fromarray(taken).filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 0.012 * width + 0.4))))
        taken = np.asarray(softened)
    if rng.random() < degrade / 2:
        buffer = io.BytesIO()
        Image.fromarray(taken).save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
        taken = np.asarray(Image.open(buffer))
    return taken
