"""Ranges by what errors do to the products that read a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.artifact.proof import check_output
from pipeline.stages.quantization.calibration import Calibration
from pipeline.stages.quantization.output_error import read_by_products
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import Workplace
from tests.stages.quantization.test_preparation import on_graph


def test_an_error_in_a_channel_counts_as_the_weights_that_read_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="grouped", group=2, kernel_shape=[1, 1]),
        helper.make_node("Conv", ["x", "w1"], ["b"], name="whole", kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["b"], ["c"], name="flatten"),
        helper.make_node("Gemm", ["c", "w2"], ["d"], name="turned", transB=1),
        helper.make_node("MatMul", ["d", "w3"], ["e"], name="product"),
        helper.make_node("Gemm", ["e", "d"], ["y"], name="no constant", transB=1),
    ]
    arrays = {
        "w0": np.array([[1, 2], [3, 4]]).reshape(2, 2, 1, 1),
        "w1": np.array([[1, 0, 0, 5]]).reshape(1, 4, 1, 1),
        "w2": np.array([[2.0], [1.0]]),
        "w3": np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0]]),
    }
    weights = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    found = read_by_products(graphs.graph_model(nodes, (1, 4, 1, 1), ("n", "m"), weights))
    assert {name: weight.tolist() for name, (_, weight) in found.items()} == {
        "x": [1 + 1, 4 + 0, 9 + 0, 16 + 25],
        "c": [5.0],
        "d": [3.0, 4.0],
    }


@pytest.mark.parametrize("behind", ["Conv", "MatMul"])
def test_outliers_that_hardly_anything_reads_are_cut_off(workplace: Workplace, tmp_path: Path, behind: str) -> None:
    """The first channel is a hundred times as large as the others, and its weights are next to nothing."""
    large = np.ones((16, 1, 1) if behind == "Conv" else 16, np.float32)
    large[0] = 100
    reading = graphs.weight("w", *((8, 16, 1, 1) if behind == "Conv" else (16, 8)))
    array = numpy_helper.to_array(reading).copy()
    array[(slice(None), 0) if behind == "Conv" else 0] *= 1e-4
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["a"], name="outliers"),
        helper.make_node(behind, ["a", "w"], ["y"], name="product"),
    ]
    shape = ("n", 16, 4, 4) if behind == "Conv" else ("n", 5, 16)
    made = ("n", 8, 4, 4) if behind == "Conv" else ("n", 5, 8)
    weights = [numpy_helper.from_array(large, "large"), numpy_helper.from_array(array, "w")]
    source = on_graph(workplace, tmp_path, graphs.graph_model(nodes, shape, made, weights))
    feed = workplace.context().sample(64)

    def sqnr(method: Calibration) -> float:
        stage = QuantizeStatic(calibration=method, compensation="none", op_types=(behind,), min_sqnr_db=None)
        built = workplace.build(stage, source, method)
        assert onnx.load(built.onnx_path).graph.node
        return float(check_output(source, built, None, feed)["sqnr_db"])

    found = {method: sqnr(method) for method in ("minmax", "mse", "output")}
    assert found["output"] > found["minmax"] + 10
    assert found["output"] > found["mse"] + 10
