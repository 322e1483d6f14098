import re
from dataclasses import replace

import pytest

from pipeline.analyse import analyse
from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.record import Record
from pipeline.results.report import Recommendation, Report
from tests.analyse.synthetic import BASELINE, Made, make_record, without_subject

INT8 = Made(name="int8", times_as_fast=1.4, gained=50, lost=55, size_bytes=270_000)
PRUNED = Made(name="pruned", times_as_fast=2.0, gained=20, lost=300, size_bytes=500_000)
SMALL = Made(name="small", times_as_fast=1.0, size_bytes=200_000)
SLOW = Made(name="slow", times_as_fast=0.5, size_bytes=100_000)


def _recommended(record: Record) -> Recommendation:
    report = analyse(record)
    assert report.why_none is None
    assert report.recommendation is not None
    return report.recommendation


def _none(record: Record) -> str:
    report = analyse(record)
    assert report.recommendation is None
    assert report.why_none is not None
    return report.why_none


def test_the_fastest_row_that_keeps_its_accuracy_wins_and_the_faster_one_is_said_to_lose_too_much() -> None:
    found = _recommended(make_record(INT8, PRUNED, SLOW))
    assert (found.variant, found.target, found.batch_size) == ("int8", "ort_cpu", 1)
    assert found.why.startswith("int8 is 1.400 times as fast as the baseline on ort_cpu (95 % interval 1.39")
    assert "no meaningful drop of accuracy (94.00 % to 93.95 %)" in found.why
    assert found.next_best is not None
    assert found.next_best.startswith("pruned (2.0")
    assert "drops by 2.80 points (94.00 % to 91.20 %" in found.next_best
    assert "0.94 points are allowed" in found.next_best


def test_a_larger_allowed_drop_lets_the_faster_row_win() -> None:
    found = _recommended(make_record(INT8, PRUNED, constraints=Constraints(max_accuracy_drop=0.05)))
    assert found.variant == "pruned"
    assert found.next_best is not None
    assert found.next_best.startswith("int8 (1.400 times")
    assert found.next_best.endswith("lost: its interval starts lower than that of pruned.")


UNSURE = Made(name="unsure", times_as_fast=1.45, spread=0.25, gained=50, lost=55)


def _chains(record: Record, **stages: int) -> Record:
    """The record with so many lossy stages after the export, which is lossless, in each variant that is named."""
    variants = []
    for variant in record.variants:
        export = replace(variant.stages[0], lossless=True)
        lossy = [
            replace(export, name=f"stage{number}", lossless=False) for number in range(stages.get(variant.name, 0))
        ]
        variants.append(replace(variant, stages=[export, *lossy]))
    return replace(record, variants=variants)


def test_the_higher_lower_end_wins_over_the_higher_estimate() -> None:
    record = make_record(INT8, UNSURE)
    report = analyse(record)
    speedups = {variant.name: variant.results[0].speedup for variant in report.variants}
    unsure_speedup, sure_speedup = speedups["unsure"], speedups["int8"]
    assert unsure_speedup is not None
    assert sure_speedup is not None
    assert unsure_speedup.value > sure_speedup.value
    assert unsure_speedup.low < sure_speedup.low
    found = _recommended(record)
    assert found.variant == "int8"
    assert "lost: its interval overlaps that of int8, which has the interval that starts higher" in (
        found.next_best or ""
    )


def test_where_intervals_overlap_the_plainer_chain_wins_over_the_interval_that_starts_higher() -> None:
    found = _recommended(_chains(make_record(INT8, UNSURE), int8=1, unsure=0))
    assert found.variant == "unsure"
    assert "int8 (1.400 times" in found.why
    assert "unsure has the plainer chain (0 lossy stages against 1)" in found.why


def test_where_intervals_overlap_and_chains_are_alike_the_more_accurate_row_wins() -> None:
    found = _recommended(_chains(make_record(INT8, replace(UNSURE, lost=40)), int8=1, unsure=1))
    assert found.variant == "unsure"
    assert "unsure is the more accurate" in found.why


def test_a_row_that_is_faster_for_sure_wins_however_plain_another_is() -> None:
    found = _recommended(_chains(make_record(INT8, Made(name="fused", times_as_fast=1.2)), int8=2, fused=0))
    assert found.variant == "int8"


def test_a_row_must_bring_the_speed_up_that_is_asked_for_and_the_baseline_need_not() -> None:
    assert _recommended(make_record(INT8, constraints=Constraints(min_speedup=1.3))).variant == "int8"
    found = _recommended(make_record(INT8, constraints=Constraints(min_speedup=1.5)))
    assert found.variant == "baseline"
    assert "may be below constraints.min_speedup=1.5" in (found.next_best or "")


@pytest.mark.parametrize("other", [SMALL, SLOW, Made(name="unsure", spread=0.3, size_bytes=1)])
def test_the_baseline_stays_where_nothing_is_faster_for_sure_however_small_it_is(other: Made) -> None:
    found = _recommended(make_record(other))
    assert found.variant == "baseline"
    assert "no other row is faster for sure" in found.why
    assert "not faster for sure" in (found.next_best or "")


def test_the_baseline_alone_is_recommended() -> None:
    found = _recommended(make_record())
    assert (found.variant, found.next_best) == ("baseline", None)
    assert "only row" in found.why


def test_where_the_baseline_breaks_a_limit_the_least_slow_row_that_keeps_it_wins() -> None:
    found = _recommended(make_record(SMALL, SLOW, constraints=Constraints(max_size_mb=0.5)))
    assert found.variant == "small"
    assert "size is 1.00 MB, over constraints.max_size_mb=0.5" in found.why
    found = _recommended(make_record(SLOW, constraints=Constraints(max_size_mb=0.5)))
    assert found.variant == "slow"
    assert "not faster for sure" in found.why


def test_an_undecided_row_is_never_recommended_and_the_number_that_decides_is_named() -> None:
    found = _recommended(make_record(Made(name="unsure", times_as_fast=3.0, gained=600, lost=640)))
    assert found.variant == "baseline"
    assert "UNDECIDED" in (found.next_best or "")
    assert "test examples would decide" in (found.next_best or "")


def test_the_next_best_is_the_one_that_more_examples_may_clear_before_a_faster_one_that_loses_too_much() -> None:
    unsure, lossy = Made(name="unsure", times_as_fast=1.8, gained=600, lost=640), replace(PRUNED, times_as_fast=3.0)
    found = _recommended(make_record(INT8, lossy, unsure))
    assert found.variant == "int8"
    assert found.next_best is not None
    assert found.next_best.startswith("unsure (1.")
    slower = replace(unsure, times_as_fast=1.2)
    assert (_recommended(make_record(INT8, lossy, slower)).next_best or "").startswith("pruned (3.0")


def test_a_row_without_accuracy_is_never_recommended() -> None:
    record = make_record(Made(name="unknown", times_as_fast=3.0))
    only = {"baseline@ort_cpu": record.accuracy.predictions["baseline@ort_cpu"]}
    found = _recommended(replace(record, accuracy=replace(record.accuracy, predictions=only)))
    assert found.variant == "baseline"
    assert "accuracy was not measured" in (found.next_best or "")


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (Constraints(max_latency_ms=1.2), "its p50 is"),
        (Constraints(max_p99_ms=1.2), "its p99 is"),
        (Constraints(max_size_mb=0.2), "its size is 0.27 MB, over constraints.max_size_mb=0.2"),
        (Constraints(max_memory_mb=49), "its peak memory is 50.0 MB, over constraints.max_memory_mb=49"),
    ],
)
def test_where_every_row_breaks_a_limit_nothing_is_recommended_and_each_row_says_which(
    constraints: Constraints, reason: str
) -> None:
    why = _none(make_record(INT8, constraints=constraints))
    assert "int8 on ort_cpu at batch size 1: " + reason in why
    assert "baseline on ort_cpu at batch size 1: " in why


def test_a_limit_on_a_figure_that_is_not_known_is_not_kept() -> None:
    unknown = replace(INT8, peak_memory_bytes=None)
    assert _recommended(make_record(unknown)).variant == "int8"
    found = _recommended(make_record(unknown, constraints=Constraints(max_memory_mb=60)))
    assert found.variant == "baseline"
    assert "its peak memory is not known" in (found.next_best or "")


def test_a_screening_recommends_nothing() -> None:
    why = _none(make_record(INT8, measure=MeasureSettings(profile="quick", screening=True)))
    assert why == "measure=quick is a quick look and recommends nothing: run with measure=default."


def test_on_a_device_whose_clone_failed_nothing_is_recommended() -> None:
    assert "NOISY" in _none(make_record(INT8, clone_times_as_fast=1.05))


def test_a_noisy_row_is_not_recommended_but_another_may_be() -> None:
    erratic = Made(name="erratic", times_as_fast=1.02, spread=0.6)
    report = analyse(make_record(INT8, erratic, stopped="cap"))
    verdicts = {row.name: result.speedup.verdict for row in report.variants for result in row.results if result.speedup}
    assert verdicts == {"int8": "FASTER", "erratic": "NOISY"}
    assert report.recommendation is not None
    assert report.recommendation.variant == "int8"


def test_where_every_comparison_is_noisy_not_even_the_baseline_is_recommended() -> None:
    why = _none(make_record(Made(name="erratic", times_as_fast=1.0, spread=0.6), stopped="cap"))
    assert "baseline on ort_cpu at batch size 1: its speed is NOISY" in why


def test_failed_and_skipped_rows_are_no_candidates() -> None:
    failed = Made(name="failed", times_as_fast=9.0, status="failed", reason="broken")
    report = analyse(make_record(INT8, failed))
    assert report.recommendation is not None
    assert report.recommendation.variant == "int8"
    assert "Failed: failed." in report.summary


def test_a_reason_that_keeps_several_rows_from_being_measured_is_told_once() -> None:
    record = make_record(INT8, targets={"ort_cuda": "cuda", "ort_tensorrt": "cuda"}, batch_sizes=(1, 8))
    skipped = [replace(subject, status="skipped", reason="no card") for subject in record.subjects]
    why = _none(replace(record, subjects=skipped))
    assert why == "No variant was measured. ort_cuda, ort_tensorrt: no card."


def test_the_first_measured_target_and_the_smallest_batch_size_are_decided_on() -> None:
    record = make_record(
        INT8,
        targets={"ort_cuda": "cuda", "ort_cpu": "cpu", "torch_cpu": "cpu"},
        batch_sizes=(32, 4),
        target_speed={"torch_cpu": 3.0},
    )
    for variant in ("baseline", "int8"):
        for batch_size in (32, 4):
            record = without_subject(record, variant, "ort_cuda", batch_size, "no such device")
    found = _recommended(record)
    assert (found.variant, found.target, found.batch_size) == ("int8", "ort_cpu", 4)


def test_with_a_named_reference_all_targets_compete() -> None:
    record = make_record(
        INT8,
        targets={"ort_cpu": "cpu", "torch_cpu": "cpu"},
        target_speed={"torch_cpu": 3.0},
        measure=MeasureSettings(reference="baseline@ort_cpu"),
    )
    found = _recommended(record)
    assert (found.variant, found.target) == ("int8", "torch_cpu")
    assert re.match(r"int8 is 4\.(19|20)\d* times as fast as the baseline on ort_cpu", found.why)
    assert found.next_best is not None
    assert found.next_best.startswith("baseline on torch_cpu (2.999 times")
    assert found.next_best.endswith("lost: its interval starts lower than that of int8 on torch_cpu.")


def test_without_labels_a_row_that_agrees_enough_may_win() -> None:
    found = _recommended(make_record(replace(INT8, gained=10, lost=10), labelled=False))
    assert found.variant == "int8"
    assert "the baseline's answer on 99.80 % of the examples" in found.why


def test_where_the_baseline_failed_nothing_is_recommended() -> None:
    why = _none(without_subject(make_record(INT8), "baseline", "ort_cpu", 1, "broken"))
    assert "the row it is compared with was not measured" in why


def _summary(*variants: Made, measure: MeasureSettings | None = None) -> str:
    report: Report = analyse(make_record(*variants, measure=measure))
    return report.summary


def test_the_summary_gives_the_winners_figures() -> None:
    text = _summary(INT8, PRUNED)
    assert text.startswith("int8 is 1.400 times as fast as the baseline on ort_cpu (95 % interval 1.39")
    assert text.endswith("with no meaningful drop of accuracy (94.00 % to 93.95 %), at 27 % of the baseline's size.")


def test_the_summary_of_a_run_in_which_no_row_qualifies_still_names_the_fastest() -> None:
    report = analyse(make_record(INT8, constraints=Constraints(max_latency_ms=0.5)))
    assert report.summary.startswith(
        "Nothing is recommended: no measured row qualifies. The fastest: int8, 1.400 times"
    )


def test_the_summary_of_a_noisy_run_says_so() -> None:
    report = analyse(make_record(INT8, clone_times_as_fast=1.05))
    assert "NOISY" in report.summary
    assert "a second copy of baseline@ort_cpu/1" in report.summary


def test_the_summary_says_that_nothing_is_faster() -> None:
    assert "no other row is faster for sure" in _summary(SLOW)


def test_the_summary_of_a_screening_names_the_fastest_and_recommends_nothing() -> None:
    text = _summary(INT8, measure=MeasureSettings(profile="quick", screening=True))
    assert text.startswith("Nothing is recommended. The fastest measured: int8, 1.400 times as fast")
    assert text.endswith("run with measure=default.")


def test_a_missing_baseline_model_is_reported_with_its_reason() -> None:
    broken = replace(BASELINE, status="failed", reason="the export failed")
    assert _none(make_record(broken)) == "No variant was measured. baseline: the export failed."
