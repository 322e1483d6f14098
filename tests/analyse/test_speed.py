import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.analyse import analyse
from pipeline.errors.contained import RAISING
from pipeline.plan import MeasureSettings
from pipeline.results.figures import Speedup
from pipeline.results.record import LatencySamples, Record
from pipeline.results.report import Report, Result
from tests.analyse.synthetic import BLOCKS, CALLS, ROUNDS, Made, make_record, with_dropped, without_subject


def _row(report: Report, variant: str, target: str = "ort_cpu", batch_size: int = 1) -> Result:
    found = next(entry for entry in report.variants if entry.name == variant)
    return next(row for row in found.results if (row.target, row.batch_size) == (target, batch_size))


def _speedup(report: Report, variant: str, target: str = "ort_cpu", batch_size: int = 1) -> Speedup:
    speedup = _row(report, variant, target, batch_size).speedup
    assert speedup is not None
    return speedup


def _with_durations(record: Record, subject: str, round_: int, block: int, factor: float) -> Record:
    """The same run, with one cell's calls made longer."""
    samples = record.latency
    cell = (samples.subject == samples.subjects.index(subject)) & (samples.round == round_) & (samples.block == block)
    assert cell.sum() == CALLS
    durations = np.where(cell, (samples.duration_ns * factor).astype(np.int64), samples.duration_ns)
    return replace(record, latency=replace(samples, duration_ns=durations))


def test_a_true_speedup_is_found_below_a_drift_thirty_times_as_large_as_the_noise() -> None:
    speedup = _speedup(analyse(make_record(Made(name="fast", times_as_fast=1.05))), "fast")
    assert speedup.low < 1.05 < speedup.high
    assert speedup.value == pytest.approx(1.05, abs=0.002)
    assert speedup.verdict == "FASTER"
    assert speedup.blocks == ROUNDS * BLOCKS


@pytest.mark.parametrize(
    ("times_as_fast", "spread", "verdict"),
    [
        (1.5, 0.003, "FASTER"),
        (0.6, 0.003, "SLOWER"),
        (1.005, 0.003, "SLIGHTLY FASTER"),
        (0.995, 0.003, "SLIGHTLY SLOWER"),
        (1.0, 0.003, "SAME"),
        (1.0, 0.3, "INCONCLUSIVE"),
    ],
)
def test_each_verdict_follows_from_its_effect(times_as_fast: float, spread: float, verdict: str) -> None:
    speedup = _speedup(analyse(make_record(Made(name="other", times_as_fast=times_as_fast, spread=spread))), "other")
    assert speedup.verdict == verdict
    assert (speedup.blocks_to_settle is not None) == (verdict == "INCONCLUSIVE")


def test_the_baseline_itself_has_no_speedup() -> None:
    assert _row(analyse(make_record(Made(name="fast", times_as_fast=2))), "baseline").speedup is None


def test_a_screening_never_says_faster() -> None:
    record = make_record(Made(name="fast", times_as_fast=2), measure=MeasureSettings(screening=True))
    assert _speedup(analyse(record), "fast").verdict == "SCREENED"


def test_every_row_is_compared_with_the_baseline_of_its_own_target_and_batch_size() -> None:
    record = make_record(
        Made(name="fast", times_as_fast=1.5),
        targets={"ort_cpu": "cpu", "torch_cpu": "cpu"},
        batch_sizes=(1, 8),
        target_speed={"torch_cpu": 0.5},
    )
    report = analyse(record)
    for target in ("ort_cpu", "torch_cpu"):
        for batch_size in (1, 8):
            speedup = _speedup(report, "fast", target, batch_size)
            assert speedup.value == pytest.approx(1.5, rel=0.01)
            assert (speedup.reference.target, speedup.reference.batch_size) == (target, batch_size)


def test_a_named_reference_is_what_every_row_is_compared_with() -> None:
    record = make_record(
        Made(name="fast", times_as_fast=1.5),
        targets={"ort_cpu": "cpu", "torch_cpu": "cpu"},
        target_speed={"torch_cpu": 0.5},
        measure=MeasureSettings(reference="baseline@ort_cpu"),
    )
    report = analyse(record)
    assert _row(report, "baseline").speedup is None
    assert _speedup(report, "baseline", "torch_cpu").value == pytest.approx(0.5, rel=0.01)
    assert _speedup(report, "fast", "torch_cpu").value == pytest.approx(0.75, rel=0.01)


def test_p_is_corrected_over_all_rows_of_the_run() -> None:
    slight = Made(name="slight", times_as_fast=1.001, spread=0.01)
    alone = _speedup(analyse(make_record(slight)), "slight").p
    fast = [Made(name=f"fast_{index}", times_as_fast=2) for index in range(3)]
    among_others = _speedup(analyse(make_record(slight, *fast)), "slight").p
    assert 0 < alone < 1
    assert among_others == pytest.approx(alone)  # the largest p of Holm's is multiplied by one
    same = [Made(name=f"same_{index}", spread=0.01) for index in range(3)]
    assert _speedup(analyse(make_record(Made(name="slight", times_as_fast=1.004, spread=0.01), *same)), "slight").p > (
        _speedup(analyse(make_record(Made(name="slight", times_as_fast=1.004, spread=0.01))), "slight").p
    )


def test_a_dropped_block_counts_for_no_row_whatever_its_times_were() -> None:
    clean = make_record(Made(name="fast", times_as_fast=1.5))
    spoilt = _with_durations(clean, "fast@ort_cpu/1", 2, 3, 1000.0)
    dropped = analyse(with_dropped(spoilt, 2, 3))
    speedup, latency = _speedup(dropped, "fast"), _row(dropped, "fast").latency_ms
    everything = _speedup(analyse(spoilt), "fast")
    assert speedup.with_dropped is not None
    assert (speedup.with_dropped.value, speedup.with_dropped.low) == (everything.value, everything.low)
    assert everything.with_dropped is None
    assert speedup.blocks == ROUNDS * BLOCKS - 1
    assert latency is not None
    assert latency.calls == (ROUNDS * BLOCKS - 1) * CALLS
    assert latency.distribution_ms[-1] < 10
    assert dropped.noise.telemetry["dropped_blocks"] == 1
    assert dropped.noise.telemetry["dropped_reasons"] == {"throttled": 1}


def test_what_could_have_been_found_grows_with_the_spread() -> None:
    found = [
        _speedup(analyse(make_record(Made(name="other", spread=spread))), "other").minimum_detectable_effect
        for spread in (0.003, 0.1)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert 0 < found[0] < 0.01 < found[1]


def test_what_the_budget_cut_is_said() -> None:
    record = make_record(Made(name="other"), measure=MeasureSettings(budget_s=60), stopped="budget")
    plan = {"device": "cpu", "rounds": 5, "most_rounds": 20, "blocks": 8, "full_blocks": 32, "stopped": "budget"}
    whole = {**plan, "blocks": 32, "stopped": "width"}
    report = analyse(replace(record, latency=replace(record.latency, plans=[plan, whole])))
    assert report.noise.cut == [
        "measure.budget_s=60 cut the measuring on cpu: rounds of 8 blocks instead of 32, 5 rounds of at most 20"
    ]


def test_a_block_that_another_device_dropped_is_kept() -> None:
    record = make_record(Made(name="fast"), targets={"ort_cpu": "cpu", "ort_cuda": "cuda"})
    report = analyse(with_dropped(record, 0, 0, device="cuda"))
    assert _speedup(report, "fast", "ort_cpu").blocks == ROUNDS * BLOCKS
    assert _speedup(report, "fast", "ort_cuda").blocks == ROUNDS * BLOCKS - 1


def test_a_block_that_one_side_lacks_is_left_out() -> None:
    record = make_record(Made(name="fast", times_as_fast=1.5))
    samples = record.latency
    keep = ~((samples.subject == samples.subjects.index("baseline@ort_cpu/1")) & (samples.round == 1))
    columns = {name: getattr(samples, name)[keep] for name in ("subject", "round", "block", "position", "duration_ns")}
    speedup = _speedup(analyse(replace(record, latency=replace(samples, **columns))), "fast")
    assert speedup.blocks == (ROUNDS - 1) * BLOCKS


def test_a_row_that_failed_has_its_reason_and_no_figures() -> None:
    record = without_subject(make_record(Made(name="fast")), "fast", "ort_cpu", 1, "the process was ended by SIGSEGV")
    row = _row(analyse(record), "fast")
    assert (row.status, row.reason) == ("failed", "the process was ended by SIGSEGV")
    assert [row.latency_ms, row.speedup, row.accuracy, row.throughput] == [None] * 4


def test_without_its_reference_a_row_has_latency_but_no_speedup() -> None:
    row = _row(analyse(without_subject(make_record(Made(name="fast")), "baseline", "ort_cpu", 1, "broken")), "fast")
    assert row.latency_ms is not None
    assert row.speedup is None


def test_latency_throughput_and_cost_are_those_of_the_raw_calls() -> None:
    measure = MeasureSettings(deadline_ms=2.0, price_per_hour=3.6)
    record = make_record(Made(name="fast", times_as_fast=2.0), batch_sizes=(4,), measure=measure)
    samples = record.latency
    calls_ms = samples.duration_ns[samples.subject == samples.subjects.index("fast@ort_cpu/4")] / 1e6
    row = _row(analyse(record), "fast", batch_size=4)
    latency = row.latency_ms
    assert latency is not None
    assert latency.deadline_misses is not None
    assert latency.p50.value == pytest.approx(np.median(calls_ms))
    assert latency.mean == pytest.approx(calls_ms.mean())
    assert len(latency.distribution_ms) == 99
    assert latency.distribution_ms[49] == pytest.approx(np.median(calls_ms))
    assert latency.deadline_misses.value == np.mean(calls_ms > 2.0)
    assert latency.deadline is not None
    assert latency.deadline.longest_ms == calls_ms.max()
    assert row.throughput is not None
    assert row.throughput == pytest.approx(4 * len(calls_ms) / calls_ms.sum() * 1e3)
    assert row.cost_per_million == pytest.approx(3.6 * 1e6 / (3600 * row.throughput))
    assert (row.load_ms, row.first_inference_ms) == (2.0, 8.0)


@pytest.mark.parametrize(
    ("deadline_ms", "share", "verdict"),
    [(100.0, 0.9, "IN TIME"), (1e-3, 0.9, "LATE"), (100.0, 0.999999, "NOT KNOWN"), (None, 0.9, None)],
)
def test_a_deadline_is_kept_missed_or_not_known(deadline_ms: float | None, share: float, verdict: str | None) -> None:
    measure = MeasureSettings(deadline_ms=deadline_ms, deadline_share=share)
    latency = _row(analyse(make_record(Made(name="fast"), measure=measure)), "fast").latency_ms
    assert latency is not None
    found = latency.deadline
    assert (None if found is None else found.verdict) == verdict
    assert (found is not None and found.calls_to_settle is not None) == (verdict == "NOT KNOWN")


def test_a_run_without_samples_gives_a_report_without_figures() -> None:
    skipped = Made(name="baseline", status="skipped", reason="no such device")
    report = analyse(replace(make_record(skipped), latency=LatencySamples.concatenate([])))
    assert _row(report, "baseline").latency_ms is None
    assert report.recommendation is None
    assert "baseline: no such device" in (report.why_none or "")


def test_a_clone_that_differs_from_its_original_makes_every_row_of_its_device_noisy() -> None:
    record = make_record(
        Made(name="fast", times_as_fast=2.0),
        targets={"ort_cpu": "cpu"},
        clone_times_as_fast=1.02,
    )
    report = analyse(record)
    assert report.noise.noisy
    assert report.noise.clones[0]["ratio"] == pytest.approx(1.02, abs=0.002)
    assert "second copy of baseline@ort_cpu/1" in report.noise.reasons[0]
    assert _speedup(report, "fast").verdict == "NOISY"


def test_a_clone_that_differs_by_less_than_one_percent_is_no_noise() -> None:
    report = analyse(make_record(Made(name="fast", times_as_fast=2.0), clone_times_as_fast=1.005))
    assert not report.noise.noisy
    assert report.noise.clones[0]["low"] > 1


def test_only_the_row_whose_interval_stayed_wide_is_noisy() -> None:
    record = make_record(
        Made(name="fast", times_as_fast=2.0), Made(name="erratic", times_as_fast=1.02, spread=0.5), stopped="cap"
    )
    report = analyse(record)
    assert report.noise.noisy
    assert _speedup(report, "erratic").verdict == "NOISY"
    assert _speedup(report, "fast").verdict == "FASTER"
    assert "erratic@ort_cpu/1" in report.noise.reasons[0]


def test_a_wide_interval_that_lies_beyond_doubt_keeps_its_verdict() -> None:
    report = analyse(make_record(Made(name="slow", times_as_fast=0.2, spread=0.5), stopped="cap"))
    found = _speedup(report, "slow")
    assert math.log(found.high / found.low) / 2 > MeasureSettings().noisy_half_width
    assert found.verdict == "SLOWER"
    assert not report.noise.noisy


def test_telemetry_is_totalled() -> None:
    noise = analyse(make_record(Made(name="fast"))).noise
    assert noise.telemetry["steal_ticks"] == ROUNDS * BLOCKS
    assert noise.telemetry["load"] == 0.5
    assert noise.blocks == ROUNDS * BLOCKS
    assert 0 < noise.timed_share < 1
    assert math.isfinite(noise.telemetry["run_delay_share"])
    assert "cores" not in noise.telemetry


def test_one_round_is_too_few_to_judge() -> None:
    record = make_record(Made(name="fast", times_as_fast=2.0), stopped="budget")
    samples = record.latency
    first = samples.round == 0
    columns = {name: getattr(samples, name)[first] for name in ("subject", "round", "block", "position", "duration_ns")}
    report = analyse(replace(record, latency=replace(samples, rounds=1, **columns)))
    assert _speedup(report, "fast").verdict == "NOISY"
    assert "fast@ort_cpu/1, no bounds" in report.noise.reasons[0]


def test_an_analysis_that_fails_costs_its_part_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    record = make_record(Made(name="fast", times_as_fast=2.0))
    monkeypatch.delenv(RAISING)
    for part in ("check_noise", "accuracies", "recommend", "summarise", "with_steps", "latency", "estimate_ratios"):
        with monkeypatch.context() as patched:
            patched.setattr(f"pipeline.analyse.assemble.{part}", broken)
            report = analyse(record)
        assert "ZeroDivisionError: division by zero" in " ".join(
            [*report.faults, report.summary, report.why_none or ""]
        )
        assert [variant.name for variant in report.variants] == ["baseline", "fast"]
        if part == "latency":
            assert [row.status for variant in report.variants for row in variant.results] == ["failed", "failed"]
        if part == "check_noise":
            assert report.noise.noisy
