"""One vocabulary in code, page and docs: replaced words do not return (glossary: CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENDS = {".py", ".md", ".js", ".css", ".ipynb"}

REPLACED = {
    r"pixels right": "pixel accuracy",
    r"even[ _]shares?\b|(?:is|be) even\)": "uniform (1/N)",
    r"\bpieces? of (?:a|the|each|every) (?:class|result)": "component",
    r"least confidence": "confidence threshold",
    r"eps: how far|min_samples: how many": "eps (neighbourhood radius), min_samples (minimum neighbours)",
    r"patch(?:es)?(?: \w)? looks? at|what it looks at|who looks at": "attention from, attention to, attends to",
    r"what the model saw": "the model input",
    r": likewise\.?$|\"likewise\"": "say it again, in full",
    r"[\"`](?:here|reused|encoding_reused)[\"`]": "downloaded, encoding_cached, result_cached",
    r"\bdef (?:cuts|lent|look|look_at_\w+|what_it_\w+|is_here|expect_here|expect_room|read_truth)\b": "the glossary",
    r"\bdef (?:noted|stepped|carried)\b": "update_queue_row, apply_change, transfer_changes",
    r"\bdef (?:plainly|for_people|takes_its_time)\b": "errors_as_messages, as_user_errors, without_time_limit",
    r"\bdef left\(self, \w": "cancel_reader",
    r"\b(?:class|import) (?:\w+, )*(?:Shown|Aside)\b": "DisplayState, PlacedFix",
    r"\b(?:asked|look|cut)(?:: \w+[,)|]| = )": "request, attention, view",
    r"\b(?:thing_at|thing_in|loading\.given)\b|\b(?:def )?placed\(": "object_at, object_in_box, describe, to_device",
    r"_Lent[A-Z]|\b_(?:here|there)\b|KEPT_THERE": "local, remote",
    r"\"asked\":": "request",
    r"\b(?:kept_text|read_kept|keptFixes)\b|service[./]kept\b": "history_text, read_history",
    r"(?:service|self)\._?holder\b|\bholder: ModelRegistry": "models, registry",
    r"\b(?:class|import) (?:\w+, )*(?:Asked|Look|Holder|ModelHolder|Kept|Left|Better|Saw|Seen|Cut)\b": "the glossary",
}
"""Patterns of replaced words, each with its replacement."""


def sources() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    found = [ROOT / name for name in listed] or [path for path in ROOT.rglob("*") if ".venv" not in path.parts]
    kept = [path for path in found if path.suffix in ENDS and path.is_file() and path.name != Path(__file__).name]
    return [
        path
        for path in kept
        if path.relative_to(ROOT).parts[0] in {"cliptrase_core", "demo", "docs", "README.md", "app.py"}
    ]


@pytest.mark.parametrize("pattern", REPLACED)
def test_replaced_words_do_not_come_back(pattern):
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line, re.IGNORECASE if pattern.islower() else 0)
    ]
    assert not wrong, f"write {REPLACED[pattern]}: {wrong[:5]}"


RELATIVE = r"(?:what|where|how|who|whoever|whatever|whether|that|those)\b"
"""First words of relative clauses that are used in place of a noun."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring of a file, including those below constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", ())
        for statement in body if isinstance(body, list) else ():  # that of a lambda is an expression
            if isinstance(statement, ast.Expr) and isinstance(text := getattr(statement.value, "value", None), str):
                yield statement.lineno, text


def test_docstrings_begin_with_a_verb_or_a_noun():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if path.suffix == ".py"
        for line, text in docstrings(path)
        if re.match(RELATIVE, text.strip(), re.IGNORECASE) or re.search(rf"^\s+\w+: {RELATIVE} ", text, re.MULTILINE)
    ]
    assert not wrong, f"say what it is or does with a noun or a verb: {wrong[:5]}"


def test_there_are_sources():
    assert len(sources()) > 150
