from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analyse import analyse
from pipeline.analyse.accuracy import accuracies, runtime_remarks
from pipeline.data.dataset import IGNORED
from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.results.report import Report
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


def _against_baseline(
    predictions: NDArray[Any], baseline: NDArray[Any], labels: NDArray[Any] | None = None, **likeness: Any
) -> Accuracy:
    samples = AccuracySamples(
        labels=labels,
        predictions={"baseline@ort_cpu": baseline, "other@ort_cpu": predictions},
        metric="accuracy",
        likeness={"other@ort_cpu": likeness},
    )
    return accuracies(samples, Constraints(), MeasureSettings())["other@ort_cpu"]


@pytest.mark.parametrize(
    ("relative", "changed", "verdict"),
    [(1e-6, 0, "EQUAL"), (1e-3, 0, "EQUAL"), (2e-3, 0, "UNDECIDED"), (None, 0, "UNDECIDED"), (1e-6, 1, "UNDECIDED")],
)
def test_outputs_that_are_the_baselines_are_equal_whatever_the_number_of_examples(
    relative: float | None, changed: int, verdict: str
) -> None:
    classes = np.arange(20) % 4
    other = classes.copy()
    other[:changed] += 1
    for labels in (classes, None):
        found = _against_baseline(other, classes, labels, relative=relative)
        assert found.verdict == verdict
        assert (found.n_to_decide is None) == (verdict == "EQUAL")
    assert _against_baseline(_vectors(0.0, 5), _vectors(0.0, 5), relative=1e-6).verdict == "EQUAL"


def test_several_classes_an_example_are_classes_and_no_vectors() -> None:
    classes = np.random.default_rng(0).integers(0, 5, (400, 5))
    found = _against_baseline(classes, classes)
    assert (found.metric, found.value, found.verdict) == ("agreement", 1.0, "NO MEANINGFUL DROP")
    with_others = _against_baseline(classes, classes, labels=np.zeros(400, np.int64))
    assert (with_others.metric, with_others.value) == ("agreement", 1.0)


def test_a_taggers_accuracy_counts_each_example_as_a_cluster() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (300, 10))
    labels[:, 8:] = IGNORED
    whole = (
        rng.random(300) < 0.2
    )  # whole sentences are wrong: the interval is that of 300 examples, not of 2,400 tokens
    predictions = np.where(whole[:, None] | (rng.random((300, 10)) < 0.02), 3, labels)
    found = _against_baseline(predictions, labels, labels)
    right = (predictions == labels)[:, :8].mean(axis=1)
    assert found.value == pytest.approx(right.mean())
    assert found.n == 300
    half = 1.96 * right.std() / np.sqrt(300)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
    assert (found.verdict, found.p) == ("FAILS MARGIN", None)


def test_a_variant_whose_outputs_depend_on_the_runtime_is_told() -> None:
    def likeness(cosine: float) -> dict[str, Any]:
        return {"elsewhere": {"against": "int8@ort_cpu", "relative": 0.5, "cosine": cosine}}

    samples = AccuracySamples(
        labels=None,
        predictions={},
        metric="cosine",
        likeness={"int8@openvino_cpu": likeness(0.72), "fp16@openvino_cpu": likeness(0.9999)},
    )
    found = runtime_remarks(samples)
    assert list(found) == ["int8@openvino_cpu"]
    assert found["int8@openvino_cpu"].startswith("its outputs depend on the runtime: they are others than on ort_cpu")
    assert "cosine of the two is 0.720" in found["int8@openvino_cpu"]
