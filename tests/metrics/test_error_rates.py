"""Word and character error rates: the figures, the change, and what they need."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics.character_error_rate import CharacterErrorRate
from pipeline.metrics.error_rate import ErrorRate
from pipeline.metrics.word_error_rate import WordErrorRate
from tests.metrics.judged import judged, value

LABELS = np.array(["the cat sat on the mat", "good morning", "yes", ""])
TOLD = np.array(["the cat  sat on mat", "god morning to you", "yes", "no"])


@pytest.mark.parametrize(
    ("metric", "errors", "length"),
    [
        (WordErrorRate(), 1 + 3 + 0 + 1, 6 + 2 + 1 + 0),  # a deletion; a substitution, two insertions; an insertion
        (CharacterErrorRate(), 5 + 8 + 0 + 2, 22 + 12 + 3 + 0),  # "␣" in, "the␣" out … ; "o" out, "␣to␣you" in
    ],
)
def test_the_figure_is_the_errors_of_all_texts_over_the_length_of_all_labels(
    metric: ErrorRate, errors: int, length: int
) -> None:
    assert value(metric, TOLD, LABELS) == pytest.approx(errors / length)


def test_each_token_number_counts_and_the_filling_does_not() -> None:
    labels = np.array([[4, 5, 6, -1], [-1, -1, -1, -1]], np.float64)
    told = np.array([[4, 6, -1, -1, -1], [-1, -1, -1, -1, -1]])
    assert value(WordErrorRate(), told, labels) == pytest.approx(1 / 3)


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, (300, 12)).astype(np.float64)
    better, worse = (np.where(rng.random(labels.shape) < part, 20, labels).astype(np.int64) for part in (0.05, 0.25))
    found = judged(WordErrorRate(), better, worse, labels)
    assert found.delta_low is not None
    assert found.delta_high is not None
    assert (found.unit, found.verdict) == ("error", "FAILS MARGIN")
    assert found.delta_low < -0.2 < found.delta_high < 0
    assert judged(WordErrorRate(), worse, better, labels).verdict == "IMPROVED"
    assert judged(WordErrorRate(), better, better, labels).delta == 0


def test_scores_and_class_labels_are_told_with_what_to_type() -> None:
    with pytest.raises(UserError, match=r"output 0 is float32 \[2, 5, 4\]: type postprocessing=ctc"):
        WordErrorRate().predictions([np.zeros((2, 5, 4), np.float32)])
    with pytest.raises(UserError, match=r"the labels are int64 \[4\]: type data\.label_kind=texts"):
        WordErrorRate().judging.value(TOLD, np.zeros(4, np.int64))


def test_a_missing_package_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(UserError, match=r"needs rapidfuzz, which is not installed: install the extra metrics"):
        WordErrorRate().fitted({"texts": TOLD})
