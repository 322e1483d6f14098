from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.bundle.package.kinds import EXACT, kind_of
from pipeline.bundle.package.write import packable
from pipeline.bundle.session import session_entry
from pipeline.errors import Skipped
from pipeline.plan import Target
from tests.bundle import example as plain
from tests.bundle.package import example

ON_CPU: dict[str, Any] = {"providers": [{"name": "CPUExecutionProvider"}]}


def in_pairs(weight: NDArray[Any], *, quantized: bool = True) -> onnx.ModelProto:
    """A product of a weight behind DequantizeLinear with values behind QuantizeLinear and DequantizeLinear, or with
    plain ones."""
    constants: dict[str, Any] = {"weight": weight, "step": np.float32(0.1), "middle": np.int8(0)}
    nodes = [helper.make_node("DequantizeLinear", ["weight", "step"], ["factor"])]
    if weight.dtype.kind == "f":
        nodes[:0] = [helper.make_node("QuantizeLinear", ["weight", "step", "middle"], ["inside"])]
        nodes[1].input[0] = "inside"
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["values", "step"], ["bytes"]))
        nodes.append(helper.make_node("DequantizeLinear", ["bytes", "step"], ["read"]))
    nodes.append(helper.make_node("MatMul", ["read" if quantized else "values", "factor"], ["product"]))
    return plain.model_of(
        nodes,
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def kind_in_pairs(folder: Path, weight: NDArray[Any], *, quantized: bool = True) -> str:
    onnx.save(in_pairs(weight, quantized=quantized), folder / "model.onnx")
    return kind_of(folder / "model.onnx", ON_CPU)


def test_weights_of_8_bits_are_for_processors_that_add_in_32_bits_and_those_of_7_for_all_x86(tmp_path: Path) -> None:
    found = {name: kind_of(artifact.onnx_path, ON_CPU) for name, artifact in example.artifacts(tmp_path).items()}
    assert found == {"float": "any", "int8": "vnni", "int7": "avx2"}


@pytest.mark.parametrize(
    ("largest", "dtype", "kind"), [(64, np.int8, "avx2"), (65, np.int8, "vnni"), (200, np.uint8, "avx2")]
)
def test_64_is_the_largest_weight_that_never_saturates(tmp_path: Path, largest: int, dtype: Any, kind: str) -> None:
    assert kind_in_pairs(tmp_path, np.full((4, 4), largest, dtype)) == kind


def test_a_weight_that_is_quantized_in_the_graph_counts_as_8_bits(tmp_path: Path) -> None:
    assert kind_in_pairs(tmp_path, np.ones((4, 4), np.float32)) == "vnni"


def test_weights_alone_in_int8_make_no_int8_products(tmp_path: Path) -> None:
    assert kind_in_pairs(tmp_path, np.full((4, 4), 127, np.int8), quantized=False) == "any"


def test_a_session_on_a_gpu_is_for_cuda(tmp_path: Path) -> None:
    path = example.artifacts(tmp_path, ["float"])["float"].onnx_path
    assert kind_of(path, {"providers": [{"name": "CUDAExecutionProvider"}]}) == "cuda"


def test_a_package_opens_8_bit_weights_with_exact_products_and_other_models_as_they_were_timed(tmp_path: Path) -> None:
    artifacts = example.artifacts(tmp_path)
    tuned = Target(name="ort_cpu", backend=OnnxRuntime(), session={"config": {"session.set_denormal_as_zero": "1"}})
    changed = session_entry(packable(artifacts["int8"], tuned)[1])["config_entries"]
    assert changed.items() >= {**EXACT, "session.set_denormal_as_zero": "1"}.items()
    assert packable(artifacts["int7"], tuned) == ("avx2", tuned)


def test_a_package_takes_no_model_of_another_runtime(tmp_path: Path) -> None:
    from pipeline.backends.openvino import OpenVino

    artifact = example.artifacts(tmp_path, ["float"])["float"]
    with pytest.raises(Skipped, match="ONNX models for ONNX Runtime"):
        packable(artifact, Target(name="openvino_cpu", backend=OpenVino()))
