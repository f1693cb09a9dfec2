r"""Parser of words as people type or paste them: detects the layout of a text.

The grammar of `vocabulary` has precedence: a text written in it is read by it. Any other text is read by the first of
these rules that applies. Rules 3 to 7 add a note wherever the user may have meant something else.

1. A text with `;;` is read by the grammar alone, without changes. (`Vocabulary.text` uses it for words that look like a
   layout; users do not type it.)
2. Commas, semicolons, bars and full stops of other scripts, found by their Unicode names, become `,` `;` `|` `.`. A
   typed `\n`, `\r` or `<br>` becomes a new line, a typed `\t` a tab.
3. A list of a program or a file (`word_lists.read_list`): all words are quoted and in brackets, or under `names:`, or
   in `item { }`. Each element is a class; a comma or a list within it separates synonyms.
4. Marks of lists and tables (`word_lists.without_marks`, `without_numbers`) are removed, but only if *every* line, or
   every entry of a text of one line, has one.
5. Quotes around a *whole* entry are removed, and a comma within them separates synonyms. Single quotes count only if
   every entry has them ("rock'n'roll" and "'70s car" are not changed).
6. In one line without `;` and `,`, the first of these that gives two or more parts separates classes: a tab; two or
   more `|`; ` . `, or `. ` in a text that ends with a full stop or has three parts ("St. Bernard" and "U.S. flag" are
   not divided); ` / `, or `/` between words of three letters or more ("24/7 shop" and "AC/DC" are not divided); another
   sign between spaces, twice or more ("tic-tac-toe" has no spaces); `#` before every word; spaces between words of
   scripts that have none within a word (Chinese, Japanese, Thai, ...).
7. In a list, these are removed: a full stop after the last word (not in "Washington D.C."), "and" before it, "etc.".
8. An element of a list or a part of a line that begins with `background:` contains background words.

The time of every rule is proportional to the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cliptrase_core.errors import InputError, counted
from cliptrase_core.results import BACKGROUND
from cliptrase_core.text import word_lists

EXAMPLE = 'Write for example "cat, kitten; dog | background: wall, floor".'
VERBATIM = ";;"
MOST_DOUBTS = 3
"""Limit of notes on single words; further ones would be similar."""

MAX_MARKS = 30
_LINE_ENDS = re.compile("\r\n|[\r\u0085\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # the others are white space
# Control characters except tab and line feed, soft hyphen, bidi marks and isolates, zero-width marks, tag characters.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CODE = re.compile(r"\s*[\[{(]")
_TYPED_LINE, _TYPED_TAB = re.compile(r"(?<!\\)(?:\\+r)?\\+[nr]|<br ?/?>", re.I), re.compile(r"(?<!\\)\\+t")
# The key may be repeated by mistake. It opens an entry, so it follows a separator, the mark of a list, or nothing.
_KEY = re.compile(
    rf"(?:^|(?<=[;,\n]))[ \t]*(?:[-*•][ \t]+)?(?:{BACKGROUND}[ \t]*[:\uff1a][ \t]*)+",
    re.IGNORECASE,
)
_KEY_LINE = re.compile(_KEY.pattern + r"([^\n]*)", re.IGNORECASE)
_BAR = re.compile(rf"\|(?=\s*{BACKGROUND}[ \t]*[:\uff1a])", re.IGNORECASE)
# An opening quote is not allowed as content: otherwise many unclosed quotes would be scanned again and again.
_DOUBLE = r'"(?:[^"\\\n]|\\.)*"|“[^“”\n]*”|„[^„“”\n]*[“”]|«[^«»\n]*»|「[^「」\n]*」|『[^『』\n]*』'
_SINGLE = r"'(?!\d)[^'\n]*'|‘[^‘’\n]*’|`[^`\n]*`|‹[^‹›\n]*›"  # noqa: RUF001
_CSV = r'"(?:[^"\n]|"")*"'  # only here: in a repetition its ambiguity would cost too much time
_ENTRY_QUOTED = re.compile(rf"(?:^|(?<=[,;\n]))[ \t]*({_CSV}|{_DOUBLE})[ \t]*(?=[,;\n]|$)")
_ANY_QUOTED = re.compile(f"{_DOUBLE}|{_SINGLE}")
_ALL_QUOTED = re.compile(rf"[\s,;]*(?:(?:{_DOUBLE}|{_SINGLE})[\s,;]*)+")
_INNER_COMMA = "\x00"  # no text contains it: `clean` removes control characters
_NO_WORDS = re.compile(r"[\d_.:@&#%$\\]")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]|\{([^{}]*)\}|\(([^()]*)\)")
_AND = "(?:and|und|et|&)"
_SIGNS = "·・•–—-+>→~"  # noqa: RUF001
# fmt: off
_ABBREVIATIONS = frozenset((
    "approx", "ave", "blvd", "capt", "co", "col", "corp", "dept", "dr", "etc", "fig", "ft", "gen", "hon", "inc", "jr",
    "lt", "ltd", "max", "min", "mr", "mrs", "ms", "mt", "no", "prof", "rev", "sgt", "sr", "st", "ste", "vol", "vs",
))
# fmt: on
_SPACELESS = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass
class Typed:
    """Parsed text.

    Attributes:
        classes: words of each class as written, some may be empty.
        background: background words as written.
        alone: text of the classes, which may be the name of a data set; empty for a list of a program.
        notes: remarks on the interpretation of the text.
    """

    classes: list[list[str]]
    background: list[str]
    alone: str = ""
    notes: list[str] = field(default_factory=list)


def read_typed(text: str) -> Typed:
    """Parse a text by the rules at the top of this file.

    Args:
        text: output of `clean`.

    Raises:
        InputError: a `|` that is not a separator.
    """
    if VERBATIM in text:
        classes, background = _sections(text)
        return Typed(_by_grammar(_without_bar(classes)), _flat(background))
    text = western(text)
    if not _CODE.match(text):
        text = _TYPED_TAB.sub("\t", _TYPED_LINE.sub("\n", text))
        if _ANY_QUOTED.fullmatch(text.strip()) and re.search("[;|\n]", text.strip()):
            text = _unquoted(text.strip())  # quotes around everything, as in the example of a manual
    classes, background = _sections(text)
    listed = word_lists.read_list(classes)
    if listed:
        typed = Typed([_listed(words) for words in listed.classes], [*_listed(listed.background), *_flat(background)])
    else:
        typed = Typed([], _flat(background), alone=classes)
        typed.classes = list(_by_layout(classes, typed.notes, bar=_BAR.search(text) is not None))
    _take_background(typed)
    return typed


def clean(text: str) -> str:
    """Convert to NFC, line ends to "\\n", other white space except tabs to " "; remove invisible characters.

    Raises:
        InputError: half a character, or a long run of accents.
    """
    if odd := _SURROGATES.search(text):  # removed, it would change the word
        part = text[max(0, odd.start() - 20) : odd.end() + 20].encode("utf-8", "backslashreplace").decode()
        remedy = "Type them again, or save them as UTF-8; a terminal needs LC_ALL=C.UTF-8 for other letters."
        raise refuse("words in UTF-8", f"other bytes: {quoted(part)}", remedy)
    text = re.sub(r"[^\S\n\t]", " ", _LINE_ENDS.sub("\n", text))
    _expect_few_marks(text)
    # NFC comes before splitting: it makes a separator of U+037E, the Greek question mark.
    return unicodedata.normalize("NFC", _UNWANTED.sub("", text))


def removed_controls(text: str) -> list[str]:
    """Return a note if `clean` removes control characters of a text; invisible marks of typing need none."""
    count = len(_CONTROLS.findall(text))
    return [f"Removed {counted(count, 'control character')} from the words: check their spelling."] if count else []


def _expect_few_marks(text: str) -> None:
    """Raise InputError for long runs of combining marks: NFC sorts each run, which takes a minute for 100,000 marks.

    Unicode's Stream-Safe Text Format allows 30 in a row (UAX 15, section 13); no language uses more than five.
    """
    marks = 0
    for sign in "" if text.isascii() else text:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        if marks > MAX_MARKS:
            raise refuse(f"at most {MAX_MARKS} accents and marks on one letter", "more", "Type the word again.")


def western(text: str) -> str:
    """Replace commas, semicolons, bars and full stops of other scripts by those of ASCII."""
    table = {ord("\uff5c"): "|", ord("\u2758"): "|"}
    for sign in set(text):
        if sign > "\x7f" and unicodedata.category(sign) == "Po":
            name = unicodedata.name(sign, "")
            for word, plain in (("SEMICOLON", ";"), ("COMMA", ","), ("FULL STOP", ". "), ("DANDA", ". ")):
                if word in name:
                    table[ord(sign)] = plain
    return text.translate(table)


def refuse(expected: str, got: str, remedy: str) -> InputError:
    """Return the error for an invalid vocabulary."""
    return InputError("vocabulary", expected=expected, got=got, remedy=remedy)


def quoted(text: str) -> str:
    """Return words as shown in messages: shortened, in quotes."""
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= 40 else f'"{text[:40]}..."'


def _sections(text: str) -> tuple[str, str]:
    """Return the text of the classes and the text of the background words, without the keys."""
    class_text, *rest = _BAR.split(text)
    if len(rest) > 1:
        raise refuse("at most one |", str(text.count("|")), f"Put all background words after one |. {EXAMPLE}")
    background = [line.group(1) for line in _KEY_LINE.finditer(class_text)] + rest
    return _KEY_LINE.sub("", class_text).strip(), "\n".join(_KEY.sub("", _without_bar(part)) for part in background)


def _without_bar(part: str) -> str:
    if "|" in part:
        raise refuse(f'"{BACKGROUND}:" after |', quoted(part.partition("|")[2]), EXAMPLE)
    return part


def _take_background(typed: Typed) -> None:
    """Apply rule 8: move the words of a class from a key on to the background words."""
    for words in typed.classes:
        first = next((index for index, word in enumerate(words) if _KEY.match(word)), len(words))
        typed.background += [_KEY.sub("", word) for word in words[first:]]
        del words[first:]


def _by_layout(text: str, notes: list[str], *, bar: bool) -> Iterator[list[str]]:
    """Yield words of each class by rules 4 to 7. With `bar` (before the background), other bars separate classes."""
    text = word_lists.without_numbers(word_lists.without_marks(text, notes), notes).strip()
    wrapped = _BRACKETS.fullmatch(text)
    if wrapped and re.search(r"[;,\n]", text):
        text = text[1:-1].strip()
    text = _without_quotes(text, notes)
    if text.count("|") < (1 if bar else 2):
        _without_bar(text)
    if not re.search(r"[;,\n]", text):
        parts, sign = _parts(text, bars=1 if bar else 2)
        if len(parts) > 1:
            named = [" ".join(part.split()) for part in parts if not _KEY.match(part)]
            shown = "; ".join(named[:4]) + ("; ..." if len(named) > 4 else "")
            if len(named) > 1:
                notes.append(f"Read as {len(named)} classes, separated by {sign}: {shown}")
            yield from ([part.replace("|", " ")] for part in parts)
            return
    _doubts(text, notes)
    entries = [entry for entry in _by_grammar(_without_bar(text)) if any(word.strip() for word in entry)] or [[]]
    yield from entries[:-1]
    yield _last(entries[-1], after_comma=not re.search(r"[;\n]", text)) if len(entries) > 1 else entries[-1]


def _by_grammar(class_text: str) -> list[list[str]]:
    if re.search(r"[;\n]", class_text):
        return [entry.split(",") for entry in re.split(r"[;\n]", class_text)]
    return [[word] for word in class_text.split(",")]


def _listed(words: Iterable[str]) -> list[str]:
    """Return the words of a program's list, cleaned again, because an escape can produce any character."""
    return re.sub(r"[;|\n]", " ", western(clean(",".join(words)))).split(",")


def _flat(background: str) -> list[str]:
    """Return the background words of a text with any separators."""
    found = word_lists.read_list(background)
    if found:
        return [word for words in found.classes for word in _listed(words)]
    text = word_lists.without_marks(background, [])
    quotes = _ANY_QUOTED if _ALL_QUOTED.fullmatch(text) else _ENTRY_QUOTED
    return re.split(r"[;,\n]", quotes.sub(lambda match: _unquoted(match.group().strip()), text))


def _unquoted(string: str) -> str:
    inside = string[1:-1]
    return re.sub(r'\\(.)|"(")', r"\1\2", inside) if string[0] == '"' else inside


def _without_quotes(text: str, notes: list[str]) -> str:
    """Apply rule 5: remove quotes around whole entries."""

    def kept(string: str) -> str:
        return re.sub(r"[;|\n]", " ", _unquoted(string)).replace(",", _INNER_COMMA)

    if _ALL_QUOTED.fullmatch(text):
        text = _ANY_QUOTED.sub(lambda match: "," + kept(match.group()) + ",", text)  # maybe only spaces between them
        text = "\n".join(";".join(entry.strip(" \t,") for entry in line.split(";")) for line in text.split("\n"))
    else:
        text = _ENTRY_QUOTED.sub(lambda match: kept(match.group(1)), text)
    if _INNER_COMMA not in text:
        return text.strip(" ,")
    notes.append("A comma within quotes separates synonyms of one class; between quotes it separates classes.")
    if not re.search(r"[;\n]", text):
        text = text.strip(" ,").replace(",", ";") + ";"
    return text.replace(_INNER_COMMA, ",")


def _parts(text: str, bars: int = 2) -> tuple[list[str], str]:
    """Return the classes in a text without `;`, `,` and new lines, and the name of their separator; rule 6."""
    rules = (
        (_cut(r"\t", text), "tabs"),
        (_cut(r"\|", text, bars), "|"),
        (_by_full_stops(text), "full stops"),
        (_by_slashes(text), "/"),
        *((_cut(rf"\s{re.escape(sign)}\s", text, 1 if sign in "+•" else 2), sign) for sign in _SIGNS if sign in text),
        *((_cut(sign, text, 2), sign) for sign in "·・" if sign in text),
        (_by_hashes(text), "#"),
        (text.split() if _is_spaceless(text) else [], "spaces"),
    )
    return next(((parts, sign) for parts, sign in rules if len(parts) > 1), ([text], ""))


def _cut(pattern: str, text: str, least: int = 1) -> list[str]:
    """Split by a pattern and return the parts that are not empty; [] if it occurs less than `least` times."""
    parts = re.split(pattern, text)
    return [part for part in parts if part.strip()] if len(parts) > least else []


def _by_full_stops(text: str) -> list[str]:
    spaced = _cut(r"\s\.(?=\s|$)", text)
    if len(spaced) > 1:
        return [part.strip(" .") for part in spaced if part.strip(" .")]
    parts: list[str] = []
    open_part = False
    for piece in re.split(r"\.\s+", text.rstrip(". ")):
        if open_part:
            parts[-1] += f". {piece}"
        else:
            parts.append(piece)
        open_part = _shortened(piece)
    closed = text.rstrip().endswith(".")
    return [part for part in parts if part.strip()] if len(parts) > (1 if closed else 2) else []


def _shortened(piece: str) -> bool:
    """Return whether a full stop after the text belongs to its last word: an abbreviation, an initial, a number."""
    last = (piece.split() or [""])[-1]
    initial = len(last) == 1 and last.lower() != last.upper()
    return "." in last or initial or last.isdigit() or last.casefold() in _ABBREVIATIONS


def _by_slashes(text: str) -> list[str]:
    spaced = _cut(r"\s[/\uff0f]\s", text)
    if len(spaced) > 1:
        return spaced
    parts = [part.strip() for part in re.split(r"[/\uff0f]", text)]
    words = all(part and not _NO_WORDS.search(part) for part in parts)
    return parts if words and all(len(part.split()[0]) > 2 or _is_spaceless(part) for part in parts) else []


def _by_hashes(text: str) -> list[str]:
    words = text.split() if text.startswith("#") else []
    return [word[1:] for word in words] if all(len(word) > 1 and word[0] == "#" for word in words) else []


def _is_spaceless(text: str) -> bool:
    letters = {letter for letter in text if letter.isalpha()}
    return bool(letters) and all(unicodedata.name(letter, "").startswith(_SPACELESS) for letter in letters)


def _doubts(text: str, notes: list[str]) -> None:
    """Add notes on text that the user may have meant in another way than the grammar reads it."""
    words = re.split(r"[;,\n]", text)
    doubted = [word for word in words if re.search(r"[/|.·・•+>~\t]", word)][:100]
    doubted = [word for word in doubted if len(words) > 1 and len(_parts(word)[0]) > 1]
    if "," in text and not re.search(r"[;\n]", text) and re.search(rf"\S\s+{_AND}\s+\S", words[-1], re.IGNORECASE):
        doubted.append(words[-1])  # "cat, dog and bird", but "black and white cow" is one word
    for word in doubted[: max(0, MOST_DOUBTS - len(notes))]:
        notes.append(f"{quoted(word)} is read as one word. Separate classes by ; and synonyms by a comma.")
    for line in text.split("\n")[:-1]:
        first, *others = [word for word in line.split(",") if word.strip()] or [""]
        if others and line.rstrip().endswith(","):
            notes.append(f"Each line is one class: {quoted(others[0])} is a synonym of {quoted(first)}.")
            return


def _last(words: list[str], *, after_comma: bool) -> list[str]:
    """Apply rule 7 to the last class of several."""
    *others, last = [word.strip() for word in words if word.strip()]
    if last.endswith(".") and not _shortened(last.rstrip(". ")):
        last = last.rstrip(". ")
    if after_comma:
        last = re.sub(rf"^{_AND}\s+(?=\S)", "", last, flags=re.IGNORECASE)
    return [*others, *([] if last.rstrip(".").casefold() in ("etc", "\u2026") else [last])]
