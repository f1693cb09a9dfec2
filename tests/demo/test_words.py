"""Word lists of the page: all data sets with their classes; each word is one class for the vocabulary parser."""

from __future__ import annotations

import pytest

from cliptrase_core.names import DATASETS
from cliptrase_core.text.vocabulary import dataset_entries, parse_vocabulary
from demo.tabs.words import TITLES, WordsHandlers


def test_every_data_set_is_offered_with_its_classes():
    lists = WordsHandlers().lists()
    assert {one["name"] for one in lists} == set(TITLES) == set(DATASETS)
    assert len({one["title"] for one in lists}) == len(lists)
    for one in lists:
        assert one["classes"] == dataset_entries()[one["name"]]["classes"]


@pytest.mark.parametrize("name", ["voc20", "coco80", "ade150", "cityscapes", "pc59"])
def test_a_tick_adds_one_class_by_its_name(name):
    for word in dataset_entries()[name]["classes"]:
        assert not set(";|\n") & set(word)  # separators would end the class
        read = parse_vocabulary(f"zebra crossing; {word}")
        assert len(read.class_names) == 2
        assert read.class_names[1] == word.split(",")[0].strip()
