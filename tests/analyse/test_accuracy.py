from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analyse import analyse
from pipeline.analyse.accuracy import accuracies
from pipeline.plan import Constraints, MeasureSettings
from pipeline.record import AccuracySamples
from pipeline.results import Accuracy, Report
from tests.analyse.synthetic import BASELINE_RIGHT, EXAMPLES, Made, make_record


def _accuracy(report: Report, variant: str) -> Accuracy | None:
    return next(entry for entry in report.variants if entry.name == variant).results[0].accuracy


def _judged(*variants: Made, constraints: Constraints | None = None, labelled: bool = True) -> Accuracy:
    found = _accuracy(analyse(make_record(*variants, constraints=constraints, labelled=labelled)), variants[0].name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"),
    [
        (100, 20, "IMPROVED"),
        (50, 55, "NO MEANINGFUL DROP"),
        (5, 40, "SMALL REAL DROP"),
        (50, 600, "FAILS MARGIN"),
        (50, 140, "DROP"),
        (600, 640, "UNDECIDED"),
    ],
)
def test_each_verdict_follows_from_its_flips(gained: int, lost: int, verdict: str) -> None:
    found = _judged(Made(name="other", gained=gained, lost=lost))
    assert found.verdict == verdict
    assert found.value == (BASELINE_RIGHT + gained - lost) / EXAMPLES
    assert found.delta == pytest.approx((gained - lost) / EXAMPLES)
    assert found.flips == gained + lost
    assert (found.n_to_decide is not None) == (verdict == "UNDECIDED")


def test_the_margin_is_one_percent_of_the_baselines_accuracy_unless_config_says_otherwise() -> None:
    assert _judged(Made(name="other")).margin == pytest.approx(0.01 * BASELINE_RIGHT / EXAMPLES)
    lost = Made(name="other", lost=150)
    assert _judged(lost).verdict == "FAILS MARGIN"
    assert _judged(lost, constraints=Constraints(max_accuracy_drop=0.05)).verdict == "SMALL REAL DROP"


def test_the_baseline_has_an_accuracy_with_an_interval_and_no_difference() -> None:
    found = _accuracy(analyse(make_record(Made(name="other"))), "baseline")
    assert found is not None
    assert found.low < found.value == BASELINE_RIGHT / EXAMPLES < found.high
    assert [found.delta, found.p, found.verdict] == [None] * 3


def test_without_labels_agreement_with_the_baseline_is_judged() -> None:
    record = make_record(Made(name="other", gained=30, lost=30), labelled=False)
    found = _accuracy(analyse(record), "other")
    assert found is not None
    assert (found.metric, found.value, found.flips) == ("agreement", 1 - 60 / EXAMPLES, 60)
    assert found.delta == pytest.approx(-60 / EXAMPLES)
    assert found.verdict == "SMALL REAL DROP"
    assert _accuracy(analyse(record), "baseline") is None


def test_p_is_corrected_over_all_variants_of_the_run() -> None:
    alone = _judged(Made(name="other", gained=10, lost=30)).p
    among_two = _judged(Made(name="other", gained=10, lost=30), Made(name="same", gained=5, lost=5)).p
    assert alone is not None
    assert among_two == pytest.approx(2 * alone)


def test_without_the_baseline_there_is_an_accuracy_and_no_difference() -> None:
    record = make_record(Made(name="other", lost=20))
    only = {"other@ort_cpu": record.accuracy.predictions["other@ort_cpu"]}
    found = _accuracy(analyse(replace(record, accuracy=replace(record.accuracy, predictions=only))), "other")
    assert found is not None
    assert found.value == (BASELINE_RIGHT - 20) / EXAMPLES
    assert found.verdict is None


def test_the_front_holds_the_rows_that_no_other_beats_on_both_accuracy_and_latency() -> None:
    report = analyse(
        make_record(
            Made(name="fast", times_as_fast=2.0, lost=50),
            Made(name="faster", times_as_fast=3.0, lost=500),
            Made(name="beaten", times_as_fast=1.5, lost=60),
            Made(name="slow", times_as_fast=0.5),
        )
    )
    front = {variant.name for variant in report.variants if variant.results[0].pareto}
    assert front == {"baseline", "fast", "faster"}


def test_without_labels_the_baseline_is_on_the_front_as_fully_accurate() -> None:
    report = analyse(make_record(Made(name="slow", times_as_fast=0.5, lost=5), labelled=False))
    assert [variant.results[0].pareto for variant in report.variants] == [True, False]


def _vectors(noise: float, rows: int = 500) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(rows, 32))
    return (vectors + noise * np.random.default_rng(1).normal(size=vectors.shape)).astype(np.float32)


def _similar(noise: float, **constraints: float) -> Accuracy:
    samples = AccuracySamples(
        labels=None,
        predictions={"baseline@ort_cpu": _vectors(0.0), "other@ort_cpu": _vectors(noise)},
        metric="cosine",
    )
    found = accuracies(samples, Constraints(**constraints), MeasureSettings())
    assert list(found) == ["other@ort_cpu"]
    return found["other@ort_cpu"]


@pytest.mark.parametrize(
    ("noise", "verdict"), [(0.0, "NO MEANINGFUL DROP"), (0.05, "NO MEANINGFUL DROP"), (0.3, "FAILS MARGIN")]
)
def test_vectors_are_held_against_the_baselines_by_their_cosine(noise: float, verdict: str) -> None:
    found = _similar(noise)
    assert found.verdict == verdict
    assert found.metric == "cosine"
    assert found.low <= found.value <= found.high <= 1
    # The cosine of a vector with noise of that relative size, on average.
    assert found.value == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.01)
    assert found.delta == found.value - 1
    assert found.margin == 0.01


def test_the_margin_of_a_cosine_is_the_constraint() -> None:
    assert _similar(0.3, max_accuracy_drop=0.1).verdict == "NO MEANINGFUL DROP"


def test_with_a_reference_target_the_baseline_elsewhere_is_judged_too() -> None:
    labels = np.arange(1000) % 10
    wrong = labels.copy()
    wrong[:200] = 11
    samples = AccuracySamples(
        labels=labels, predictions={"baseline@ort_cpu": labels, "baseline@half": wrong}, metric="accuracy"
    )
    apart = accuracies(samples, Constraints(), MeasureSettings())
    assert apart["baseline@half"].verdict is None
    together = accuracies(samples, Constraints(), MeasureSettings(reference="baseline@ort_cpu"))
    assert together["baseline@ort_cpu"].verdict is None
    assert together["baseline@half"].verdict == "FAILS MARGIN"
