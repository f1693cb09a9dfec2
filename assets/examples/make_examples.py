"""Draws the example pictures of this folder: icons of open sets on procedural stuff, as nano has learnt to see.

    npm install @iconify-json/noto @iconify-json/twemoji @iconify-json/fluent-emoji-flat @iconify-json/emojione
    pip install "resvg_py==0.5.0" numpy "pillow>=10"
    python assets/examples/make_examples.py node_modules/@iconify-json

Writes the PNG files and `examples.json` beside this script. `resvg_py` turns SVG into pixels and is needed only
here. Each scene carries its seed, so every run of the same versions draws the same pixels.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

Canvas = npt.NDArray[np.float32]
"""(H, W, 3) colours from 0 to 255, not yet clipped."""

MODEL_SIDE = 224
"""Short side that nano sees: grain, bricks and boards are sized in its pixels, whatever the picture's size."""

CREDITS = {
    "noto": "Noto Emoji, Google, Apache-2.0",
    "twemoji": "Twemoji, Twitter and other contributors, CC BY 4.0",
    "fluent-emoji-flat": "Fluent Emoji, Microsoft, MIT",
    "emojione": "EmojiOne 2, EmojiOne, CC BY 4.0",
}


@dataclass(frozen=True)
class Icon:
    """One drawing in a scene.

    Attributes:
        collection: icon set.
        name: of the icon in its set.
        x: centre, share of the width.
        y: centre, share of the height.
        size: side, share of the picture's short side.
        turn: degrees against the clock.
    """

    collection: str
    name: str
    x: float
    y: float
    size: float
    turn: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One picture and the words to try on it.

    Attributes:
        file: name of the PNG file.
        title: what a person is shown.
        words: vocabulary, in the grammar of `cliptrase_core.vocabulary`.
        size: (width, height) in pixels.
        seed: of the textures.
        stuff: one name, or two from top to bottom.
        icons: drawn in this order, later ones over earlier ones.
        horizon: share of the height where the second stuff begins.
    """

    file: str
    title: str
    words: str
    size: tuple[int, int]
    seed: int
    stuff: tuple[str, ...]
    icons: tuple[Icon, ...]
    horizon: float = 0.5


SCENES = (
    Scene(
        "farm.png",
        "On the farm",
        "tractor; tree; cow; pig; sky; grass",
        (640, 448),
        4,
        ("sky", "grass"),
        (
            Icon("fluent-emoji-flat", "tractor", 0.29, 0.56, 0.63, -8),
            Icon("noto", "deciduous-tree", 0.79, 0.34, 0.53),
        ),
        0.35,
    ),
    Scene(
        "dog.png",
        "A dog and its ball",
        "dog; soccer ball; fire truck; umbrella; sky; grass",
        (640, 480),
        329,
        ("sky", "grass"),
        (
            Icon("fluent-emoji-flat", "dog-face", 0.16, 0.61, 0.53, 8),
            Icon("twemoji", "soccer-ball", 0.74, 0.38, 0.47, 6),
        ),
        0.49,
    ),
    Scene(
        "beach.png",
        "Visitors on the beach",
        "turtle, tortoise; octopus; crab; palm tree; sky; sand",
        (608, 480),
        221,
        ("sky", "sand"),
        (
            Icon("fluent-emoji-flat", "turtle", 0.35, 0.57, 0.69, 1),
            Icon("twemoji", "octopus", 0.88, 0.51, 0.53, -12),
        ),
        0.48,
    ),
    Scene(
        "breakfast.png",
        "Coffee and cherries",
        "coffee, cup of coffee; cherries; croissant; cheese | background: wood",
        (480, 624),
        72,
        ("wood",),
        (
            Icon("emojione", "hot-beverage", 0.31, 0.31, 0.58, -8),
            Icon("emojione", "cherries", 0.72, 0.79, 0.44, 2),
        ),
    ),
    Scene(
        "fox.png",
        "A fox in the snow",
        "fox; hat; owl; deer; night sky; snow",
        (736, 448),
        217,
        ("night sky", "snow"),
        (
            Icon("twemoji", "fox", 0.22, 0.51, 0.55, 3),
            Icon("twemoji", "top-hat", 0.77, 0.54, 0.59, -9),
        ),
        0.53,
    ),
    Scene(
        "garden.png",
        "In the garden",
        "tulip; ladybug; bee; owl | background: grass, lawn",
        (480, 600),
        255,
        ("grass",),
        (
            Icon("fluent-emoji-flat", "tulip", 0.47, 0.3, 0.51, -19),
            Icon("fluent-emoji-flat", "lady-beetle", 0.7, 0.71, 0.48, -7),
        ),
    ),
)


def smooth(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Canvas:
    """Cloudy noise around 0.5, (H, W, 1): random cells, bicubic in between; `cells` along the short side."""
    width, height = size
    grid = (max(2, round(cells * width / min(size))), max(2, round(cells * height / min(size))))
    coarse = Image.fromarray(rng.random(grid[::-1], dtype=np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))[..., None]


def grain(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Fine noise around 0, (H, W, 1), with cells of one pixel of the model's."""
    return smooth(rng, size, MODEL_SIDE) - 0.5


def model_pixels(size: tuple[int, int]) -> tuple[Canvas, Canvas]:
    """Rows (H, 1) and columns (1, W) of a picture, counted in pixels of the model's."""
    scale = MODEL_SIDE / min(size)
    return (
        np.arange(size[1], dtype=np.float32)[:, None] * scale,
        np.arange(size[0], dtype=np.float32)[None] * scale,
    )


def sky(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Blue, paler towards the horizon, with soft clouds."""
    rows, _ = model_pixels(size)
    down = (1 - rows / rows.max())[..., None]
    return (135, 190, 235) - 25 * down + 170 * (smooth(rng, size, 5) - 0.52).clip(0, 1)


def grass(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Green with tufts."""
    return (90, 160, 60) + 80 * grain(rng, size) + 60 * (smooth(rng, size, 12) - 0.5)


def sand(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Pale, grainy, in soft heaps."""
    return (222, 197, 142) + 30 * grain(rng, size) + 30 * (smooth(rng, size, 6) - 0.5)


def water(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Blue, in waves that wander."""
    rows, _ = model_pixels(size)
    return (40, 112, 172) + 18 * np.sin(0.42 * rows[..., None] + 9 * smooth(rng, size, 6))


def snow(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Nearly white, with faint drifts."""
    return (238, 243, 249) + 20 * (smooth(rng, size, 5) - 0.5) + 8 * grain(rng, size)


def brick_wall(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Courses of bricks, every second one shifted by half a brick."""
    rows, columns = model_pixels(size)
    course, joint = 13, 1.8
    shifted = columns + course * (rows // course % 2)
    mortar = (rows % course < joint) | (shifted % (2 * course) < joint)
    bricks = (170, 82, 62) + 28 * grain(rng, size)
    return np.where(mortar[..., None], (200, 195, 190), bricks)


def wood(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Upright boards with a grain."""
    rows, columns = model_pixels(size)
    board = 26
    colour = (152, 107, 67) + 12 * np.sin(0.05 * rows[..., None] + 8 * smooth(rng, size, 4))
    return colour * np.where(columns % board < 1.8, 0.6, 1.0)[..., None]


def night_sky(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Dark blue with stars."""
    side = (round(size[1] * MODEL_SIDE / min(size)), round(size[0] * MODEL_SIDE / min(size)))
    stars = Image.fromarray((rng.random(side) > 0.994).astype(np.float32))
    shine = np.asarray(stars.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    return (15, 20, 50) * (1 - shine) + (250, 250, 230) * shine


def road(rng: np.random.Generator, size: tuple[int, int]) -> Canvas:
    """Grey asphalt."""
    return (95, 95, 100) + 36 * grain(rng, size)


STUFF: dict[str, Callable[[np.random.Generator, tuple[int, int]], Canvas]] = {
    "sky": sky,
    "grass": grass,
    "sand": sand,
    "water": water,
    "snow": snow,
    "brick wall": brick_wall,
    "wood": wood,
    "night sky": night_sky,
    "road": road,
}


@cache
def read_collection(folder: Path) -> dict[str, Any]:
    """Every icon of a set, as its package holds it."""
    record: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    return record


def draw_icon(packages: Path, icon: Icon, side: int) -> Image.Image:
    """Render one icon as a square RGBA picture of `side` pixels."""
    record = read_collection(packages / icon.collection)
    name = icon.name
    if name not in record["icons"]:
        name = record["aliases"][name]["parent"]
    shape = {"left": 0, "top": 0, "width": record.get("width", 16), "height": record.get("height", 16)}
    shape |= {key: value for key, value in record["icons"][name].items() if key in shape}
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="{shape["left"]} {shape["top"]} {shape["width"]} {shape["height"]}">'
        f"{record['icons'][name]['body']}</svg>"
    )
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")


def draw(packages: Path, scene: Scene) -> Image.Image:
    """Draw one scene."""
    rng = np.random.default_rng(scene.seed)
    layers = [STUFF[name](rng, scene.size) for name in scene.stuff]
    canvas = layers[0].copy()
    below = round(scene.horizon * scene.size[1])
    for layer in layers[1:]:
        canvas[below:] = layer[below:]
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    width, height = scene.size
    for icon in scene.icons:
        drawn = draw_icon(packages, icon, round(icon.size * min(scene.size)))
        drawn = drawn.rotate(icon.turn, Image.Resampling.BICUBIC, expand=True)
        corner = (round(icon.x * width - drawn.width / 2), round(icon.y * height - drawn.height / 2))
        picture.paste(drawn, corner, drawn)
    return picture


def describe(scene: Scene) -> dict[str, str]:
    """What `examples.json` says about a scene."""
    collections = dict.fromkeys(icon.collection for icon in scene.icons)
    credit = "Icons: " + "; ".join(CREDITS[name] for name in collections)
    return {"file": scene.file, "title": scene.title, "words": scene.words, "credit": credit, "model": "drawing"}


def main() -> None:
    """Draw every scene."""
    parser = argparse.ArgumentParser(description="Draw the example pictures.")
    parser.add_argument("packages", type=Path, help="folder that holds noto/icons.json, twemoji/icons.json, ...")
    packages = parser.parse_args().packages
    folder = Path(__file__).resolve().parent
    for scene in SCENES:
        # 128 colours, no dithering: grain in full colour does not compress.
        draw(packages, scene).quantize(128, dither=Image.Dither.NONE).save(folder / scene.file, optimize=True)
    listed = folder / "examples.json"
    photographs = [one for one in json.loads(listed.read_text(encoding="utf-8")) if one["model"] == "photograph"]
    text = json.dumps([*map(describe, SCENES), *photographs], indent=2, ensure_ascii=False)
    listed.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
