r"""Parsers for lists of words: JSON, Python, YAML, label maps, numbered lines, tables."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NAMES = ("names", "classes", "labels", "categories", "class_names", "words", "vocabulary")
_NAME_KEYS = ("name", "label", "class", "class_name", "category", "title", "display_name")
_HEADS = frozenset(
    (*_NAMES, *_NAME_KEYS, "id", "idx", "index", "class_id", "label_id", "category_id", "synonyms", "supercategory")
)
_ID_KEY = re.compile(r"-?\d{1,9}|n\d{8}")  # or a WordNet id
# An unclosed string matches too: otherwise each of its quotes would be scanned to the end of the text.
_STRING = r"\"(?:[^\"\\\n]|\\.)*\\?(?:\"|(?=\n)|\Z)|'(?:[^'\\\n]|\\.)*\\?(?:'|(?=\n)|\Z)"
_TOKEN = re.compile(rf"({_STRING})|-?\d+(?:\.\d+)?(?=\s*:)|\b(?:None|True|False)\b|[(){{}}]|,(?=\s*[\])}}])")
_LITERALS = {"None": "null", "True": "true", "False": "false", "(": "[", ")": "]"}
# Text allowed before the bracket: `names = `, `c`, `np.array(`, `const labels: string[] = `.
_ASSIGNED = re.compile(r"[\w .:<>\[\]]{0,80}?(?:[=:]\s*|(?<=[\w])(?=\())(?:[\w.]{1,40}(?=\())?(?=[\[{(])")
_YAML = re.compile(rf"(?:^|(?<=\n))[ \t]*[\"']?(?:{'|'.join(_NAMES)})[\"']?[ \t]*:[ \t]*", re.IGNORECASE)
_LABEL_MAP = re.compile(r"\bitem\s*\{([^{}]*)\}")
_LABEL_MAP_NAME = re.compile(rf"\b(display_)?name\s*:\s*({_STRING})")
_PALETTE_LINE = re.compile(r"([^:\n]+):\d+,\d+,\d+(?::[^\n]*)?")  # CVAT's labelmap.txt
_BULLET = re.compile(r"\s*(?:[-*+>#–—‣◦▪▫●○■□►✓✔☐☑☒•·](?:\s*\[[ xX]?\])?)\s*(?=\S)")  # noqa: RUF001
_NUMBER = re.compile(
    r"\s*(?:[(\[]?(\d{1,5})(?:[.)\]:=\uff0e\uff09](?!\d)\s*|\s*[-–—]\s+|\t)|(\d{1,5})\s+)(?=\S)"  # noqa: RUF001
)
_CIRCLED = re.compile(r"\s*[\u2460-\u2473\u2776-\u277f\u24f5-\u24fe]\s*(?=\S)")
_LETTER = re.compile(r"\s*\(?([A-Za-z])[.)]\s+(?=\S)")
_NUMBER_AFTER = re.compile(r"([^\n]*?[^\s\d:=,])[\s:=,]+(\d{1,5})")
_NUMERIC = re.compile(r"\s*(?:[-+]?\d[\d.,]*%?|#[0-9a-fA-F]{6}|)\s*")


@dataclass
class Listed:
    """Words of a list: the words of each class, and the background words."""

    classes: list[Sequence[str]]
    background: list[str]


def read_list(text: str) -> Listed | None:
    """Return the words of a list written by a program, or None for any other text. Never executes the text."""
    text = text.strip()
    items = [_item_name(item) for item in _LABEL_MAP.findall(text)]
    if items and all(items):
        return Listed([[name] for name in items if name], [])
    under = _YAML.search(text)
    if under and "\n" in text and (under.end() == len(text) or text[under.end()] in "\n[{"):
        return _under_names(text[under.end() :])
    start = re.match(r"[\[{(]", text) or _ASSIGNED.match(text)
    if not start or text.rstrip(" \t\n;,)")[-1:] not in tuple("]})'\""):
        return None
    at = start.end() if start.group() not in ("[", "{", "(") else 0
    value = _as_json(text[at:].rstrip(" \t\n;,"))
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return _found(value[0] if alone and text[at] == "(" else value)  # a bracket for grouping or of a call


def _item_name(item: str) -> str | None:
    """Return the name in an item of a TensorFlow label map; `display_name` has precedence over `name`."""
    names = sorted(_LABEL_MAP_NAME.findall(item), reverse=True)
    return names[0][1][1:-1] if names else None


def _under_names(text: str) -> Listed | None:
    """Return the words under `names:` in a YAML file."""
    if text[:1] in ("[", "{"):
        end = text.find("]" if text[0] == "[" else "}") + 1
        found = _found(_as_json(text[:end]))
        words = re.split(r"[,\n]", text[1 : end - 1])
        return found or Listed([[re.sub(r"^\s*\d+\s*:", "", word).strip(" \"'")] for word in words], [])
    block = []
    for line in text.split("\n")[1:]:
        if line.strip() and not re.match(r"[ \t]|-", line):
            break
        block.append(line)
    lines = without_marks("\n".join(block), []).split("\n")
    return Listed([[line.strip(" \t\"'")] for line in lines if line.strip()], []) if any(lines) else None


def _as_json(text: str) -> Any:
    """Return the value of a literal of JSON, Python, JavaScript or R; None for anything else."""
    for curly in ("{", "["):

        def replaced(match: re.Match[str], curly: str = curly) -> str:
            token = match.group()
            if match.group(1):
                if len(token) < 2 or token[0] != token[-1]:
                    return token
                inside = token[1:-1] if token[0] == '"' else token[1:-1].replace('"', '\\"').replace("\\'", "'")
                return f'"{inside}"'
            if token in ("{", "}"):
                return token if curly == "{" else {"{": "[", "}": "]"}[token]
            return _LITERALS.get(token) or ("" if token == "," else f'"{token}"')

        plain = re.sub(r'"(\s+)"', r'",\1"', _TOKEN.sub(replaced, text))  # numpy prints no commas
        for candidate in (text, plain):
            try:
                return json.loads(candidate)
            except (ValueError, RecursionError):
                continue
    return None


def _found(value: Any, depth: int = 0) -> Listed | None:
    """Return the classes in a JSON value, or None."""
    if isinstance(value, dict) and depth < 3:
        for key in _NAMES:
            inner = _found(value.get(key), depth + 1) if isinstance(value.get(key), (list, dict)) else None
            if inner:
                beside = _found(value.get("background"), depth + 1)
                more = [word for words in beside.classes for word in words] if beside else []
                return Listed(inner.classes, inner.background + more)
        return _of_mapping(value)
    if isinstance(value, list):
        found = [words for words in map(_element, value) if words]
        return Listed(list(found), []) if found else None
    return None


def _element(value: Any) -> Sequence[str]:
    """Return the words of one class."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str) and not re.fullmatch(r"n\d{8}", word)]
    if isinstance(value, dict):
        name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
        return [name, *_element(value.get("synonyms"))] if name else []
    return []


def _of_mapping(value: dict[str, Any]) -> Listed | None:
    """Return the classes of `{"0": "cat"}`, `{"cat": 0}` or `{"cat": ["kitten"]}`."""
    if not value:
        return None
    if all(_ID_KEY.fullmatch(key) for key in value):
        order = sorted(value, key=lambda key: int(key.strip("n"))) if "n" not in "".join(value) else list(value)
        found = [_element(value[key]) for key in order]
    else:
        found = [[key, *_element(words)] for key, words in value.items() if key != "background"]
    more = _element(value.get("background"))
    return Listed([words for words in found if words], list(more)) if any(found) else None


def without_marks(text: str, notes: list[str]) -> str:
    """Remove bullets, numbers or letters that all lines, or all entries of one line, begin or end with.

    In one line a bare number belongs to its words ("1 person; 2 people", "court 1, court 2").
    """
    lines = [line for line in text.split("\n") if line.strip()]
    comments = [line for line in lines if re.match(r"\s*(?:#|//)(?:\s|$)", line)]
    if 0 < len(comments) < len(lines):
        lines = [line for line in lines if line not in set(comments)]
        notes.append("Lines that begin with # or // and a space are taken for remarks.")
        text = "\n".join(lines)
    if len(lines) > 1:
        return "\n".join(_unmarked(lines, notes) or _without_last_number(lines, notes) or lines)
    for sign in ";,":
        entries = text.split(sign)
        found = _unmarked([entry for entry in entries if entry.strip()], notes, bare=False)
        if found:
            return ";".join(found)
    return _one_line(text, notes)


def _one_line(text: str, notes: list[str]) -> str:
    """Split `1. cat 2. dog` or `* cat * dog` into entries."""
    pieces = re.split(r"(?:^|\s)\(?(\d{1,3})[.)]\s+", text)
    numbers, words = pieces[1::2], [piece.strip(" ,;") for piece in pieces[2::2]]
    if len(words) > 1 and not pieces[0].strip() and _rise(numbers) and len(set(words)) == len(words):
        notes.append("Numbers in front of words are left out.")
        return ";".join(words)
    bullet = re.match(r"\s*([-*•‣◦▪●])\s+", text)
    if bullet:
        return ";".join(re.split(rf"\s{re.escape(bullet.group(1))}\s", text[bullet.end() :]))
    return text


def _unmarked(lines: Sequence[str], notes: list[str], bare: bool = True) -> list[str] | None:
    """Return the lines without the marks in front; None if not all have one. A number is a `bare` mark, too."""
    for pattern in (_BULLET, _CIRCLED, _LETTER, _NUMBER):
        marks = [pattern.match(line) for line in lines]
        if len(lines) < 2 or not all(marks):
            continue
        found = [mark for mark in marks if mark]
        rest = [line[mark.end() :].strip() for line, mark in zip(lines, found, strict=True)]
        if len(set(rest)) < len(rest):
            continue
        if pattern is _LETTER and [mark.group(1).lower() for mark in found] != _letters(len(found)):
            continue
        if pattern is _NUMBER:
            numbers = [mark.group(1) or mark.group(2) for mark in found]
            if not _rise(numbers) or (any(mark.group(2) for mark in found) and not (bare and _counts(numbers))):
                continue
            notes.append("Numbers in front of words are left out.")
        return rest
    return None


def _without_last_number(lines: Sequence[str], notes: list[str]) -> list[str] | None:
    """Return the names in `cat 0`, `dog: 1`, or in CVAT's `cat:128,0,0::`; None for other lines."""
    palette = [_PALETTE_LINE.fullmatch(line.strip()) for line in lines]
    if all(palette):
        return [match.group(1) for match in palette if match]
    after = [_NUMBER_AFTER.fullmatch(line.strip()) for line in lines]
    found = [match for match in after if match]
    names = [match.group(1) for match in found]
    if all(after) and _counts([match.group(2) for match in found]) and len(set(names)) == len(names):
        notes.append("Numbers behind words are left out.")
        return names
    return None


def without_numbers(text: str, notes: list[str]) -> str:
    """Remove the columns of numbers and the header of a table (two or more lines with the same number of cells)."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.strip().startswith("|") for line in lines):  # Markdown
        lines = [line.strip().strip("|").replace("|", "\t") for line in lines if not re.fullmatch(r"[\s|:-]+", line)]
    tabs = any("\t" in line.strip() for line in lines)
    if len(lines) < 2 or not (tabs or all("," in line for line in lines)):
        return text
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter="\t" if tabs else ",")]
    except csv.Error:
        return text
    width = max(map(len, rows))
    if tabs:
        rows = [row + [""] * (width - len(row)) for row in rows]  # cells at the end may be missing
    elif any(len(row) != width for row in rows):
        return text
    heads = [cell.casefold().replace(" ", "_") for cell in rows[0]]
    numeric = [c for c in range(width) if all(_NUMERIC.fullmatch(row[c]) for row in rows[1:])]
    headed = all(head in _HEADS for head in heads) or bool(numeric and _HEADS.intersection(heads))
    if not headed:
        numeric = [c for c in numeric if _NUMERIC.fullmatch(rows[0][c])]
    if not (numeric or headed or tabs) or len(numeric) == width:
        return text
    kept = [c for c in range(width) if c not in numeric]
    named = [c for c in kept if headed and heads[c] in _NAME_KEYS]
    kept = named[:1] + [c for c in kept if heads[c] == "synonyms"] if named else kept
    if numeric or headed:
        notes.append(f"Read as a table of {len(rows) - headed} rows: columns of numbers and heads are left out.")
    return "\n".join(", ".join(row[c] for c in kept if row[c]) for row in rows[headed:])


def _rise(numbers: Sequence[str]) -> bool:
    values = [int(number) for number in numbers]
    return all(before < after for before, after in itertools.pairwise(values))


def _counts(numbers: Sequence[str]) -> bool:
    """Return whether the numbers count up from 0 or 1 by one."""
    first = int(numbers[0])
    return first in (0, 1) and [int(number) for number in numbers] == list(range(first, first + len(numbers)))


def _letters(count: int) -> list[str]:
    return [chr(ord("a") + place) for place in range(count)]
