"""Reader for the tensors of a TorchScript archive that runs no code; `torch.jit.load` runs code from the file.

An archive is a zip file: `data.pkl` contains the modules as plain attributes, `data/<key>` the bytes of each storage,
`code/` the code, which is not read. The unpickler accepts only tensors, lists and modules. It reads a module as a plain
set of attributes, without its `__setstate__`.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAX_PICKLE = 20_000_000
"""Limit of `data.pkl` in bytes; that of OpenAI's ViT-L/14 has 0.1 MB."""


class _Module:
    """Placeholder for any class that the archive defines: attributes by name."""


class _Storage:
    """Data type of a storage; placeholder for the storage classes named in pickles."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


_STORAGES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "BoolStorage": torch.bool,
}


def _same(value: Any) -> Any:
    return value


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    # A stride of 0 would allow a tensor of any size from one number.
    if math.prod(size) > len(storage):
        raise pickle.UnpicklingError("a tensor larger than its storage")
    return torch.as_strided(storage, size, stride, offset)


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch.jit._pickle", "build_intlist"): _same,
    ("torch.jit._pickle", "build_tensorlist"): _same,
    ("torch.jit._pickle", "build_doublelist"): _same,
    ("torch.jit._pickle", "build_boollist"): _same,
    ("torch.jit._pickle", "restore_type_tag"): lambda value, *_: value,
}


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in _STORAGES:
            return _Storage(_STORAGES[name])
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is not an allowed class")

    def persistent_load(self, identity: Any) -> Tensor:
        kind, storage, key, _, count = identity
        if kind != "storage" or not isinstance(storage, _Storage) or not str(key).isdigit():
            raise pickle.UnpicklingError("an unknown kind of storage")
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._root}/data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=storage.dtype) if content else torch.empty(0)
        if len(self._storages[key]) < int(count):
            raise pickle.UnpicklingError("a storage that is cut short")
        return self._storages[key]


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the tensors by their names in the module tree, as in `state_dict()` of the loaded module.

    Raises:
        pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError and others: a damaged or hostile archive.
    """
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        if sum(entry.file_size for entry in archive.infolist()) > 2 * path.stat().st_size:
            raise ValueError("archives of weights are not compressed")
        if archive.getinfo(f"{root}/data.pkl").file_size > MAX_PICKLE:
            raise ValueError("too many modules")
        tree = _Reader(archive, root).load()
    found: dict[str, Tensor] = {}
    waiting = [("", tree)]
    while waiting:  # no recursion, because a file may be nested arbitrarily deep
        prefix, module = waiting.pop()
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
    return found
