"""Predictions as files: one index PNG for each picture, written by a run, or by any other program and only scored.

The value of a pixel is the index of its class in the order of the data set, from 0 on; a background is the last class.
Settings with more than 255 labels use 16 bits. 255 (65535 in 16 bits) means that a pixel has none of the classes.
Pixels that do not count in the ground truth are predicted like all others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.predictors import Finish, crop_ground_truth
from cliptrase_core.evaluation.records import Header, expect_same
from cliptrase_core.evaluation.sources import Labels, Sample
from cliptrase_core.io.files import MARK, expect_ours, safe_stem, size_and_time, write_all, writing
from cliptrase_core.io.geometry import centre_crop_frame
from cliptrase_core.io.masks import IGNORED, read_numbers
from cliptrase_core.io.png import encode_png
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.names import BACKGROUNDS
from cliptrase_core.results import BACKGROUND

FACTS = "predictions.json"
"""File name beside the PNGs, with the settings of their run and the class of each number."""
FORMAT = f"{MARK} predictions"

_EIGHT_BITS = 255
_NONE_8, _NONE_16 = 255, 65535
_SHOWN = 8


def file_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the file name below the folder for each key: "city/a" has "city/a.png".

    A name outside the folder, or one that a file system may confuse with another name, is replaced by a unique name
    with digits of the key's SHA-256.
    """
    folded = [_folded(key) for key in keys]
    times = Counter(folded)
    files = {f"{name}.png" for name in folded} | {FACTS}
    return {
        key: f"{key}.png" if times[name] == 1 and _plain(name, files) else _digested(key)
        for key, name in zip(keys, folded, strict=True)
    }


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", key).casefold()


def _plain(name: str, files: set[str]) -> bool:
    """Return whether a key is a path below a folder, and none of its folders is another picture's file."""
    parts = name.split("/")
    inside = all(part not in ("", ".", "..") for part in parts) and not set(name) & {"\\", ":", "\0"}
    return inside and not any(str(parent) in files for parent in PurePosixPath(name).parents)


def _digested(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{safe_stem(key)[:60]}-{digest[:16]}.png"


def to_png(labels: Labels, classes: int) -> bytes:
    """Encode labels as an index PNG.

    Args:
        labels: (H, W), 0..C-1, or `IGNORED`.
        classes: C, the background included.
    """
    small = classes <= _EIGHT_BITS
    numbers = np.where(labels == IGNORED, _NONE_8 if small else _NONE_16, labels)
    return encode_png(numbers.astype(np.uint8 if small else np.uint16))


def expect_apart(folders: Iterable[Path], pairs: Sequence[Pair], option: str) -> None:
    """Raise InputError if files would be written into a folder of masks, or in or below a folder of pictures.

    A later run would take them for masks or for further pictures of the data set.

    Args:
        folders: folders of the files.
        pairs: picture and mask files of the data set.
        option: option that chose the folders, such as "output".
    """
    pictures, masks = (
        {folder.resolve() for folder in {file.parent for file in files}}
        for files in ([pair.image for pair in pairs], [pair.mask for pair in pairs])
    )
    for place in sorted(set(folders)):
        own = place.resolve()
        if own in masks or not pictures.isdisjoint((own, *own.parents)):
            expected = "a folder outside those of the data's pictures and masks"
            remedy = f"Choose another --{option}."
            raise InputError(option.replace("-", " "), expected=expected, got=str(place), remedy=remedy)


def folders_of(folder: Path, keys: Sequence[str]) -> set[Path]:
    """Return the folders of all files that are written for predictions of these keys."""
    return {(folder / name).parent for name in (FACTS, *file_names(keys).values())}


class Saver:
    """Writer of one run's predictions into a folder.

    Args:
        folder: folder of the PNGs, created if missing.
        keys: keys of all pictures.
        names: names of all labels.
        header: header of the run; predictions with another header are refused.
    """

    def __init__(self, folder: Path, keys: Sequence[str], names: Sequence[str], header: Header) -> None:
        """Compute the file names; no file is read or written."""
        self._folder, self._names, self._header = folder, tuple(names), header
        self._files = file_names(keys)

    def open(self, fresh: bool) -> None:
        """Check the content of the folder, and write the header of this run into it; called once, by one process.

        Args:
            fresh: allow replacing predictions of another run of this program.

        Raises:
            InputError: files of another program, predictions of another run, or a folder that cannot be written.
        """
        expect_ours((self._folder / name for name in (FACTS, *self._files.values())), "--save-predictions")
        facts = read_facts(self._folder)
        if facts is not None and not fresh:
            expect_same(facts["setup"], self._header, self._folder, "--save-predictions")
        background = {"background": "last"} if self._names[-1:] == (BACKGROUND,) else {}
        entry = {"format": FORMAT, "classes": self._names, **background, "setup": self._header}
        self._write(FACTS, json.dumps(entry, indent=1).encode() + b"\n")

    def has(self, key: str) -> bool:
        """Return whether the folder has the prediction of a picture."""
        return (self._folder / self._files[key]).is_file()

    def save(self, key: str, labels: Labels) -> None:
        """Write the prediction of one picture. Raises InputError if that fails. Thread-safe."""
        self._write(self._files[key], to_png(labels, len(self._names)))

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        with writing("predictions", self._folder, "--save-predictions"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_all(path.parent, {path.name: content})


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Read the `FACTS` file of a folder; None if it is missing, damaged or of another program."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        return None
    whole = isinstance(facts.get("setup"), dict) and isinstance(facts.get("classes"), list)
    return facts if whole and facts.get("background") in (None, *BACKGROUNDS) else None


def _found(folder: Path, keys: Sequence[str], pictures: Mapping[str, str] | None) -> dict[str, Path]:
    """Find the file of each key. Also accept names without folders and names of the pictures, as many programs use.

    Raises:
        InputError: no file is found.
    """
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} if folder.is_dir() else set()
    names = file_names(keys)
    alone = {key: PurePosixPath(name).name for key, name in names.items()}
    called = {key: f"{PurePosixPath(name).stem}.png" for key, name in (pictures or {}).items()}
    found = dict(names)
    for others in (alone, called):
        times = Counter(others.values())
        for key, name in others.items():
            if found[key] not in there and name in there and times[name] == 1:
                found[key] = name
    if not there & set(found.values()):
        got = f"{len(there)} other PNGs" if there else "no PNG"
        wanted = next(iter(names.values()), "a.png")
        remedy = "Name predictions after their pictures."
        raise InputError("predictions", expected=f"files such as {wanted!r}", got=got, remedy=remedy)
    return {key: folder / name for key, name in found.items()}


class FilePredictor:
    """Predictor that reads predictions from files.

    Args:
        folder: folder of the PNGs.
        keys: keys of all pictures.
        names: names of all labels.
        background: position of the background's number, see `BACKGROUNDS`; None if this program's own `FACTS` file
            has it, or if there is no background.
        crop: side of the centre crop that is scored, in pixels; None for whole pictures.
        pictures: file name of the picture of each key; other programs may name their predictions after it.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[str],
        names: Sequence[str],
        background: str | None,
        crop: int | None,
        pictures: Mapping[str, str] | None = None,
    ) -> None:
        """Find the files.

        Raises:
            InputError: no folder, none of the files, predictions of other classes, or an unknown position of the
                background's number.
        """
        self._names, self._crop = tuple(names), crop
        self._paths = _found(folder, keys, pictures)
        self.background = self._where(read_facts(folder), background)
        self._table = _table(len(names), self.background == "first")

    def _where(self, facts: Mapping[str, Any] | None, given: str | None) -> str | None:
        if facts is not None and facts["classes"] != list(self._names):
            remedy = "Score them on the setting that they were made for."
            raise InputError(
                "predictions", expected="those of the same classes", got="those of other classes", remedy=remedy
            )
        exists = self._names[-1:] == (BACKGROUND,)
        own = facts.get("background") if facts is not None else None
        if exists and own is None and given is None:
            remedy = "Give --predicted-background first (0, as mmseg writes it) or last (after the classes)."
            expected = "a known number of the background"
            raise InputError("predictions", expected=expected, got="none", remedy=remedy)
        if given is not None and (not exists or own not in (None, given)):
            expected = f"the background {own}, as its {FACTS} says" if exists else "none, these classes have none"
            raise InputError(
                "predicted background", expected=expected, got=given, remedy="Leave out --predicted-background."
            )
        return own or given

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return size and modification time of the file; zeros if it is missing."""
        return size_and_time(self._paths[key])

    def prepare(self, sample: Sample) -> Sample:
        """Read the prediction, and crop it if the protocol scores a crop.

        Raises:
            InputError: no such file, or one with another size or unknown numbers.
        """
        path, size = self._paths[sample.key], sample.ground_truth.shape
        given = self._labels(read_numbers(path), path.name)
        sizes = [size] if self._crop is None else [size, (self._crop, self._crop)]
        if given.shape not in sizes:
            wanted = " or ".join(f"{height} x {width}" for height, width in sizes)
            got = f"{given.shape[0]} x {given.shape[1]}"
            remedy = "Save labels in the size of the picture, by nearest neighbours."
            raise InputError(f"prediction {path.name!r}", expected=wanted, got=got, remedy=remedy)
        if self._crop is None:
            return dataclasses.replace(sample, given=given, labels=None)
        frame = centre_crop_frame((size[0], size[1]), self._crop, (self._crop, self._crop))
        return dataclasses.replace(
            sample,
            image=resize_and_crop(sample.image, frame),
            ground_truth=crop_ground_truth(sample.ground_truth, self._crop),
            raw=None if sample.raw is None else crop_ground_truth(sample.raw, self._crop),
            labels=None,
            given=given if given.shape == (self._crop, self._crop) else crop_ground_truth(given, self._crop),
        )

    def predict_each(self, samples: Sequence[Sample], predictors: Sequence[FilePredictor]) -> list[list[Finish]]:
        """Return the labels read by `prepare`, as one function for each sample."""
        if any(one is not self for one in predictors):
            raise ValueError("the labels of files are those of one folder")
        return [[partial(_given, sample) for sample in samples] for _ in predictors]

    def _labels(self, raw: Labels, name: str) -> Labels:
        labels: Labels = self._table[raw]
        unknown = np.unique(raw[labels == _UNKNOWN])
        if len(unknown):
            count = len(self._names)
            none = _NONE_8 if count <= _EIGHT_BITS else _NONE_16
            shown = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
            raise InputError(
                f"prediction {name!r}",
                expected=f"0 to {count - 1}, or {none} for none of the classes",
                got=f"also {shown}",
                remedy="Number the classes in the setting's order, from 0 on.",
            )
        return labels


_UNKNOWN = -2


def _table(classes: int, background_first: bool) -> Labels:
    """Return the lookup table (65536,) from number in a file to label."""
    table = np.full(_NONE_16 + 1, _UNKNOWN, np.int32)
    if classes <= _EIGHT_BITS:
        table[_NONE_8] = IGNORED
    table[_NONE_16] = IGNORED
    table[:classes] = np.roll(np.arange(classes), 1) if background_first else np.arange(classes)
    return table


def _given(sample: Sample) -> Labels:
    if sample.given is None:
        raise InputError("sample", expected="one that was prepared", got="another", remedy="Prepare it.")
    return sample.given
