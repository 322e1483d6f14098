"""When a library fails, the next gentler way is tried, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime.quantization
import onnxruntime.quantization.shape_inference
import pytest

from pipeline.artifact.proof import check_output
from pipeline.errors import Misnamed, Skipped, StageFailed
from pipeline.plan import Stage
from pipeline.stages.graphs.gentler import Asked, Way, quantized_gently
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import Workplace
from tests.stages.quantization.test_preparation import on_graph


def asked() -> Asked:
    nodes = [onnx.helper.make_node(kind, [], [], name=name) for name, kind in (("a1", "Conv"), ("b", "Gemm"))]
    return Asked(nodes=[*nodes, onnx.helper.make_node("Relu", [], [], name="c")], per_channel=True)


def tried(tmp_path: Path, *errors: str) -> tuple[list[str], dict[str, Any]]:
    """The ways tried where each of the first ones fails with one of these errors, and what was noted."""
    told: list[str] = []
    notes: dict[str, Any] = {}

    def attempt(way: Way) -> None:
        assert not list(tmp_path.iterdir())
        (tmp_path / "half-written").touch()
        told.append(way.words)
        if len(told) <= len(errors):
            raise RuntimeError(errors[len(told) - 1])

    quantized_gently(asked, attempt, tmp_path, notes.__setitem__)
    return told, notes


def test_what_works_as_asked_is_taken_without_a_word(tmp_path: Path) -> None:
    assert tried(tmp_path) == (["as asked"], {})


def test_each_way_is_gentler_than_the_one_before(tmp_path: Path) -> None:
    told, notes = tried(tmp_path, *["it broke"] * 5)
    assert told == [
        "as asked",
        "one scale per tensor",
        "without ONNX Runtime's preparation",
        "without ONNX Runtime's preparation, one scale per tensor",
        "only Conv, ConvTranspose, Gemm, MatMul",
        "every Conv in float",
    ]
    assert notes == {"done_instead": "every Conv in float, since otherwise: RuntimeError: it broke"}


@pytest.mark.parametrize("text", ["no kernel for a1", "node 'b' has none", "Name:'b_quant' failed"])
def test_what_the_error_names_stays_in_float_first(tmp_path: Path, text: str) -> None:
    name = "a1" if "a1" in text else "b"
    assert tried(tmp_path, text)[0] == ["as asked", f"{name} in float"]


def test_a_word_of_prose_is_no_name(tmp_path: Path) -> None:
    assert tried(tmp_path, "neither b nor c, in prose")[0][1] == "one scale per tensor"


def test_the_first_failure_is_told_where_nothing_works(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="RuntimeError: number 0"):
        tried(tmp_path, *[f"number {number}" for number in range(20)])


@pytest.mark.parametrize("error", [Misnamed("there is no such node"), Skipped("already quantized")])
def test_what_is_no_failure_of_a_library_is_not_tried_again(tmp_path: Path, error: Exception) -> None:
    calls = []

    def attempt(way: Way) -> None:
        calls.append(way)
        raise error

    with pytest.raises(type(error)):
        quantized_gently(asked, attempt, tmp_path, lambda name, value: None)
    assert len(calls) == 1


@pytest.mark.parametrize("stage", [QuantizeDynamic(), QuantizeStatic(format="qoperator")])
def test_weights_that_no_kernel_takes_stay_in_float(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    """The quantizer writes the model, and only running it shows that there is no such kernel."""
    source = on_graph(workplace, tmp_path, graphs.experts())
    output = workplace.build(stage, source)
    assert check_output(source, output, None, workplace.context().sample(64))["sqnr_db"] > 30
    assert workplace.notes["quantized"] == {"MatMul": "2 of 3"}
    assert workplace.notes["done_instead"].startswith("experts in float, since otherwise: ONNX Runtime can't run")


def test_the_reader_of_a_shared_table_stays_in_float(workplace: Workplace, tmp_path: Path) -> None:
    """The error names what it adds to the value that the node makes."""
    source = on_graph(workplace, tmp_path, graphs.tied())
    output = workplace.build(QuantizeStatic(), source)
    assert check_output(source, output, None, workplace.context().sample(64))["sqnr_db"] > 30
    assert workplace.notes["quantized"] == {"Gemm": "2 of 2"}
    assert workplace.notes["done_instead"].startswith("embedding in float, since otherwise: ONNX Runtime can't run")


def test_a_model_that_preparing_breaks_is_quantized_without(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("The truth value of an array is ambiguous")

    monkeypatch.setattr(onnxruntime.quantization.shape_inference, "quant_pre_process", broken)
    source = on_graph(workplace, tmp_path, graphs.unnamed_convolutions())
    stages: list[Stage] = [QuantizeStatic(), QuantizeDynamic()]
    for number, stage in enumerate(stages):
        workplace.build(stage, source, str(number))
        assert workplace.notes.pop("quantized") == {"Conv": "2 of 2", "Gemm": "1 of 1"}
        assert workplace.notes.pop("done_instead").startswith("without ONNX Runtime's preparation, since otherwise")
