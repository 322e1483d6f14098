"""What is said of rows: too many threads, calls that change while a row runs, a busy machine; and the Pareto front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.analyse import analyse
from pipeline.plan import MeasureSettings
from pipeline.report.describe import busy_lines, margin_lines, noise_lines
from pipeline.results.header import Machine, TargetRecord
from pipeline.results.record import LatencySamples, Record
from pipeline.results.report import Report
from tests.analyse.synthetic import BLOCKS, CALLS, ROUNDS, Made, make_record, samples_from

INT8 = Made(name="int8", times_as_fast=1.4)


def _remarks(report: Report) -> dict[str, list[str]]:
    return {variant.name: variant.results[0].remarks for variant in report.variants}


def _front(*variants: Made) -> set[str]:
    report = analyse(make_record(*variants))
    return {variant.name for variant in report.variants if variant.results[0].pareto}


def test_more_threads_than_cores_are_told_with_what_to_type() -> None:
    record = make_record(INT8)
    targets = {"ort_cpu": TargetRecord(device="cpu", threads=8)}
    found = _remarks(analyse(replace(record, targets=targets, machine=Machine(cores=2))))
    assert found["int8"] == ["8 threads share 2 cores, so they wait for each other: try target.ort_cpu.threads=2"]
    assert _remarks(analyse(replace(record, targets=targets, machine=Machine(cores=8)))) == {"baseline": [], "int8": []}


def _drifting(factor: float) -> LatencySamples:
    """Three steady rows on a machine whose speed wanders, and one whose calls change over each round."""
    random = np.random.default_rng(3)
    machine = random.normal(0, 0.1, (ROUNDS, BLOCKS, 1))
    over_the_round = np.linspace(np.log(factor), 0, BLOCKS).reshape(1, BLOCKS, 1)
    times = {}
    for name in ("baseline@ort_cpu/1", "clone:baseline@ort_cpu/1", "int8@ort_cpu/1", "odd@ort_cpu/1"):
        noise = random.normal(0, 0.01, (ROUNDS, BLOCKS, CALLS))
        times[name] = np.exp(machine + noise + (over_the_round if name.startswith("odd") else 0.0))
    return samples_from(times)


@pytest.mark.parametrize(("factor", "way"), [(4.0, "faster"), (0.25, "slower")])
def test_a_row_whose_calls_change_while_it_runs_is_told_and_the_others_are_not(factor: float, way: str) -> None:
    record = replace(make_record(INT8, Made(name="odd")), latency=_drifting(factor))
    found = _remarks(analyse(record))
    assert found["baseline"] == found["int8"] == []
    [remark] = found["odd"]
    assert remark.startswith(f"its calls became {way} while it ran, in each round: ")


def test_a_machine_that_wanders_is_no_drift_of_a_row() -> None:
    record = replace(make_record(INT8, Made(name="odd")), latency=_drifting(1.0))
    assert _remarks(analyse(record)) == {"baseline": [], "int8": [], "odd": []}


def _on_a_machine(load: float, delay_ns: int) -> Record:
    record = make_record(INT8)
    entries = [{**entry, "load": load, "run_delay_ns": delay_ns} for entry in record.latency.telemetry]
    return replace(record, latency=replace(record.latency, telemetry=entries), machine=Machine(cores=2))


@pytest.mark.parametrize(
    ("degrees", "clocks", "told"),
    [
        ((41.0, 63.0), (2400.0, 1900.0), "from 41 to 63 \N{DEGREE SIGN}C, and the clock fell from 2400 to 1900 MHz."),
        ((41.0, 63.0), (2400.0, 2390.0), "from 41 to 63 \N{DEGREE SIGN}C. Speed-ups"),
        ((41.0, 44.0), (2400.0, 1900.0), None),
        ((None, None), (2400.0, 1900.0), None),
    ],
)
def test_a_machine_that_grows_warm_is_told(
    degrees: tuple[float | None, float | None], clocks: tuple[float, float], told: str | None
) -> None:
    record = make_record(INT8)
    half = len(record.latency.telemetry) // 2
    entries = [
        {**entry, "celsius": degrees[place >= half], "clock_mhz": clocks[place >= half]}
        for place, entry in enumerate(record.latency.telemetry)
    ]
    lines = busy_lines(analyse(replace(record, latency=replace(record.latency, telemetry=entries))).noise)
    assert [told in line for line in lines if told] == ([True] if told else [])
    assert len(lines) == (told is not None)


def test_cores_that_are_kept_busy_on_purpose_are_told() -> None:
    [line] = busy_lines(analyse(make_record(INT8, measure=MeasureSettings(busy=2))).noise)
    assert line == "Other processes kept 2 cores busy on purpose (measure.busy=2)."


def test_a_busy_machine_is_told_beside_the_figures_and_the_checks_are_those_of_the_ratios() -> None:
    noise = analyse(_on_a_machine(load=4.2, delay_ns=10_000_000)).noise
    [line] = busy_lines(noise)
    assert line.startswith(
        "The machine was busy while latency was measured: the load was 4.2 on 2 cores, and timed thr"
    )
    assert line.endswith("p50, p90, p99 and throughput are those of a busy machine.")
    assert noise_lines(noise)[0].startswith("The run's own checks of the ratios passed, on a busy machine.")
    quiet = analyse(_on_a_machine(load=1.4, delay_ns=1000)).noise
    assert busy_lines(quiet) == []
    assert noise_lines(quiet)[0].startswith("The run's own checks passed.")


def test_the_margin_in_force_is_told_whether_it_was_set_or_not() -> None:
    report = analyse(make_record(INT8))
    assert report.margins == {"ort_cpu": pytest.approx(0.0094)}
    assert margin_lines(report) == [
        "On ort_cpu, accuracy may drop by 0.94 points at most (1 % of the baseline's, as constraints.max_accuracy_drop "
        "is not set)."
    ]


def test_no_row_leaves_the_front_for_a_difference_that_the_intervals_leave_open() -> None:
    assert _front(Made(name="alike", times_as_fast=1.0005)) == {"baseline", "alike"}
    assert _front(INT8) == {"int8"}
    assert _front(replace(INT8, lost=300)) == {"baseline", "int8"}
    assert _front(Made(name="worse", times_as_fast=0.5, lost=300)) == {"baseline"}


def test_a_model_whose_later_calls_are_others_than_the_timed_ones_is_told_with_what_to_type() -> None:
    record = make_record(INT8)
    settling = {"calls": 2000, "first_ms": 1.4, "last_ms": 0.03, "steady_after": 1000}
    subjects = [replace(row, settling=settling) if row.variant == "int8" else row for row in record.subjects]
    found = _remarks(analyse(replace(record, subjects=subjects)))
    assert found["baseline"] == []
    [remark] = found["int8"]
    assert remark.endswith("after 1000 calls one takes 0.0300 ms. Type measure.warmup_calls=1200 to measure those")
