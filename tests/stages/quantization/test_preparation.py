"""Models that the quantizers of ONNX Runtime get wrong, or refuse, unless they are made ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped
from pipeline.plan import Stage
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_mixed import QuantizeMixed
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.quantize_weights import QuantizeWeights
from pipeline.stages.smooth_quant import SmoothQuant
from tests.stages import onnx_models as graphs
from tests.stages.models import ArrayDataset, Workplace

QOPERATOR = QuantizeStatic(format="qoperator")
EIGHT_BITS: list[Stage] = [QuantizeStatic(), QOPERATOR, QuantizeDynamic(), QuantizeWeights(bits=8)]


def on_graph(workplace: Workplace, tmp_path: Path, model: onnx.ModelProto) -> Artifact:
    """The model on disk, and data that it reads in the workplace."""
    entry = model.graph.input[0].type.tensor_type
    dtype = np.float16 if entry.elem_type == TensorProto.FLOAT16 else np.float32
    workplace.data = ArrayDataset("x", tuple(size.dim_value for size in entry.shape.dim[1:]), np.dtype(dtype))
    return graphs.saved(model, tmp_path / "model")


def sqnr(workplace: Workplace, stage: Stage, source: Artifact) -> float:
    output = workplace.build(stage, source)
    return float(check_output(source, output, stage.tolerance, workplace.context().sample(64))["sqnr_db"])


@pytest.mark.parametrize("stage", [*EIGHT_BITS, QuantizeMixed(max_accuracy_drop=0.5), SmoothQuant(), ConvertFp16()])
def test_what_branches_read_stays_what_it_was(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    assert sqnr(workplace, stage, on_graph(workplace, tmp_path, graphs.branching())) > 30


@pytest.mark.parametrize("stage", EIGHT_BITS)
@pytest.mark.parametrize("opset", [11, 12, 17])
def test_nodes_without_names_are_told_apart(workplace: Workplace, tmp_path: Path, stage: Stage, opset: int) -> None:
    """They share a bias, too: its step is that of each product's own input."""
    assert sqnr(workplace, stage, on_graph(workplace, tmp_path, graphs.unnamed_convolutions(opset))) > 30
    assert workplace.notes.get("opset", "raised").startswith("raised")
    assert "done_instead" not in workplace.notes


@pytest.mark.parametrize("stage", [QuantizeStatic(), QuantizeDynamic()])
def test_an_opset_stays_where_a_newer_one_gives_something_else(
    workplace: Workplace, tmp_path: Path, stage: Stage
) -> None:
    """Hardmax means another thing from opset 13 on, and ONNX's converter leaves it as it is."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Hardmax", ["a"], ["h"], axis=2),
        helper.make_node("Add", ["a", "h"], ["s"]),
        helper.make_node("Flatten", ["s"], ["f"]),
        helper.make_node("Gemm", ["f", "w1"], ["y"]),
    ]
    weights = [graphs.weight("w0", 8, 3, 3, 3), graphs.weight("w1", 512, 5)]
    model = graphs.graph_model(nodes, ("n", 3, 8, 8), ("n", 5), weights, opset=11)
    workplace.build(stage, on_graph(workplace, tmp_path, model))
    assert workplace.notes["opset"].startswith("11, and it can't be raised to 13: output 0 differs by up to")


def test_leaving_out_a_type_leaves_out_no_other_node(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.unnamed_convolutions())
    workplace.build(QuantizeStatic(exclude_op_types=("Gemm",)), source)
    assert workplace.notes["quantized"] == {"Conv": "2 of 2", "Gemm": "0 of 1"}


def test_mixed_precision_tells_what_it_has_quantized(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.unnamed_convolutions())
    workplace.build(QuantizeMixed(max_accuracy_drop=0.9, measured=1), source)
    assert workplace.notes["quantized"] == {"Conv": "2 of 2", "Gemm": "1 of 1"}


@pytest.mark.parametrize("stage", EIGHT_BITS)
def test_a_model_in_half_precision_is_quantized(workplace: Workplace, tmp_path: Path, stage: Stage) -> None:
    source = on_graph(workplace, tmp_path, graphs.unnamed_convolutions(kind=TensorProto.FLOAT16))
    assert sqnr(workplace, stage, source) > 30


def test_grouped_transposed_convolutions_have_one_scale_per_tensor(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, graphs.transposed_convolutions())
    assert sqnr(workplace, QuantizeStatic(), source) > 25
    assert workplace.notes["quantized"] == {"ConvTranspose": "2 of 2"}
    assert workplace.notes["one_scale_per_tensor"] == "grouped: grouped transposed convolutions"


@pytest.mark.parametrize(
    "stage", [*EIGHT_BITS, QuantizeMixed(), SmoothQuant(), ConvertFp16()], ids=lambda stage: type(stage).__name__
)
@pytest.mark.parametrize("first", [QuantizeStatic(), QOPERATOR, QuantizeDynamic()])
def test_a_quantized_model_is_not_quantized_again(
    workplace: Workplace, tmp_path: Path, first: Stage, stage: Stage
) -> None:
    quantized = workplace.build(first, on_graph(workplace, tmp_path, graphs.unnamed_convolutions()), "first")
    with pytest.raises(Skipped, match="the model is already quantized"):
        workplace.build(stage, quantized, "second")


def test_what_is_left_in_float_beside_few_bits_becomes_half(workplace: Workplace, tmp_path: Path) -> None:
    quantized = workplace.build(
        QuantizeWeights(), on_graph(workplace, tmp_path, graphs.unnamed_convolutions()), "first"
    )
    assert sqnr(workplace, ConvertFp16(), quantized) > 30


@pytest.mark.parametrize("make", [graphs.branching, graphs.unnamed_convolutions])
def test_nothing_is_left_in_the_current_folder(
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    make: Callable[[], onnx.ModelProto],
) -> None:
    """Symbolic shape inference writes there what it could not finish; sessions write errors past Python."""
    model = make()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = ""
    source = on_graph(workplace, tmp_path, model)
    here = workplace.new("here")
    monkeypatch.chdir(here)
    for number, stage in enumerate(EIGHT_BITS):
        workplace.build(stage, source, str(number))
    assert list(here.iterdir()) == []
    assert capfd.readouterr().err == ""
