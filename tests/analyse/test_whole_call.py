"""Shares and speed-ups of whole calls, from steps whose times are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.analyse import analyse
from pipeline.plan import CallStep
from pipeline.results.figures import WholeCall
from pipeline.results.record import CallSamples
from tests.analyse.synthetic import Made, make_record


def samples(**step_ms: float) -> CallSamples:
    """Seven rounds of eight blocks; in each block the machine is as slow for every row."""
    slow = np.exp(np.random.default_rng(0).normal(0, 0.2, (7, 8, 1)))
    own = np.exp(np.random.default_rng(round(10 * sum(step_ms.values()))).normal(0, 0.01, (7, 8, len(step_ms))))
    steps: list[CallStep] = [step for step in ("decode", "preprocess", "model", "postprocess") if step in step_ms]
    return CallSamples(steps=steps, rounds_ms=(np.array([step_ms[step] for step in steps]) * slow * own).tolist())


def calls(**by_variant: CallSamples | None) -> dict[str, WholeCall | None]:
    record = make_record(Made(name="int8"), Made(name="broken", status="failed", reason="no"))
    subjects = [replace(subject, call=by_variant.get(subject.variant)) for subject in record.subjects]
    report = analyse(replace(record, subjects=subjects))
    return {variant.name: variant.results[0].call for variant in report.variants}


def test_a_faster_model_gains_less_in_the_call_and_its_share_falls() -> None:
    before, after = samples(decode=3.0, preprocess=1.0, model=4.0), samples(decode=3.0, preprocess=1.0, model=1.0)
    found = calls(baseline=before, int8=after, broken=after)
    baseline, int8 = found["baseline"], found["int8"]
    assert baseline is not None
    assert int8 is not None
    assert found["broken"] is None
    assert (baseline.speedup, baseline.model_speedup) == (None, None)
    for ratio, true in ((int8.speedup, 8 / 5), (int8.model_speedup, 4.0)):
        assert ratio is not None
        assert ratio.low < true < ratio.high
        assert ratio.value == pytest.approx(true, rel=0.01)
    assert [(step.step, round(step.share.value, 1)) for step in int8.steps] == [
        ("decode", 0.6),
        ("preprocess", 0.2),
        ("model", 0.2),
    ]
    assert all(step.share.low < step.share.value < step.share.high for step in int8.steps)
    assert int8.ms == pytest.approx(5.0, rel=0.2)


def test_a_row_without_its_reference_has_shares_alone() -> None:
    found = calls(int8=samples(model=1.0, postprocess=1.0))
    assert found["baseline"] is None
    assert found["int8"] is not None
    assert found["int8"].speedup is None
    assert [step.step for step in found["int8"].steps] == ["model", "postprocess"]
