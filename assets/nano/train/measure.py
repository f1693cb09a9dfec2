"""Measure nano: single objects, the scene benchmark, synonyms. Prints one JSON object, the figures of the model card.

python assets/nano/train/measure.py [--stock FOLDER] [--checkpoint image.pt]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import cliptrase_core as cc
from cliptrase_core import weights
from cliptrase_core.scenes.benchmark import PACK, class_names, compose_scenes, measure
from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites, read_pack, read_stock
from cliptrase_core.scenes.stuff import STUFF, ground
from cliptrase_core.text import TextEncoder

HERE = Path(__file__).resolve().parent
GREY = 215
OBJECT_SIDE = 176  # pixels of a single object in a picture of 224

# A radius that no two patches share leaves no cluster, and then no region votes: recovery alone.
VARIANTS: dict[str, dict[str, Any]] = {
    "clip": {"method": "clip"},
    "recovery": {"eps": 1e-6, "denoise": "none"},
    "clustering": {"denoise": "none"},
    "denoising": {},
}


def segmenter_with(checkpoint: Path | None) -> cc.Segmenter:
    """nano, with weights from a training checkpoint where one is given; image and text towers may come apart."""
    loaded = weights.load("nano")
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu")["model"]
        loaded.model.load_state_dict(state)
        loaded = replace(loaded, digest=str(checkpoint))
    return cc.Segmenter(loaded, device="cpu")


def single_objects(segmenter: cc.Segmenter, text: torch.Tensor, sprites: Sprites, chosen: Sequence[int]) -> float:
    """Percent of single objects on grey, 224 pixels, whose first guess among all objects is right."""
    right = 0
    for index in chosen:
        cut_out = sprites.levels[0][index].astype(np.float32)
        drawn = cut_out[..., :3] + GREY * (1 - cut_out[..., 3:] / 255)
        picture = Image.new("RGB", (224, 224), (GREY, GREY, GREY))
        scaled = Image.fromarray(np.clip(drawn, 0, 255).astype(np.uint8)).resize((OBJECT_SIDE, OBJECT_SIDE))
        picture.paste(scaled, ((224 - OBJECT_SIDE) // 2,) * 2)
        guess = int((text @ segmenter.encode(picture, short_side=224).cls).argmax())
        right += guess == int(sprites.labels[index])
    return round(100 * right / len(chosen), 1)


def segment_with(
    segmenter: cc.Segmenter, encodings: dict[int, cc.ImageEncoding], **settings: Any
) -> Callable[[np.ndarray, Sequence[str]], np.ndarray]:
    """A way to segment, for the benchmark; every picture runs through the model once, whatever is asked of it."""

    def segment(image: np.ndarray, words: Sequence[str]) -> np.ndarray:
        if id(image) not in encodings:
            encodings[id(image)] = segmenter.encode(image, short_side=224)
        return segmenter.segment(encodings[id(image)], "; ".join(words), **settings).labels

    return segment


def lone_objects(segmenter: cc.Segmenter, sprites: Sprites, scenes: int) -> float:
    """Mean IoU in percent of one object in a picture of 224, plain CLIP told the words of that very picture.

    Words being given, it tells whether patches say the object where it is: a model that says it in the middle of the
    picture can have a good mIoU on scenes of many words, and useless regions.
    """
    rng = np.random.default_rng(3)
    stock, settings = ground(rng, 4, 288), SceneSettings(224, 1, single=(0.25, 0.5))
    words, found = [*sprites.names, *STUFF], []
    for _ in range(scenes):
        scene = compose(rng, sprites, stock, settings)
        truth = scene.objects >= 0
        named = [int(label) for label in np.unique(scene.labels)]  # the object's label is the smallest
        encoding = segmenter.encode(scene.image, short_side=224)
        result = segmenter.segment(encoding, "; ".join(words[label] for label in named), method="clip")
        said = result.labels == 0
        found.append((said & truth).sum() / max(1, (said | truth).sum()))
    return round(100 * float(np.mean(found)), 1)


def synonyms(names: Sequence[str], text: torch.Tensor, words: TextEncoder) -> dict[str, float]:
    """Percent of held-out synonyms that lie nearest to their class among all class names."""
    pairs = json.loads((HERE / "synonyms.json").read_text(encoding="utf-8"))
    nearest = (words.embed([pair["word"] for pair in pairs]) @ text.T).argmax(1)
    right = [names[int(index)] == pair["class"] for index, pair in zip(nearest, pairs, strict=True)]
    return {"words": len(right), "right": round(100 * sum(right) / len(right), 1)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", type=Path, help="training styles too: what assets/sprites/restyle.py wrote")
    parser.add_argument("--checkpoint", type=Path, help="a training checkpoint instead of the shipped weights")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--single", type=int, default=300, help="single objects in each style")
    arguments = parser.parse_args()
    segmenter = segmenter_with(arguments.checkpoint)
    words = TextEncoder(segmenter.info.model, segmenter.info.tokenizer)
    stocks = {"held-out style": read_pack(PACK)}
    if arguments.stock:
        stocks["training styles"] = read_stock(arguments.stock / "training")
    names = class_names(stocks["held-out style"])
    text = words.embed(names)
    figures: dict[str, Any] = {"synonyms": synonyms(names, text, words)}
    for style, sprites in stocks.items():
        drawn = np.arange(len(sprites.labels))
        if style == "training styles":  # as drawn: restyled copies are for training only
            drawn = drawn[~np.load(arguments.stock / "training" / "restyled.npy")]
        chosen = np.random.default_rng(0).permutation(drawn)[: arguments.single]
        figures[style] = {"top1": single_objects(segmenter, text[: len(sprites.names)], sprites, chosen.tolist())}
        figures[style]["iou of a lone object"] = lone_objects(segmenter, sprites, arguments.scenes)
        scenes = compose_scenes(arguments.scenes, sprites)
        encodings: dict[int, cc.ImageEncoding] = {}
        for count in (20, None):
            for name, settings in VARIANTS.items():
                result = measure(segment_with(segmenter, encodings, **settings), scenes, names, count)
                rounded = {key: round(value, 1) for key, value in asdict(result).items()}
                figures[style][f"{name}, {count or 'all'} words"] = rounded
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
