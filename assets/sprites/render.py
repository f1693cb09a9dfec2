"""Draw the objects of `concepts.json` in every drawing style of `sets.json`, once, into one array file.

    python assets/sprites/render.py --icons FOLDER --output sprites.npz

FOLDER holds the unpacked npm packages `@iconify-json/<set>` as `<set>/icons.json`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

HERE = Path(__file__).resolve().parent
SIZE = 128
# Sets of interface icons reuse these words for something else (a computer mouse, a wireframe globe, a handset).
OTHER_MEANING = {"mouse", "ram", "phone", "globe", "bat", "meat", "door", "kite", "bread", "key", "gem"}
VARIANTS = ("", "-1", "-2", "-fill", "-duotone", "-outline", "-filled", "-bold", "-01", "-variant", "-side")


def icon_names(label: str, names: list[str], emoji: bool) -> Iterator[str]:
    """Names under which a set may hold the object: as written, glued together, and with a set's own endings."""
    candidates = list(names) if emoji else [*names, label.replace(" ", "-")]
    if not emoji and label in OTHER_MEANING:
        return
    for name in dict.fromkeys(candidates):
        for ending in VARIANTS:
            yield name + ending
        yield name.replace("-", "")


def draw(icon_set: dict[str, Any], name: str) -> np.ndarray | None:
    """Draw one icon.

    Returns:
        (SIZE, SIZE, 4) uint8, colours not multiplied by alpha; None where the set has no such icon or it is empty.
    """
    alias = icon_set.get("aliases", {}).get(name, {})
    icon = icon_set["icons"].get(alias.get("parent", name))
    if icon is None:
        return None
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icon_set.get("width", 16))
    height = icon.get("height", icon_set.get("height", 16))
    document = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" color="#000" '
        f'width="{SIZE}" height="{SIZE}" viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )
    try:
        data = bytes(resvg_py.svg_to_bytes(svg_string=document))
    except ValueError:
        return None
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGBA").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    pixels[pixels[..., 3] == 0] = 0  # what nobody sees need not be stored
    return pixels if pixels[..., 3].mean() > 5 else None


def render(icons: Path) -> dict[str, np.ndarray]:
    """Draw every object in every style.

    Returns:
        pixels (S, SIZE, SIZE, 4) uint8, labels (S,) and styles (S,) int16, and the names that both count.
    """
    concepts: dict[str, list[str]] = json.loads((HERE / "concepts.json").read_text(encoding="utf-8"))
    sets: dict[str, dict[str, Any]] = json.loads((HERE / "sets.json").read_text(encoding="utf-8"))
    pixels, labels, styles = [], [], []
    for style, (prefix, facts) in enumerate(sets.items()):
        icon_set = json.loads((icons / prefix / "icons.json").read_text(encoding="utf-8"))
        for index, (label, names) in enumerate(concepts.items()):
            drawn: set[bytes] = set()
            for name in icon_names(label, names, facts["emoji"]):
                picture = draw(icon_set, name)
                if picture is not None and picture.tobytes() not in drawn:
                    drawn.add(picture.tobytes())
                    pixels.append(picture)
                    labels.append(index)
                    styles.append(style)
    return {
        "pixels": np.stack(pixels),
        "labels": np.array(labels, np.int16),
        "styles": np.array(styles, np.int16),
        "label_names": np.array(list(concepts)),
        "style_names": np.array(list(sets)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arrays = render(arguments.icons)
    np.savez_compressed(arguments.output, **arrays)
    counts = np.bincount(arrays["styles"], minlength=len(arrays["style_names"]))
    sys.stdout.write(f"{dict(zip(arrays['style_names'].tolist(), counts.tolist(), strict=True))}\n")


if __name__ == "__main__":
    main()
