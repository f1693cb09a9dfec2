"""One process of a distributed evaluation of seven pictures of noise; `torchrun` starts several.

python -m tests.evaluation_worker REPORT [RANK]: the process of this rank is killed when another has written a record.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cliptrase_core import Segmenter
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.predictors import PresetPredictor
from cliptrase_core.evaluation.records import part_path
from cliptrase_core.evaluation.run import Finished, Group, Part, joined, only_writer, records_folder, run_together
from cliptrase_core.evaluation.sources import Sample
from cliptrase_core.options import SegmentOptions
from cliptrase_core.text.vocabulary import parse_vocabulary
from tests.conftest import tiny_clip

WORDS = parse_vocabulary("cat; dog; tree")
HEADER = {"setting": "seven", "batch": 2}
STAMPS = {key: (index + 1,) for index, key in enumerate("abcdefg")}


class Seven:
    """Seven small pictures of noise; the fifth cannot be read.

    Args:
        at: index of a picture; `do` is called before it is loaded.
        do: function without arguments, or None if `at` is None.
    """

    keys = tuple("abcdefg")
    names = WORDS.class_names
    extra = None

    def __init__(self, at=None, do=None):
        self.loaded, self._at, self._do = [], at, do

    def stamp(self, index):
        return (index + 1,)

    def load(self, index):
        if index == self._at:
            self._do()
        if index == 4:
            raise InputError("picture 'e': expected a whole picture, got half. Get the other half.")
        self.loaded.append(index)
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        truth = rng.integers(-1, 3, (40, 48)).astype(np.int32)
        return Sample(self.keys[index], image, truth, None, WORDS)


def evaluate(segmenter: Segmenter, output: Path, group: Group, source: Seven, **settings) -> Finished | None:
    """Run the whole evaluation; return its result in the first process, None in the others."""
    predictor = PresetPredictor(segmenter, "auto", SegmentOptions(templates="simple7"))
    with only_writer(output, group):
        header = {**HEADER, "pictures": len(source.keys)}
        parts = [Part(Job(source, predictor, readers=1), header, output)]
        found = run_together(parts, 2, group, **settings)
        return None if found is None else found[0]


def die_late(output: Path) -> None:
    """Kill this process as soon as the first one has written a record of a picture."""
    first = part_path(records_folder(output), 0)
    while not first.exists() or first.read_bytes().count(b"\n") < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    output = Path(sys.argv[1])
    with joined() as group:
        dies = [group.rank] == [int(rank) for rank in sys.argv[2:]]
        source = Seven(6, lambda: die_late(output)) if dies else Seven()
        found = evaluate(Segmenter.from_open_clip(tiny_clip()), output, group, source)
        if found is not None:
            output.write_text(json.dumps([asdict(record) for record in found.records]))


if __name__ == "__main__":
    main()
