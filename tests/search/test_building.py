"""How long a chain will take to build, going by those before it."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.plan import Stage, Variant
from pipeline.results.record import StageRecord, VariantRecord
from pipeline.search.building import BuildTimes
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from pipeline.stages.quantize_mixed import QuantizeMixed
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.smooth_quant import SmoothQuant

EXPORT: dict[str, Stage] = {"export": ExportOnnx()}
STATIC: dict[str, Stage] = {**EXPORT, "quantize": QuantizeStatic()}


def chain(stages: Mapping[str, Stage]) -> Variant:
    return Variant(name="chain", stages=stages)


def built(stages: Mapping[str, Stage], *seconds: float) -> VariantRecord:
    records = [
        StageRecord(name=name, kind=type(stage).__name__, fields={}, key="", digest=None, seconds=took, reused=False)
        for (name, stage), took in zip(stages.items(), seconds, strict=False)
    ]
    return VariantRecord(
        name="chain", status="ok", reason=None, stages=records, format="onnx", digest=None, path=None,
        size_bytes=None, parameters=None, macs=None,
    )  # fmt: skip


def test_nothing_is_known_at_first() -> None:
    assert BuildTimes().expected_s(chain(STATIC)) == 0


def test_a_training_is_slow_before_one_was_seen() -> None:
    """fashion_resnet on a Xeon: eight fast chains waited for their look while a pruned one was trained for 144 s."""
    pruned: dict[str, Stage] = {"prune": Prune(), "train": Finetune(), **EXPORT}
    times = BuildTimes()
    assert times.is_slow(chain(pruned))
    assert not times.is_slow(chain(STATIC))
    times.learn(chain(pruned), built(pruned, 2.0, 20.0, 6.0))
    assert not times.is_slow(chain({**pruned, "prune": Prune(pruning_ratio=0.2)}))


def test_a_stage_that_repeats_another_takes_as_often_as_long() -> None:
    """EfficientNet-Lite0: a search of 600 s once chose layers for 369 s, and had expected 16."""
    times = BuildTimes()
    times.learn(chain(STATIC), built(STATIC, 16.0, 33.0))
    mixed: dict[str, Stage] = {**EXPORT, "quantize": QuantizeMixed()}
    assert times.expected_s(chain(mixed)) == 198
    times.learn(chain(mixed), built(mixed, 16.0, 100.0))
    assert times.expected_s(chain({**EXPORT, "quantize": QuantizeMixed(measured=1)})) == 100


def test_a_stage_that_repeats_one_that_was_not_seen_goes_by_the_others() -> None:
    times = BuildTimes()
    times.learn(chain(EXPORT), built(EXPORT, 16.0))
    assert times.expected_s(chain({**EXPORT, "quantize": QuantizeMixed()})) == 96


def test_what_is_there_takes_no_time_and_the_rest_as_long_as_its_like() -> None:
    times = BuildTimes()
    times.learn(chain(EXPORT), built(EXPORT, 17.0))
    assert times.expected_s(chain(EXPORT)) == 0
    assert times.expected_s(chain(STATIC)) == 17, "the middle one of all"
    times.learn(chain(STATIC), built(STATIC, 17.0, 55.0))
    assert times.expected_s(chain(STATIC)) == 0
    assert times.expected_s(chain({**EXPORT, "quantize": QuantizeStatic(calibration="entropy")})) == 55
    smooth: dict[str, Stage] = {**EXPORT, "smooth": SmoothQuant(), "quantize": QuantizeStatic()}
    assert times.expected_s(chain(smooth)) == 36 + 55


def test_a_chain_that_begins_as_another_takes_what_it_has_beside_that() -> None:
    times = BuildTimes()
    pruned: dict[str, Stage] = {"prune": Prune(), "train": Finetune(), **EXPORT}
    times.learn(chain(pruned), built(pruned, 2.0, 180.0, 6.0))
    assert times.expected_s(chain({**pruned, "quantize": QuantizeStatic()})) == 6, "the middle one of all"
    less: dict[str, Stage] = {**pruned, "prune": Prune(pruning_ratio=0.2)}
    assert times.expected_s(chain(less)) == 188


def test_a_chain_that_failed_counts_as_far_as_it_came() -> None:
    times = BuildTimes()
    times.learn(chain(STATIC), built(STATIC, 17.0))
    assert times.expected_s(chain(EXPORT)) == 0
    assert times.expected_s(chain(STATIC)) == 17
