"""The report's words are those of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.report.sections.meanings import WORDS, meanings
from tests.report.example import typical

PAGE = Path(__file__).parents[2] / "docs" / "measurement.md"


def test_every_word_of_the_report_is_in_the_glossary_of_the_documentation() -> None:
    glossary = re.findall(r"^\| \*\*(\w+)\*\* \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(WORDS) <= set(glossary)


def test_the_report_tells_its_words_after_its_verdicts() -> None:
    verdicts, words = meanings(typical()).parts[0].facts
    assert "FASTER" in dict(verdicts.pairs)
    assert words.title == "Words"
    assert [word for word, _ in words.pairs] == list(WORDS)
