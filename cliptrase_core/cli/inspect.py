"""`inspect`: write the attention of one patch, before and after recovery, as files."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cliptrase_core.inspection.capture import AttentionMaps
from cliptrase_core.io.export.npz import archive
from cliptrase_core.io.files import MARK, expect_ours, safe_stem, write_all, writing
from cliptrase_core.io.geometry import nearest
from cliptrase_core.io.png import encode_png
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.options import LayoutOptions, options_of
from cliptrase_core.segmenter import Segmenter
from cliptrase_core.viz.figure import figure
from cliptrase_core.viz.heatmap import heat_colours, heat_range, mark_patch

FIGURE_DPI = 200


def inspect_picture(image: npt.NDArray[np.uint8], segmenter: Segmenter, options: argparse.Namespace) -> Iterator[str]:
    """Write the attention maps of one patch and yield the lines to print.

    Args:
        image: (H, W, 3) picture.
        segmenter: model to inspect.
        options: parsed arguments of the command.

    Raises:
        InputError: the patch, layer or head does not exist, or the folder is not writable.
    """
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
    stem = _stem(maps, options)
    shown = {"before": before, "after": after, "affinity": affinity}
    pictures = {"patch": seen, **{name: _heat(values, seen, (row, column)) for name, values in shown.items()}}
    kinds = [*(f"{name}.png" for name in pictures), *(["figure.png"] if options.figure else []), "npz"]
    names = [f"{stem}.{kind}" for kind in kinds]
    expect_ours((folder / name for name in names), "--output")
    contents = [encode_png(mark_patch(picture, maps.grid, row, column)) for picture in pictures.values()]
    if options.figure:
        drawn = io.BytesIO()
        figure(maps, image=seen, patch=(row, column)).savefig(drawn, dpi=FIGURE_DPI, metadata={"Software": MARK})
        contents.append(drawn.getvalue())
    parts = ("attention", "recovered", "affinity", "global_patches")
    arrays = {"before": before, "after": after, **{part: getattr(maps, part).numpy() for part in parts}}
    place = {"layer": maps.layer, "head": maps.head or 0, "row": row, "column": column}  # head 0: mean of all
    about = {name: np.array(value) for name, value in {**place, "preset": options.preset}.items()}
    contents.append(archive({**arrays, **about}))
    with writing("output folder", folder, "--output"):
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, dict(zip(names, contents, strict=True)))
    return [folder / name for name in names]


def _stem(maps: AttentionMaps, options: argparse.Namespace) -> str:
    """Return the stem of the files; head and layout appear in it unless they are the default."""
    parts = [safe_stem(Path(options.image).stem), f"layer{maps.layer}"]
    parts += [] if maps.head is None else [f"head{maps.head}"]
    parts += [f"row{options.row}", f"column{options.column}"]
    usual = {one.name: one.default for one in options_of(LayoutOptions)}
    parts += [] if options.preset == usual["preset"] else [options.preset]
    parts += [] if options.short_side == usual["short_side"] else [f"side{options.short_side}"]
    return ".".join(parts)


def _heat(values: np.ndarray, seen: np.ndarray, patch: tuple[int, int]) -> np.ndarray:
    return nearest(heat_colours(values, *heat_range(values, patch)), (seen.shape[0], seen.shape[1]))
