"""How close a row comes to what was measured as the machine's best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.analyse import analyse
from pipeline.analyse.limits import limits
from pipeline.results.header import Peaks
from pipeline.results.record import VariantRecord
from tests.analyse.synthetic import BASELINE_MS, Made, make_record

PEAKS = Peaks(device="cpu", threads=1, fp32_macs_per_s=1e10, int8_macs_per_s=4e10, int8_types="u8s8", bytes_per_s=1e10)


def variant(**changes: Any) -> VariantRecord:
    """A hundred million fp32 MACs, 1 MB of weights and 4 MB of activations."""
    values: dict[str, Any] = {
        "name": "model",
        "status": "ok",
        "reason": None,
        "stages": [],
        "format": "onnx",
        "digest": "d",
        "path": "p",
        "size_bytes": 1,
        "parameters": 1,
        "macs": 10**8,
        "macs_by_type": {"fp32": 10**8},
        "weight_bytes": 10**6,
        "activation_bytes": 4 * 10**6,
    }
    return VariantRecord(**{**values, **changes})


def test_shares_are_of_the_median_call() -> None:
    found = limits(variant(), 1, 20.0, PEAKS, {})
    assert found.macs_per_s == pytest.approx(5e9)
    assert found.compute_share == pytest.approx(0.5)
    assert found.bytes_per_s == pytest.approx(5e6 / 0.02)
    assert found.memory_share == pytest.approx(0.025)
    assert found.intensity == pytest.approx(20)
    assert found.balance == pytest.approx(1)
    assert (found.compute_peak, found.verdict, found.reason) == ("fp32", "compute-bound", None)


def test_a_batch_moves_its_activations_and_the_weights_once() -> None:
    found = limits(variant(), 8, 20.0, PEAKS, {})
    assert found.compute_share == pytest.approx(4)
    assert found.bytes_per_s == pytest.approx(33e6 / 0.02)


def test_much_to_move_for_little_to_compute_is_bound_by_memory() -> None:
    found = limits(variant(weight_bytes=4 * 10**8), 1, 50.0, PEAKS, {})
    assert found.memory_share == pytest.approx(0.808)
    assert found.verdict == "memory-bound"


def test_a_call_that_uses_a_tenth_of_neither_is_held_back_by_neither() -> None:
    assert limits(variant(), 1, 99.0, PEAKS, {}).verdict == "compute-bound"
    assert limits(variant(), 1, 101.0, PEAKS, {}).verdict == "neither"


@pytest.mark.parametrize(("operator_ms", "verdict"), [(0.9, "slow kernels"), (0.2, "overhead"), (0.004, "overhead")])
def test_where_a_call_passes_tells_overhead_from_slow_kernels(operator_ms: float, verdict: str) -> None:
    record = replace(make_record(Made(name="model")), peaks={"ort_cpu": PEAKS})
    record = replace(record, variants=[variant(name=each.name) for each in record.variants])
    node = {"name": "a", "op": "ConvInteger", "provider": "CPUExecutionProvider", "type": "uint8", "ms": operator_ms}
    profile = {"calls": 9, "call_ms": 1.0, "nodes": [node], "channels": []}
    subjects = [replace(subject, profile=profile) for subject in record.subjects]
    slow = replace(PEAKS, fp32_macs_per_s=1e13, bytes_per_s=1e12)
    report = analyse(replace(record, subjects=subjects, peaks={"ort_cpu": slow}))
    found = report.variants[0].results[0].limits
    assert found is not None
    assert found.verdict == verdict


def test_an_int8_model_is_held_against_the_int8_peak() -> None:
    found = limits(variant(macs_by_type={"int8": 10**8}), 1, 20.0, PEAKS, {})
    assert found.compute_share == pytest.approx(0.125)
    assert found.compute_peak == "int8"


def test_a_mixed_model_is_held_against_the_time_that_each_part_takes_at_its_peak() -> None:
    found = limits(variant(macs_by_type={"fp32": 5 * 10**7, "int8": 5 * 10**7}), 1, 20.0, PEAKS, {})
    at_best_s = 5e7 / 1e10 + 5e7 / 4e10
    assert found.compute_share == pytest.approx(at_best_s / 0.020)
    assert found.compute_peak == "mixed"


@pytest.mark.parametrize(
    ("changes", "peaks", "session", "reason"),
    [
        ({"macs_by_type": {"fp16": 10**8}}, PEAKS, {}, "no peak was measured for fp16"),
        ({}, PEAKS, {"dtype": "float16"}, "no peak was measured for fp16"),
        ({}, PEAKS, {"tf32": True}, "no peak was measured for tf32"),
        ({"macs_by_type": {}, "macs": None}, PEAKS, {}, "the model's multiply-accumulates are not known"),
        ({"activation_bytes": None}, PEAKS, {}, "the bytes that this model moves are not known"),
        ({"activation_bytes": None, "format": "torch"}, PEAKS, {}, "the bytes that this PyTorch model moves are not"),
        ({}, PEAKS, {"dtype": "bfloat16"}, "no peak was measured for bfloat16"),
        (
            {"macs_by_type": {"int8": 10**8}},
            replace(PEAKS, int8_macs_per_s=None, reasons={"int8": "no kernel"}),
            {},
            "no peak was measured for int8: no kernel",
        ),
        ({}, replace(PEAKS, bytes_per_s=None, reasons={"copy": "too small"}), {}, "for copying: too small"),
    ],
)
def test_what_is_not_known_has_no_verdict_but_a_reason(
    changes: dict[str, Any], peaks: Peaks, session: dict[str, Any], reason: str
) -> None:
    found = limits(variant(**changes), 1, 20.0, peaks, session)
    assert found.verdict is None
    assert reason in (found.reason or "")


CARD = Peaks(
    device="cuda",
    threads=1,
    fp32_macs_per_s=1e10,
    tf32_macs_per_s=4e10,
    fp16_macs_per_s=8e10,
    int8_macs_per_s=16e10,
    bytes_per_s=1e10,
)


@pytest.mark.parametrize(
    ("changes", "session", "kind", "times"),
    [
        ({}, {}, "fp32", 1),
        ({}, {"tf32": True}, "tf32", 4),
        ({}, {"dtype": "float16", "tf32": True}, "fp16", 8),
        ({}, {"provider": "tensorrt", "provider_options": {"trt_fp16_enable": "1"}}, "fp16", 8),
        ({"macs_by_type": {"fp16": 10**8}}, {}, "fp16", 8),
        ({"macs_by_type": {"int8": 10**8}}, {"tf32": True}, "int8", 16),
    ],
)
def test_a_row_is_held_against_the_peak_of_what_it_computes_in(
    changes: dict[str, Any], session: dict[str, Any], kind: str, times: int
) -> None:
    found = limits(variant(**changes), 1, 20.0, CARD, session)
    assert found.compute_peak == kind
    assert found.compute_share == pytest.approx(0.5 / times)


def test_device_time_has_an_interval_over_the_rounds() -> None:
    record = make_record(targets={"ort_cuda": "cuda"})
    timed = [
        replace(subject, device_ms=[1.0, 1.1, 0.9], enqueue_share=[0.9, 0.85, 0.95]) for subject in record.subjects
    ]
    found = analyse(replace(record, subjects=timed)).variants[0].results[0].device_ms
    assert found is not None
    assert found.value == pytest.approx(0.99 ** (1 / 3))
    assert (found.enqueue_share, found.launch_bound) == (0.9, True)
    assert found.low == pytest.approx(0.776, abs=1e-3)
    (once,) = (
        analyse(replace(record, subjects=[replace(timed[0], device_ms=[1.0], enqueue_share=[0.1])])).variants[0].results
    )
    assert once.device_ms is not None
    assert (once.device_ms.low, once.device_ms.launch_bound) == (None, False)
    assert analyse(record).variants[0].results[0].device_ms is None


def test_a_device_time_that_triples_in_one_round_has_no_interval_below_zero() -> None:
    """Rounds of ResNet-50 in float16 by eager PyTorch on an H200."""
    record = make_record(targets={"ort_cuda": "cuda"})
    timed = [
        replace(subject, device_ms=[4.51, 13.22, 4.28], enqueue_share=[1.0, 1.0, 1.0]) for subject in record.subjects
    ]
    (row,) = analyse(replace(record, subjects=timed)).variants[0].results
    assert row.device_ms is not None
    assert row.device_ms.low is not None
    assert 0 < row.device_ms.low < row.device_ms.value < 13.22


def held_back_by(peaks: Peaks, of_call: float, asking: float) -> str | None:
    """What holds a card's row back that works for a share of a call, and whose host asks for a share of that time."""
    record = make_record(targets={"ort_cuda": "cuda"})
    node = {"name": "a", "op": "Conv", "provider": "CUDAExecutionProvider", "type": "float", "ms": 1e-3}
    profile = {"calls": 9, "call_ms": 1.0, "nodes": [node], "channels": []}
    subjects = [
        replace(subject, profile=profile, device_ms=[of_call * BASELINE_MS] * 3, enqueue_share=[asking] * 3)
        for subject in record.subjects
    ]
    variants = [variant(name=each.name) for each in record.variants]
    report = analyse(replace(record, variants=variants, subjects=subjects, peaks={"ort_cuda": peaks}))
    told = report.variants[0].results[0].limits
    assert told is not None
    return told.verdict


@pytest.mark.parametrize(
    ("of_call", "asking", "verdict"), [(0.8, 0.02, "slow kernels"), (1.0, 1.0, "overhead"), (0.3, 0.1, "overhead")]
)
def test_on_a_card_the_cards_own_time_tells_what_holds_a_row_back(of_call: float, asking: float, verdict: str) -> None:
    slow = replace(PEAKS, device="cuda", fp32_macs_per_s=1e14, bytes_per_s=1e13)
    assert held_back_by(slow, of_call, asking) == verdict


@pytest.mark.parametrize(
    ("of_call", "asking", "verdict"),
    [
        (1.0, 1.0, "overhead"),  # BERT-Base by torch.compile on an H200: the host asks all the time
        (1.0, 0.1, "compute-bound"),
        (0.44, 0.01, "overhead"),  # ResNet-50 in float16 at batch 256 there: most of a call went into copies
        (0.56, 0.01, "compute-bound"),
    ],
)
def test_a_row_that_waits_for_the_host_is_held_back_by_no_peak_however_near_it_is(
    of_call: float, asking: float, verdict: str
) -> None:
    """At 11 % of a peak."""
    near = replace(PEAKS, device="cuda", fp32_macs_per_s=1e8 / (1e-3 * BASELINE_MS) / 0.11, bytes_per_s=1e13)
    assert held_back_by(near, of_call, asking) == verdict


def test_what_is_known_stays_where_the_rest_is_not() -> None:
    found = limits(variant(activation_bytes=None), 1, 20.0, PEAKS, {})
    assert found.compute_share == pytest.approx(0.5)
    assert found.memory_share is None


def test_a_report_has_limits_for_targets_with_peaks_and_none_without() -> None:
    record = make_record(Made(name="other"))
    work = {"macs_by_type": {"fp32": 10**8}, "macs": 10**8, "weight_bytes": 10, "activation_bytes": 10}
    measured = replace(
        record,
        peaks={"ort_cpu": PEAKS},
        variants=[replace(one, **work) for one in record.variants],  # type: ignore[arg-type]
    )
    rows = [row for one in analyse(measured).variants for row in one.results]
    assert [row.limits.compute_share for row in rows if row.limits] == [
        pytest.approx(1e8 / (BASELINE_MS / 1e3) / 1e10, rel=0.2)
    ] * 2
    assert all(row.limits is None for one in analyse(record).variants for row in one.results)
    assert analyse(measured).peaks == {"ort_cpu": PEAKS}
