"""Maps of a result as a NumPy archive: labels, regions, confidence, patch clusters, and further arrays."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError
from cliptrase_core.io.files import MARK
from cliptrase_core.results import Segmentation

MAPS = ("labels", "regions", "confidence", "patch_clusters")
"""Arrays of every .npz."""

FAST = 1
"""Level of zlib: higher levels take five times as long and save a tenth of the size."""

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def to_npz(result: Segmentation, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the content of the archive.

    Args:
        result: result whose maps are stored.
        arrays: further arrays by name.

    Raises:
        InputError: an array cannot be stored.
    """
    own = {name: getattr(result, name) for name in MAPS}
    for name, array in arrays.items():
        plain = isinstance(array, np.ndarray) and not array.dtype.hasobject
        if not isinstance(name, str) or not _ARRAY_NAME.fullmatch(name) or name in own or not plain:
            raise InputError(
                "arrays",
                expected=f"numpy arrays of plain numbers, by simple names other than {', '.join(MAPS)}",
                got=f"{name!r}: {type(array).__name__}",
                remedy="Rename or convert it.",
            )
    return archive({**own, **arrays})


def archive(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the content of a compressed archive with the program's mark; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    # Not `savez`: it takes names as keyword arguments, and writes the current time into the file.
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            file.writestr(entry, content.getbuffer(), zipfile.ZIP_DEFLATED, FAST)
        file.comment = MARK.encode()
    return buffer.getvalue()
