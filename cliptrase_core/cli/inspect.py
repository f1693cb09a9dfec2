"""`inspect`: write the attention of one patch, before and after recovery, as files."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from cliptrase_core.errors import InputError, explain
from cliptrase_core.inspection.capture import AttentionMaps
from cliptrase_core.io import export
from cliptrase_core.io.files import MARK, expect_ours, marked_png
from cliptrase_core.io.geometry import nearest
from cliptrase_core.io.image import read_image
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.segmenter import Segmenter
from cliptrase_core.viz.figure import figure
from cliptrase_core.viz.heatmap import heat_colours, heat_range, mark_patch

FIGURE_DPI = 200


def inspect_picture(segmenter: Segmenter, options: argparse.Namespace) -> Iterator[str]:
    """Write the attention maps of one patch and yield the lines to print.

    Args:
        segmenter: model to inspect.
        options: parsed arguments of the command.

    Raises:
        InputError: the picture is not usable, the patch, layer or head does not exist, or the folder is not writable.
    """
    image = read_image(options.image, max_pixels=options.max_pixels)
    captured = segmenter.capture(image, options.preset, short_side=options.short_side, max_pixels=options.max_pixels)
    maps = captured.maps(options.layer, options.head)
    seen = resize_and_crop(image, captured.frame)
    for path in _save_maps(maps, seen, Path(options.output), options):
        yield str(path)
    yield _global_patches(maps)


def _global_patches(maps: AttentionMaps) -> str:
    count = len(maps.global_patches)
    if not count:
        return f"layer {maps.layer}: no global patches"
    shown = ", ".join(f"{before} -> {after}" for before, after in maps.global_ranks[:5])
    more = ", ..." if count > 5 else ""
    everyone = len(maps.incoming_attention)
    return f"layer {maps.layer}: {count} global patches of {everyone}; rank before -> after recovery: {shown}{more}"


def _save_maps(maps: AttentionMaps, seen: np.ndarray, folder: Path, options: argparse.Namespace) -> list[Path]:
    row, column = options.row, options.column
    before, after = (part.numpy() for part in maps.patch_maps(row, column))
    affinity = maps.affinity[maps.token(row, column), 1:].reshape(maps.grid).numpy()
    stem = f"{export.safe_stem(Path(options.image).stem)}.layer{maps.layer}.row{row}.column{column}"
    shown = {"before": before, "after": after, "affinity": affinity}
    pictures = {"patch": seen, **{name: _heat(values, seen, (row, column)) for name, values in shown.items()}}
    paths = [folder / f"{stem}.{name}.png" for name in pictures]
    figures = [folder / f"{stem}.figure.png"] if options.figure else []
    expect_ours([*paths, *figures, folder / f"{stem}.npz"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, picture in zip(paths, pictures.values(), strict=True):
            Image.fromarray(mark_patch(picture, maps.grid, row, column)).save(path, pnginfo=marked_png())
        for path in figures:
            drawn = figure(maps, image=seen, patch=(row, column))
            drawn.savefig(path, dpi=FIGURE_DPI, metadata={"Software": MARK})
        paths += [*figures, folder / f"{stem}.npz"]
        np.savez_compressed(
            paths[-1],
            before=before,
            after=after,
            attention=maps.attention.numpy(),
            recovered=maps.recovered.numpy(),
            affinity=maps.affinity.numpy(),
            global_patches=maps.global_patches.numpy(),
        )
        with zipfile.ZipFile(paths[-1], "a") as archive:
            archive.comment = MARK.encode()
    except OSError as error:
        raise InputError(
            explain(
                "output",
                expected="a folder that can be written",
                got=f"{folder}: {error.strerror}",
                remedy="Choose another --output.",
            )
        ) from error
    return paths


def _heat(values: np.ndarray, seen: np.ndarray, patch: tuple[int, int]) -> np.ndarray:
    return nearest(heat_colours(values, *heat_range(values, patch)), (seen.shape[0], seen.shape[1]))
