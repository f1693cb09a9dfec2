"""labelme's JSON: a polygon for each connected piece, the picture inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from cliptrase_core.io.export.pieces import Piece, PieceRule
from cliptrase_core.io.files import seal
from cliptrase_core.io.geometry import Size

VERSION = "5.5.0"
"""Of labelme's format; its later versions read it."""


def to_labelme(
    pieces: Sequence[Piece], names: Sequence[str], size: Size, picture: tuple[str, bytes], rule: PieceRule
) -> bytes:
    """The file's content.

    A polygon has no hole: its line goes around one through a cut of no width, which labelme fills to the same pixels.
    With one piece for each class, its polygons share a `group_id`.

    Args:
        pieces: of one result.
        names: of all classes.
        size: (H, W) of the labels.
        picture: name and content of its file.
        rule: that made the pieces.
    """
    shapes = [
        {
            "label": names[piece.label],
            "points": outline.astype(float).tolist(),
            "group_id": piece.label if rule.per_class else None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for piece in pieces
        for outline in piece.outlines
    ]
    entries = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture[0],
        "imageData": base64.b64encode(picture[1]).decode("ascii"),
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    text = json.dumps(entries, ensure_ascii=False)[:-1] + ",\n"
    return b"".join(seal([text.encode("utf-8", "replace")], before=b'"made_by": "', after=b'"}'))
