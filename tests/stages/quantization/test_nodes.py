"""Which graphs have attention."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from pipeline.stages.quantization.nodes import has_attention
from tests.importing.graphs import model, value

END = helper.make_node("MatMul", ["p", "v"], ["y"])
NAN = helper.make_node("IsNaN", ["s"], ["nan"])


@pytest.mark.parametrize(
    ("between", "found"),
    [
        ([helper.make_node("Identity", ["s"], ["p"])], True),
        ([NAN, helper.make_node("Where", ["nan", "zero", "s"], ["p"])], True),
        ([helper.make_node("Cast", ["s"], ["c"], to=10), helper.make_node("Dropout", ["c"], ["p"])], True),
        ([NAN, helper.make_node("Cast", ["nan"], ["p"], to=1)], False),
        ([helper.make_node("Relu", ["s"], ["p"])], False),
    ],
)
def test_attention_is_a_softmax_whose_result_goes_into_a_product_at_most_masked_or_cast(
    between: list[onnx.NodeProto], found: bool
) -> None:
    inputs = [value(name, ["n", 4, 4]) for name in ("x", "v", "zero")]
    nodes = [helper.make_node("Softmax", ["x"], ["s"]), *between, END]
    assert has_attention(model(nodes, inputs, [value("y", ["n", 4, 4])], [])) is found
