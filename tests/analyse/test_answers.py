"""The answers of a search: what is proven, what is likely, and that each is another row."""

from __future__ import annotations

from dataclasses import replace

from pipeline.analyse import analyse
from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.answers import Answer
from pipeline.results.record import Record
from tests.analyse.searched import TESTED, drift, searched, trial
from tests.analyse.synthetic import Made, make_record

BF16 = Made(name="bf16", times_as_fast=2.0, gained=10, lost=12, size_bytes=1_000_000)
INT8 = Made(name="int8", times_as_fast=4.0, gained=560, lost=592, size_bytes=270_000)
"""Its accuracy is open: many examples flip, and few are lost."""
SMALL = Made(name="small", times_as_fast=1.1, gained=5, lost=9, size_bytes=250_000)
RIGHT = Made(name="right", times_as_fast=1.7, gained=40, lost=0, size_bytes=990_000)


def told(record: Record) -> dict[str, Answer]:
    return {answer.kind: answer for answer in analyse(record).answers}


def test_a_run_without_a_search_has_no_answers() -> None:
    assert analyse(make_record(BF16, INT8)).answers == []


def test_the_recommendation_is_over_all_targets_and_is_the_first_answer() -> None:
    report = analyse(searched({"openvino_cpu_bf16": BF16, "ort_cpu": SMALL}))
    assert report.recommendation is not None
    assert (report.recommendation.variant, report.recommendation.target) == ("bf16", "openvino_cpu_bf16")
    first = report.answers[0]
    assert (first.kind, first.variant, first.target) == ("fastest", "bf16", "openvino_cpu_bf16")
    assert first.sentence.startswith("bf16 on openvino_cpu_bf16 is 1.999x [1.998, 2.000], with no meaningful drop")
    assert first.accuracy is not None
    assert not report.faults


def test_a_baseline_that_is_faster_on_another_runtime_is_recommended_there() -> None:
    record = make_record(
        targets={"ort_cpu": "cpu", "openvino_cpu": "cpu"},
        target_speed={"openvino_cpu": 1.5},
        measure=MeasureSettings(reference="baseline@ort_cpu"),
    )
    report = analyse(replace(record, search=searched({}).search))
    assert report.recommendation is not None
    assert (report.recommendation.variant, report.recommendation.target) == ("baseline", "openvino_cpu")
    assert report.recommendation.why.startswith(
        "baseline on openvino_cpu is 1.500 times as fast as the baseline on ort_"
    )
    assert "with no meaningful drop of accuracy" in report.summary


def test_a_faster_row_whose_accuracy_is_open_is_likely_with_the_examples_that_would_decide() -> None:
    report = analyse(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": INT8}))
    likely = next(answer for answer in report.answers if answer.kind == "likely")
    accuracy = next(row for row in report.variants if row.name == "int8").results[0].accuracy
    assert accuracy is not None
    assert accuracy.n_to_decide is not None
    assert likely.examples == accuracy.n_to_decide - accuracy.n
    assert "int8 on openvino_cpu would be " in likely.sentence
    assert likely.sentence.endswith("more labelled examples would decide.")


def test_a_row_that_is_not_faster_than_the_recommended_one_is_not_likely() -> None:
    slower = replace(INT8, times_as_fast=1.9)
    assert "likely" not in told(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": slower}))


def test_a_row_that_can_not_keep_the_limit_is_not_likely() -> None:
    lossy = Made(name="lossy", times_as_fast=4.0, gained=0, lost=400)
    assert "likely" not in told(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": lossy}))


def test_a_candidate_that_the_test_split_can_not_decide_is_likely_and_marked_as_screened() -> None:
    undecidable = trial("int8", "openvino_cpu", 5.2, found=drift(-0.002, 0.01, decidable=False, needed=TESTED + 400))
    likely = told(searched({"openvino_cpu_bf16": BF16}, trials=[undecidable]))["likely"]
    assert likely.screened
    assert likely.examples == 400
    assert likely.sentence == (
        "int8 on openvino_cpu would be 5.20x [4.95, 5.46] (screened); about 400 more labelled examples would decide."
    )


def test_a_candidate_that_the_test_split_could_have_decided_lost_on_speed_and_is_not_likely() -> None:
    decidable = trial("int8", "openvino_cpu", 5.2, found=drift(-0.002, needed=400))
    assert "likely" not in told(searched({"openvino_cpu_bf16": BF16}, trials=[decidable]))


def test_only_candidates_that_were_kept_to_the_end_are_likely() -> None:
    lost = trial("int8", "openvino_cpu", 5.2, "drifts", found=drift(-0.005, 0.01, decidable=False, needed=99_999))
    hopeless = trial("int4", "openvino_cpu", 6.0, found=drift(-0.02, 0.01, decidable=False))
    assert "likely" not in told(searched({"openvino_cpu_bf16": BF16}, trials=[lost, hopeless]))


def test_a_candidate_that_breaks_another_limit_is_not_likely() -> None:
    open_ = trial("int8", "openvino_cpu", 5.2, found=drift(-0.002, 0.01, decidable=False), size_bytes=2_000_000)
    record = searched({"openvino_cpu_bf16": BF16}, trials=[open_], constraints=Constraints(max_size_mb=1.5))
    assert "likely" not in told(record)
    assert "likely" in told(replace(record, constraints=Constraints(max_size_mb=2.5)))


def test_the_summary_names_the_runtime_of_the_winner() -> None:
    assert analyse(searched({"openvino_cpu_bf16": BF16})).summary.startswith(
        "bf16 on openvino_cpu_bf16 is 1.999 times as fast as the baseline on ort_cpu"
    )


def test_the_smallest_and_the_most_accurate_are_told_where_they_are_other_rows() -> None:
    found = told(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": RIGHT, "ort_cpu": SMALL}))
    assert found["fastest"].variant == "bf16"
    assert found["smallest"].variant == "small"
    assert "has 0.25 MB in place of 1.00" in found["smallest"].sentence
    assert found["most accurate"].variant == "right"
    assert "likely" not in found


def test_a_row_that_is_hardly_smaller_or_as_accurate_is_no_other_answer() -> None:
    alike = replace(BF16, name="alike", times_as_fast=1.8, size_bytes=970_000)
    assert list(told(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": alike}))) == ["fastest"]


def test_of_rows_as_accurate_as_each_other_the_recommended_one_is_the_most_accurate() -> None:
    alike = replace(BF16, name="alike", spread=0.2, times_as_fast=2.01)
    record = searched({"openvino_cpu_bf16": replace(BF16, spread=0.2), "openvino_cpu": alike})
    variants = [
        replace(variant, stages=variant.stages * 2) if variant.name == "alike" else variant
        for variant in record.variants
    ]
    found = told(replace(record, variants=variants))
    assert [(kind, answer.variant) for kind, answer in found.items()] == [("fastest", "bf16")]


def test_a_row_whose_speed_is_open_is_likely_where_the_baseline_stays() -> None:
    unsure = Made(name="unsure", times_as_fast=1.02, spread=0.3)
    likely = told(searched({"openvino_cpu": unsure}))["likely"]
    assert likely.variant == "unsure"
    assert "blocks would settle it" in likely.sentence
    assert likely.examples is None


def test_the_rows_of_a_search_have_no_steps() -> None:
    longer = searched({"ort_cpu": BF16})
    stage = longer.variants[1].stages[0]
    second = replace(stage, name="quantize", kind="Quantize", role=None)
    chains = {"baseline": [stage], "bf16": [stage, replace(second, name="fuse", kind="Fuse"), second]}
    variants = [replace(variant, stages=chains[variant.name]) for variant in longer.variants]
    half = replace(variants[1], name="half", stages=variants[1].stages[:2])
    record = replace(longer, variants=[*variants, half])
    rows = [row for variant in analyse(record).variants for row in variant.results]
    assert all(row.steps == [] for row in rows)
    without = analyse(replace(record, search=None))
    assert any(row.steps for variant in without.variants for row in variant.results)


def test_one_row_is_told_once() -> None:
    best = replace(BF16, size_bytes=200_000, gained=50, lost=0)
    assert list(told(searched({"openvino_cpu_bf16": best, "ort_cpu": SMALL}))) == ["fastest"]


def test_nothing_is_said_of_accuracy_on_noise() -> None:
    found = told(searched({"openvino_cpu_bf16": BF16, "openvino_cpu": INT8, "ort_cpu": SMALL}, data="random"))
    assert set(found) == {"fastest", "smallest"}
    assert "accuracy" not in analyse(searched({"openvino_cpu_bf16": BF16}, data="random")).summary
    assert all(answer.accuracy is None and "accuracy" not in answer.sentence for answer in found.values())


def test_a_quick_look_has_only_likely_answers() -> None:
    quick = MeasureSettings(screening=True, profile="quick")
    found = told(searched({"openvino_cpu_bf16": BF16}, measure=quick))
    assert list(found) == ["likely"]
    assert "a quick look proves nothing" in found["likely"].sentence


def test_where_nothing_is_faster_the_baseline_is_the_answer() -> None:
    slow = Made(name="slow", times_as_fast=0.5)
    assert told(searched({"openvino_cpu": slow}))["fastest"].sentence == (
        "baseline on ort_cpu: no row that qualifies is faster for sure."
    )


def test_the_front_of_a_search_is_over_all_targets() -> None:
    rows = {"openvino_cpu_bf16": BF16, "openvino_cpu": replace(SMALL, gained=0, lost=60)}
    report = analyse(searched(rows))
    fronts = {variant.name: [row.pareto for row in variant.results] for variant in report.variants}
    assert fronts == {"baseline": [True], "bf16": [True], "small": [False]}
