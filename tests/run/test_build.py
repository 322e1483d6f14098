"""Building variants over the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.artifact import Artifact
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Split, SplitName
from pipeline.plan import Context, Plan, Stage
from pipeline.run.build import Builder
from pipeline.run.build import builder as making
from pipeline.run.built import Built
from pipeline.stages.export import ExportOnnx
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import Arrays, Exact, Floored, NeedsTorch, Scale, linear_model, plan


def build(chosen: Plan) -> tuple[dict[str, Built], Builder]:
    with making(chosen, lambda label, done, text: None) as builder:
        return {name: builder.build(variant) for name, variant in chosen.variants.items()}, builder


def calls(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


Made = Mapping[str, Built]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Variants that each test one thing, built over one store."""
    stages: dict[str, dict[str, Stage]] = {
        "baseline": {},
        "six": {"a": Scale(by=2.0), "b": Scale(by=3.0)},
        "learned": {"a": Scale(), "b": Learns()},
        "a_tenth_more": {"a": Scale(by=1.1)},
        "broken": {"a": Floored(by=-1.0)},
        "kept": {"a": Floored(by=-1.0, min_sqnr_db=None)},
        "after_nothing": {"a": Scale(by=1.0), "b": Scale(by=2.0)},
        "twice": {"b": Scale(by=2.0)},
        "for_pytorch": {"prune": NeedsTorch()},
    }
    built, _ = build(plan(tmp_path_factory.mktemp("made"), stages))
    return built


def test_stages_are_applied_in_order(made: Made) -> None:
    before, after = (
        numpy_helper.to_array(onnx.load(made[name].artifact.onnx_path).graph.initializer[0])
        for name in ("baseline", "six")
    )
    np.testing.assert_allclose(after, before * 6, rtol=1e-6)
    assert [stage.notes["by"] for stage in made["six"].record.stages] == [2.0, 3.0]


def test_a_shared_prefix_is_built_once(tmp_path: Path, log: Path) -> None:
    shared = Scale(by=2.0, log=str(log))
    build(plan(tmp_path, {"one": {"a": shared}, "two": {"a": shared, "b": Scale(by=3.0, log=str(log))}}))
    assert calls(log) == ["2.0", "3.0"]


def test_nothing_is_built_twice(tmp_path: Path, log: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "v": {"a": Scale(log=str(log))}})
    _, first = build(chosen)
    built, second = build(chosen)
    assert (first.built_count, second.built_count) == (2, 0)
    assert calls(log) == ["2.0"]
    assert built["v"].record.stages[0].reused


@pytest.mark.parametrize("change", ["field", "seed", "model"])
def test_what_a_stage_depends_on_is_in_its_key(tmp_path: Path, log: Path, change: str) -> None:
    build(plan(tmp_path, {"v": {"a": Scale(log=str(log))}}))
    if change == "model":
        linear_model(tmp_path / "linear.onnx", scale=0.5)
    stage = Scale(log=str(log), by=4.0 if change == "field" else 2.0)
    build(plan(tmp_path, {"v": {"a": stage}}, seed=1 if change == "seed" else 0))
    assert len(calls(log)) == 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Learns(Scale):
    """A stage that asks for the model that the chain starts from."""

    uses_original: ClassVar[bool] = True

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        context.note("original", context.original().digest)
        super(Learns, self).__call__(source, out, context)


def test_a_stage_can_learn_from_the_model_that_its_chain_starts_from(made: Made) -> None:
    assert made["learned"].record.stages[1].notes["original"] == made["learned"].artifacts[0].digest


def test_the_original_is_in_the_key_of_a_stage_that_uses_it(tmp_path: Path) -> None:
    """Two chains come to the same bytes before the last stage."""
    chains = {"v": {"a": Scale(by=2.0), "b": Learns()}}, {"v": {"b": Learns()}}
    first, _ = build(plan(tmp_path, chains[0]))
    (tmp_path / "linear.onnx").write_bytes(first["v"].artifacts[1].onnx_path.read_bytes())
    second, _ = build(plan(tmp_path, chains[1]))
    assert first["v"].artifacts[1].digest == second["v"].artifacts[0].digest
    assert first["v"].record.stages[1].key != second["v"].record.stages[0].key


def test_a_corrupted_entry_is_reported_and_built_again(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = plan(tmp_path, {"v": {"a": Scale(log=str(log))}})
    built, _ = build(chosen)
    path = built["v"].artifact.onnx_path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again, builder = build(chosen)
    assert "has changed since it was written: it is built again" in caplog.text
    assert builder.built_count == 1
    assert again["v"].record.digest == built["v"].record.digest


def test_a_failing_stage_fails_its_variant_and_the_others_go_on(tmp_path: Path, log: Path) -> None:
    broken = Scale(fail="it broke", log=str(log))
    built, _ = build(plan(tmp_path, {"one": {"a": broken}, "two": {"a": broken}, "baseline": {}, "v": {"a": Scale()}}))
    assert {name: item.record.status for name, item in built.items()} == {
        "one": "failed",
        "two": "failed",
        "baseline": "ok",
        "v": "ok",
    }
    assert built["one"].record.reason == "a: RuntimeError: it broke"
    assert len(calls(log)) == 1, "a shared stage fails once"
    assert not any((tmp_path / "store" / ".new").iterdir()), "nothing half-written is left"


def test_an_exact_stage_that_disagrees_with_its_source_is_refused(tmp_path: Path) -> None:
    built, _ = build(plan(tmp_path, {"same": {"a": Exact(by=1.000001)}, "other": {"a": Exact(by=2.0)}}))
    assert built["same"].record.status == "ok"
    assert built["other"].record.status == "failed"
    assert len(list((tmp_path / "store").glob("*/entry.json"))) == 2, "the model and what agreed with it"


def test_a_lossy_stage_records_its_drift(made: Made) -> None:
    drift = made["a_tenth_more"].record.stages[0].notes["drift"]
    assert drift["cosine"] == pytest.approx(1.0, abs=1e-6)
    assert drift["sqnr_db"] == pytest.approx(20.0, abs=0.1)  # 10 % of the signal is lost: 20 dB


def test_a_broken_output_is_refused_and_what_to_type_keeps_it(made: Made) -> None:
    broken = made["broken"].record
    assert broken.status == "failed"
    assert broken.reason is not None
    assert "-6.0 dB above the error" in broken.reason
    assert broken.reason.endswith("To keep such a model: variants.broken.stages.a.min_sqnr_db=null")
    assert made["kept"].record.status == "ok"


def test_a_variant_that_changed_nothing_is_none(tmp_path: Path) -> None:
    built, builder = build(plan(tmp_path, {"baseline": {}, "v": {"export": ExportOnnx(), "a": Scale(by=1.0)}}))
    assert built["v"].record.status == "skipped"
    assert built["v"].record.reason == "a changed nothing: it gave back the model as it was"
    assert builder.built_count == 2, "the model and its export are stored"


def test_a_chain_goes_on_after_a_stage_that_changed_nothing(made: Made) -> None:
    chain = made["after_nothing"]
    assert chain.record.status == "ok"
    assert chain.record.stages[0].notes == {"changed_nothing": "it gave back the model as it was"}
    assert chain.record.digest == made["twice"].record.digest
    assert len(chain.artifacts) == 3, "one for the model and for each stage"


@dataclass(frozen=True)
class Faint(Arrays):
    """One split's examples are of another kind than the others': a hundred times as small."""

    which: SplitName = "calibration"

    def split(self, name: SplitName) -> Split:
        found = Arrays.split(self, name)
        return Split({"x": found.arrays["x"] / 100}, found.labels) if name == self.which else found


def test_calibration_data_unlike_the_test_data_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stages = {"baseline": {}, "v": {"quantize": QuantizeStatic()}}
    built, _ = build(plan(tmp_path / "alike", stages))
    notes = built["v"].record.stages[0].notes
    assert notes["drift_on_test"]["sqnr_db"] > 20
    assert "calibration_data" not in notes
    assert not caplog.records
    built, _ = build(plan(tmp_path / "unlike", stages, data=Faint()))
    notes = built["v"].record.stages[0].notes
    assert notes["drift"]["sqnr_db"] > 20
    assert notes["drift_on_test"]["sqnr_db"] < 1, "all that is larger is cut off"
    assert "v: quantize: the calibration data is unlike the test data" in caplog.text
    assert notes["calibration_data"] in caplog.text


def test_a_calibrated_model_is_judged_anew_on_other_test_data(tmp_path: Path) -> None:
    stages: dict[str, dict[str, Any]] = {"v": {"quantize": QuantizeStatic()}, "w": {"a": Scale()}}
    build(plan(tmp_path, stages))
    _, again = build(plan(tmp_path, stages, data=Faint(which="test")))
    assert again.built_count == 1, "the other stage reads no examples"


def test_a_stage_that_needs_pytorch_is_skipped_for_an_onnx_file(made: Made) -> None:
    assert made["for_pytorch"].record.status == "skipped"
    assert made["for_pytorch"].record.reason == (
        "prune needs a PyTorch model, and linear is an ONNX model: pip install onnx2pytorch makes one of it"
    )


def test_an_interrupted_stage_leaves_nothing_half_written_and_is_built_next_time(tmp_path: Path) -> None:
    def interrupt(label: str, done: float, text: str) -> None:
        if label.startswith("v: a"):
            raise KeyboardInterrupt

    chosen = plan(tmp_path, {"v": {"a": Scale()}})
    with making(chosen, interrupt) as builder, pytest.raises(KeyboardInterrupt):
        builder.build(chosen.variants["v"])
    assert not any((tmp_path / "store" / ".new").iterdir())
    built, again = build(chosen)
    assert built["v"].record.status == "ok"
    assert again.built_count == 1, "the model itself was stored before"


@dataclass(frozen=True)
class Columns(Arrays):
    """The same examples for a model that has them in its second axis."""

    def split(self, name: SplitName) -> Split:
        split = Arrays.split(self, name)
        return Split(Inputs(split.arrays, {"x": 1}), split.labels)


def test_a_batch_on_another_axis_is_free_in_the_record_though_the_first_axis_is_fixed(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "linear.onnx")
    model = onnx.load(path)
    model.graph.node.insert(0, helper.make_node("Transpose", ["x"], ["rows"], name="rows"))
    model.graph.node[1].input[0] = "rows"
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [8, "batch"]))
    onnx.save(model, path)
    built, _ = build(plan(tmp_path, {"baseline": {}}, data=Columns()))
    assert built["baseline"].record.reason is None
    assert built["baseline"].record.fixed_batch is None


@dataclass(frozen=True)
class Cut(Arrays):
    """The same examples, shorter."""

    length: int = 8

    def split(self, name: SplitName) -> Split:
        split = Arrays.split(self, name)
        return Split({"x": split.arrays["x"][:, : self.length]}, None)


def test_a_model_with_the_sizes_of_the_data_is_built_anew_for_other_sizes(tmp_path: Path) -> None:
    free = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "length"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="relu")], "relu", free[:1], free[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "linear.onnx"
    )
    for length in (8, 5):
        built, _ = build(plan(tmp_path, {"v": {"fix": FixShapes()}}, data=Cut(length=length)))
        declared = onnx.load(built["v"].artifact.onnx_path).graph.input[0].type.tensor_type.shape.dim
        assert [size.dim_value for size in declared] == [1, length]
