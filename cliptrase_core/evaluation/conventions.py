"""What numbers in the masks of published data sets mean, in each of the ways in which they are kept."""

from __future__ import annotations

from cliptrase_core.evaluation.numbers import Numbers

# Cityscapes' own label ids to the 19 classes that are scored.
_CITY_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITY = Numbers(
    ignored=tuple(number for number in (*range(35), 255) if number not in _CITY_IDS),
    single={number: label for label, number in enumerate(_CITY_IDS)},
)

ZERO_IS_NOTHING = Numbers(first=1, ignored=(0, 255))
ZERO_IS_BACKGROUND = Numbers(first=1, background=(0,))
PLAIN = Numbers()
BITS_16 = Numbers(ignored=(65535,))
# Quirk B2: what is background and what is void cannot be told apart, both are scored as background.
VOID_IS_BACKGROUND = Numbers(ignored=(), background=(255,))
# COCO's stuff is background of its things; its quirk B1 scores "banner" and void as background, other stuff not.
STUFF_IS_BACKGROUND = Numbers(background=tuple(range(80, 171)))
ALL_ELSE_IS_BACKGROUND = Numbers(ignored=(), background=(*range(80, 171), 255))  # SCLIP's cvt_coco_object.py
B1 = Numbers(ignored=tuple(range(81, 171)), background=(80, 255))
# As COCO-Stuff is published: ids less one, 0 to 181 with eleven that are not used (github.com/nightrome/cocostuff).
_RAW_COCO = tuple(n for n in range(182) if n not in (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90))
RAW_STUFF = Numbers(single={number: label for label, number in enumerate(_RAW_COCO)})
_RAW_THINGS = {number: label for label, number in enumerate(_RAW_COCO[:80])}
RAW_OBJECTS = Numbers(background=_RAW_COCO[80:], single=_RAW_THINGS)
RAW_ALL_ELSE = Numbers(ignored=(), background=(*_RAW_COCO[80:], 255), single=_RAW_THINGS)
