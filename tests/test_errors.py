"""Messages of errors: a given value is shown in words that a reader who does not program understands; counts."""

import functools
import itertools

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError, counted, expect_one_of
from cliptrase_core.options import SegmentOptions


class Own:
    """Class without a repr of its own."""


@pytest.mark.parametrize(
    ("got", "shown"),
    [
        ("None", "nothing"),
        ("NoneType", "nothing"),
        ("an entry of type NoneType", "nothing"),
        (repr(np.float32(224)), "224.0"),
        (repr((np.int64(3), np.float16(-0.5), np.bool_(True))), "(3, -0.5, True)"),
        (repr(np.float64("nan")), "nan"),
        (repr(word for word in "ab"), "a generator"),
        (repr(word for word in "ab")[:40], "a generator"),
        (repr(Own()), "an Own"),
        (repr(lambda: 3), "a function"),
        (repr(Image.new("RGB", (2, 2))), "an Image"),
        (repr(functools.partial(print, 3)), "functools.partial(<built-in function print>, 3)"),
        ("'None'", "'None'"),
        ("<b>", "<b>"),
        ("'<img src=x> at 0x'", "'<img src=x> at 0x'"),
        ("None of these", "None of these"),
        ("int", "int"),
    ],
    ids=itertools.count(),  # values with addresses would name a test differently in each process
)
def test_given_values_are_shown_without_words_of_python(got, shown):
    assert str(InputError("x", expected="y", got=got, remedy="Z.")) == f"x: expected y, got {shown}. Z."


def test_a_name_that_is_almost_known_is_asked_about():
    with pytest.raises(InputError, match=r"method: .* got 'CLIP'. Did you mean clip\?"):
        SegmentOptions(method="CLIP")
    with pytest.raises(InputError, match=r"got 'gerade'. Pick one\."):
        expect_one_of("kind", "gerade", ("cat", "dog"))
    for wrong in ("Cat", "catt"):
        with pytest.raises(InputError, match=r"Did you mean cat\?"):
            expect_one_of("kind", wrong, ("cat", "dog"))
    with pytest.raises(InputError, match=r"got 3. Pick one\."):
        expect_one_of("kind", 3, ("cat", "dog"))


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [(0, ("fix", "fixes"), "0 fixes"), (1, ("fix", "fixes"), "1 fix"), (2, ("is", "are"), "2 are"),
     (1, ("region",), "1 region"), (3, ("region",), "3 regions")],
)  # fmt: skip
def test_a_number_goes_with_its_word(count, words, text):
    assert counted(count, *words) == text
