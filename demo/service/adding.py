"""Files given to the queue of a batch: new pictures, and those that it does not take. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from demo.errors import UserError
from demo.file_kinds import first_bytes, is_picture
from demo.service.batch import Batch
from demo.service.pictures import digest


@dataclass(frozen=True)
class LeftOut:
    """Numbers of files that a queue did not take, by reason.

    Attributes:
        full: pictures beyond the maximum of a batch.
        later: pictures beyond the maximum bytes of one upload.
        known: pictures that the queue already has.
        large: files larger than a picture may be.
        others: files that are no pictures.
        names: names of some of these.
        same: pairs of names: a picture that was left out, and one of the queue with the same content.
    """

    full: int = 0
    later: int = 0
    known: int = 0
    large: int = 0
    others: int = 0
    names: tuple[str, ...] = ()
    same: tuple[tuple[str, str], ...] = ()


def sorted_out(batch: Batch, paths: Sequence[str], left: LeftOut) -> tuple[list[str], LeftOut]:
    """Return the paths of new pictures, and the files left out: `left`, other files, and pictures given before.

    Args:
        batch: queue.
        paths: paths of uploads.
        left: files that the browser has left out.
    """
    there = {content_of(item.path): item.file for item in batch.items}
    new, same, names = [], [], list(left.names)
    for path in paths:
        content = content_of(path)
        try:
            other = not is_picture(first_bytes(path))
        except OSError:  # removed in the meantime, which its line in the queue says
            other = False
        if other:
            names.append(Path(path).name)
        elif content not in there:
            new.append(path)
            there[content] = Path(path).name
        elif there[content] != Path(path).name:
            same.append((Path(path).name, there[content]))
    others = len(names) - len(left.names)
    known = left.known + len(paths) - len(new) - len(same) - others
    return new, replace(left, known=known, others=left.others + others, names=tuple(names), same=tuple(same))


def content_of(path: str) -> str:
    """Return the digest of a file, or its path if it cannot be read."""
    try:
        return digest(path)
    except UserError:
        return path
