"""Predictions as files: one index PNG for each picture, written by a run, or made by any program and only scored.

A pixel holds the place of its class in the data set's order, from 0 on; a background is the last. Settings of more than
255 labels have 16 bits. 255 (65535 in 16 bits) stands where a pixel got none of the classes. Pixels that the truth does
not count are predicted as all others are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from PIL import Image

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.predictors import Outcome, crop_truth
from cliptrase_core.evaluation.records import Header, expect_same
from cliptrase_core.evaluation.sources import Labels, Sample, size_and_time
from cliptrase_core.io.files import MARK, expect_ours, marked_png, safe_stem, write_all
from cliptrase_core.io.geometry import centre_crop_frame
from cliptrase_core.io.masks import IGNORED, read_numbers
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.results import BACKGROUND

FACTS = "predictions.json"
"""Beside the PNGs: what made them, and which number is which class."""
FORMAT = f"{MARK} predictions"

Background = Literal["first", "last"]
BACKGROUNDS: tuple[Background, ...] = ("first", "last")
"""Where the background's number stands: 0 before the classes, or after them."""

_EIGHT_BITS = 255
_NONE_8, _NONE_16 = 255, 65535
_SHOWN = 8


def file_names(keys: Sequence[str]) -> dict[str, str]:
    """Key to name below the folder: "city/a" to "city/a.png".

    A name that leads out of the folder, or that a file system might not tell from another, becomes one of its own
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
    """Whether a key is a path below a folder, and none of its folders is another picture's file."""
    parts = name.split("/")
    inside = all(part not in ("", ".", "..") for part in parts) and not set(name) & {"\\", ":", "\0"}
    return inside and not any(str(parent) in files for parent in PurePosixPath(name).parents)


def _digested(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{safe_stem(key)[:60]}-{digest[:16]}.png"


def to_png(labels: Labels, classes: int) -> bytes:
    """Labels as an index PNG.

    Args:
        labels: (H, W), 0..C-1, or `IGNORED`.
        classes: C, the background included.
    """
    small = classes <= _EIGHT_BITS
    numbers = np.where(labels == IGNORED, _NONE_8 if small else _NONE_16, labels)
    out = io.BytesIO()
    Image.fromarray(numbers.astype(np.uint8 if small else np.uint16)).save(out, "PNG", pnginfo=marked_png())
    return out.getvalue()


class Saver:
    """Writes predictions of one run into a folder.

    Args:
        folder: made if missing.
        keys: of every picture.
        names: of every label.
        header: of the run; predictions of another one are refused.
    """

    def __init__(self, folder: Path, keys: Sequence[str], names: Sequence[str], header: Header) -> None:
        """Keep names; nothing is read or written."""
        self._folder, self._names, self._header = folder, tuple(names), header
        self._files = file_names(keys)

    def open(self, fresh: bool) -> None:
        """Check what lies in the folder, and say in it what this run is; once, by one process.

        Args:
            fresh: predictions of another run of this program may be replaced.

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
        """Whether the prediction of a picture lies there."""
        return (self._folder / self._files[key]).is_file()

    def save(self, key: str, labels: Labels) -> None:
        """Write one; InputError where that fails. Safe in threads."""
        self._write(self._files[key], to_png(labels, len(self._names)))

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_all(path.parent, {path.name: content})
        except OSError as error:
            got, remedy = error.strerror or "an error", "Make room, or choose another --save-predictions."
            expected = "a folder that can be written"
            raise InputError(explain("predictions", expected=expected, got=got, remedy=remedy)) from error


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What this program wrote beside its predictions; None where they are another's, or that was damaged."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        return None
    whole = isinstance(facts.get("setup"), dict) and isinstance(facts.get("classes"), list)
    return facts if whole and facts.get("background") in (None, *BACKGROUNDS) else None


def _found(folder: Path, keys: Sequence[str], pictures: Mapping[str, str] | None) -> dict[str, Path]:
    """The file of each key; many programs leave out folders, or keep the whole name of the picture.

    Raises:
        InputError: none is there.
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
        raise InputError(explain("predictions", expected=f"files such as {wanted!r}", got=got, remedy=remedy))
    return {key: folder / name for key, name in found.items()}


class FilePredictor:
    """Takes predictions from files.

    Args:
        folder: of the PNGs.
        keys: of every picture.
        names: of every label.
        background: where its number stands; None where this program's own file says so, or there is none.
        crop: side of the centre crop that is scored; None for whole pictures.
        pictures: key to its picture's file name, by which other programs may call what they write.
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
            InputError: no folder, none of the files, predictions of other classes, or a background that could be
                either number.
        """
        self._names, self._crop = tuple(names), crop
        self._paths = _found(folder, keys, pictures)
        self.background = self._where(read_facts(folder), background)
        self._table = _table(len(names), self.background == "first")

    def _where(self, facts: Mapping[str, Any] | None, given: str | None) -> str | None:
        if facts is not None and facts["classes"] != list(self._names):
            remedy = "Score them on the setting that they were made for."
            raise InputError(
                explain("predictions", expected="those of the same classes", got="those of others", remedy=remedy)
            )
        exists = self._names[-1:] == (BACKGROUND,)
        own = facts.get("background") if facts is not None else None
        if exists and own is None and given is None:
            remedy = "Give --predicted-background first (0, as mmseg writes it) or last (after the classes)."
            expected = "to know which number is the background"
            raise InputError(explain("predictions", expected=expected, got="nothing that says so", remedy=remedy))
        if given is not None and (not exists or own not in (None, given)):
            expected = f"the background {own}, as its {FACTS} says" if exists else "none, these classes have none"
            raise InputError(
                explain(
                    "predicted background", expected=expected, got=given, remedy="Leave out --predicted-background."
                )
            )
        return own or given

    def stamp(self, key: str) -> tuple[int, ...]:
        """Size and time of the file; zeros where it is missing."""
        return size_and_time(self._paths[key])

    def prepare(self, sample: Sample) -> Sample:
        """Read the prediction, and crop where the protocol does.

        Raises:
            InputError: no such file, or one of another size or with other numbers.
        """
        path, size = self._paths[sample.key], sample.truth.shape
        given = self._labels(read_numbers(path), path.name)
        sizes = [size] if self._crop is None else [size, (self._crop, self._crop)]
        if given.shape not in sizes:
            wanted = " or ".join(f"{height} x {width}" for height, width in sizes)
            got = f"{given.shape[0]} x {given.shape[1]}"
            remedy = "Save labels in the size of the picture, by nearest neighbours."
            raise InputError(explain(f"prediction {path.name!r}", expected=wanted, got=got, remedy=remedy))
        if self._crop is None:
            return dataclasses.replace(sample, given=given, labels=None)
        frame = centre_crop_frame((size[0], size[1]), self._crop, (self._crop, self._crop))
        return dataclasses.replace(
            sample,
            image=resize_and_crop(sample.image, frame),
            truth=crop_truth(sample.truth, self._crop),
            raw=None if sample.raw is None else crop_truth(sample.raw, self._crop),
            labels=None,
            given=given if given.shape == (self._crop, self._crop) else crop_truth(given, self._crop),
        )

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """What was read."""
        return [partial(_given, sample) for sample in samples]

    def _labels(self, raw: Labels, name: str) -> Labels:
        labels: Labels = self._table[raw]
        unknown = np.unique(raw[labels == _UNKNOWN])
        if len(unknown):
            count = len(self._names)
            none = _NONE_8 if count <= _EIGHT_BITS else _NONE_16
            shown = ", ".join(map(str, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
            raise InputError(
                explain(
                    f"prediction {name!r}",
                    expected=f"0 to {count - 1}, or {none} for none of the classes",
                    got=f"also {shown}",
                    remedy="Number the classes in the setting's order, from 0 on.",
                )
            )
        return labels


_UNKNOWN = -2


def _table(classes: int, background_first: bool) -> Labels:
    """(65536,) number in a file to label."""
    table = np.full(_NONE_16 + 1, _UNKNOWN, np.int32)
    if classes <= _EIGHT_BITS:
        table[_NONE_8] = IGNORED
    table[_NONE_16] = IGNORED
    table[:classes] = np.roll(np.arange(classes), 1) if background_first else np.arange(classes)
    return table


def _given(sample: Sample) -> Outcome:
    if sample.given is None:
        raise InputError(explain("sample", expected="one that was prepared", got="another", remedy="Prepare it."))
    return sample.given
