"""What a variant answers differently than the baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.analyse import analyse
from pipeline.data.dataset import IGNORED
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections.flips import flips as section_of
from pipeline.results.flips import MOST, ClassFlips, Confusion, Flip, Flips
from pipeline.results.record import AccuracySamples, Record
from tests.analyse.synthetic import Made, make_record

NAMES = ["cat", "dog", "owl"]


def judged(labels: list[int], before: list[int], after: list[int]) -> Record:
    """A run whose variant gave these answers."""
    record = make_record(Made(name="small"))
    predictions = {"baseline@ort_cpu": np.array(before), "small@ort_cpu": np.array(after)}
    samples: AccuracySamples = replace(record.accuracy, predictions=predictions, labels=np.array(labels))
    return replace(record, accuracy=samples, class_names=NAMES)


def test_flipped_examples_are_told_by_class_by_confusion_and_one_by_one() -> None:
    record = judged(labels=[0, 0, 1, 1, 2, 2], before=[0, 0, 1, 0, 0, 2], after=[1, 0, 1, 1, 1, 2])
    assert analyse(record).flips == [
        Flips(
            variant="small",
            target="ort_cpu",
            gained=1,
            lost=1,
            wrong_in_both=1,
            classes=[ClassFlips(label="cat", gained=0, lost=1), ClassFlips(label="dog", gained=1, lost=0)],
            confusions=[
                Confusion(label="cat", before="cat", after="dog", count=1),
                Confusion(label="dog", before="cat", after="dog", count=1),
                Confusion(label="owl", before="cat", after="dog", count=1),
            ],
            examples=[
                Flip(example=0, label="cat", before="cat", after="dog"),
                Flip(example=3, label="dog", before="cat", after="dog"),
                Flip(example=4, label="owl", before="cat", after="dog"),
            ],
        )
    ]


def test_they_are_as_many_as_the_row_says_and_its_change_is_their_balance() -> None:
    report = analyse(make_record(Made(name="small", gained=30, lost=50)))
    [found] = report.flips
    [row] = next(variant for variant in report.variants if variant.name == "small").results
    accuracy: Any = row.accuracy
    assert found.gained + found.lost == accuracy.flips
    assert (found.gained - found.lost) / accuracy.n == accuracy.delta
    assert sum(each.count for each in found.confusions) <= found.gained + found.lost + found.wrong_in_both
    assert len(found.examples) == MOST


def test_a_label_that_is_not_judged_and_one_without_a_name() -> None:
    record = judged(labels=[0, IGNORED, 3], before=[0, 1, 3], after=[0, 0, 0])
    [found] = analyse(record).flips
    assert [(each.example, each.label, each.after) for each in found.examples] == [(2, "3", "cat")]


def test_equal_answers_and_examples_without_labels_have_no_section() -> None:
    same = analyse(judged(labels=[0, 1], before=[0, 0], after=[0, 0]))
    without = analyse(make_record(Made(name="small", lost=9), labelled=False))
    assert (same.flips, section_of(same)) == ([], None)
    assert (without.flips, section_of(without)) == ([], None)


def test_each_answer_tells_how_sure_the_model_is_of_it() -> None:
    record = judged(labels=[0, 1], before=[0, 0], after=[1, 0])
    sureness = {"baseline@ort_cpu": np.array([0.51, 0.9], np.float32), "small@ort_cpu": np.array([np.nan, 0.9])}
    [found] = analyse(replace(record, accuracy=replace(record.accuracy, sureness=sureness))).flips
    [flip] = found.examples
    assert flip.before_sure == pytest.approx(0.51)
    assert flip.after_sure is None
    assert "cat (51 %)" in markdown_text(analyse(replace(record, accuracy=replace(record.accuracy, sureness=sureness))))


def test_the_section_says_what_was_gained_and_lost() -> None:
    text = markdown_text(analyse(judged(labels=[0, 0, 1], before=[0, 0, 0], after=[1, 0, 1])))
    assert "### small on ort_cpu: 2 flipped" in text
    assert "1 gained, 1 lost." in text
    assert "| cat | 0 | 1 | −1 |" in text
    assert "| test example 0 | cat | cat | dog |" in text
