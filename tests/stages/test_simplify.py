"""Simplification with onnxslim."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped
from pipeline.stages import simplify
from pipeline.stages.simplify import Simplify
from tests.stages.models import Workplace, sentences
from tests.stages.onnx_models import saved


@pytest.mark.skipif(find_spec("onnxslim") is None, reason="needs the extra simplify")
def test_the_simplified_model_has_fewer_nodes_and_computes_the_same(
    workplace: Workplace, traced_encoder: Artifact
) -> None:
    simplified = workplace.build(Simplify(), traced_encoder)
    before, after = map(int, workplace.notes["nodes"].split(" to "))
    assert after < before
    assert check_output(traced_encoder, simplified, Simplify.tolerance, sentences())["cosine_min"] > 0.9999


def test_without_onnxslim_the_row_is_skipped_saying_what_to_install(
    workplace: Workplace, onnx_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Any:
        return None

    monkeypatch.setattr(simplify, "find_spec", nothing)
    with pytest.raises(Skipped, match="pip install onnxslim"):
        workplace.build(Simplify(), onnx_model)


@pytest.mark.skipif(find_spec("onnxslim") is None, reason="needs the extra simplify")
def test_a_graph_that_would_grow_is_left_as_it_was(
    workplace: Workplace, onnx_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    import onnxslim

    def grown(model: onnx.ModelProto) -> onnx.ModelProto:
        larger = onnx.ModelProto()
        larger.CopyFrom(model)
        output = larger.graph.output[0].name
        maker = next(node for node in larger.graph.node if output in node.output)
        maker.output[list(maker.output).index(output)] = "before"
        larger.graph.node.append(onnx.helper.make_node("Identity", ["before"], [output]))
        return larger

    monkeypatch.setattr(onnxslim, "slim", grown)
    nodes = len(onnx.load(onnx_model.onnx_path).graph.node)
    with pytest.raises(Skipped, match=f"onnxslim made {nodes + 1} nodes of {nodes}"):
        workplace.build(Simplify(), onnx_model)


@pytest.mark.skipif(find_spec("onnxslim") is None, reason="needs the extra simplify")
def test_an_input_that_nothing_reads_stays(workplace: Workplace, traced_encoder: Artifact) -> None:
    import onnx

    model = onnx.load(traced_encoder.onnx_path)
    model.graph.input.insert(0, onnx.helper.make_tensor_value_info("idle", onnx.TensorProto.FLOAT, ["n", 2]))
    simplified = workplace.build(Simplify(), saved(model, workplace.folder / "idle"))
    names = [value.name for value in onnx.load(simplified.onnx_path).graph.input]
    assert names == [value.name for value in model.graph.input]
