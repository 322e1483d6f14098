"""A variant's graph beside the baseline's: its places, its blocks, and who wrote its nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact.onnx_rewriting import copied
from pipeline.errors import StageFailed
from pipeline.measure.map import mapping
from pipeline.measure.map.blocks import MOST_BLOCKS, blocks
from pipeline.measure.map.cutting import GIVEN, cut
from pipeline.measure.map.graph import Graph
from pipeline.measure.map.mapping import MapTask, Step, mapped
from pipeline.measure.map.places import edges, owners
from pipeline.results.map import EQUAL_DB, UNCHANGED, VariantMap
from tests.measure.map.networks import NETWORKS, examples, quantized
from tests.measure.map.test_planted import kept, places_of


@pytest.fixture(name="int8", scope="module")
def _int8(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return quantized("residual", tmp_path_factory.mktemp("int8"))


def map_of(variant: onnx.ModelProto, folder: Path, kind: str = "residual") -> VariantMap:
    return mapped(
        MapTask(
            variant="other",
            baseline=kept(NETWORKS[kind](), folder / "baseline"),
            chain=[Step(artifact=kept(variant, folder / "variant"), stage="change")],
            reference=None,
            examples=examples(kind, 3, 0),
        )
    )


def test_a_place_has_the_nodes_of_both_graphs_that_make_its_tensor(int8: onnx.ModelProto, tmp_path: Path) -> None:
    places = {place.tensor: place for place in places_of("residual", int8, tmp_path)}
    assert [node.op for node in places["relu1"].before] == ["Conv", "Relu"]  # the quantizer took the Relu in
    assert [node.name for node in places["relu1"].after if node.op in ("Conv", "QuantizeLinear")] == [
        "node_conv1.a",
        "relu1_QuantizeLinear",
    ]
    assert places["x"].before == []
    assert [node.op for node in places["x"].after] == ["QuantizeLinear", "DequantizeLinear"]


def test_a_residual_sum_reads_both_of_its_sources(int8: onnx.ModelProto, tmp_path: Path) -> None:
    places = places_of("residual", int8, tmp_path)
    (summed,) = (place for place in places if place.tensor == "out1")
    assert [places[number].tensor for number in summed.reads] == ["relu0", "conv1.b"]


def test_the_same_model_has_no_error_anywhere_and_no_stage_wrote_it(tmp_path: Path) -> None:
    found = map_of(NETWORKS["residual"](), tmp_path)
    assert (found.reason, found.why_no_error, found.examples) == (None, None, 3)
    assert {place.sqnr_db for place in found.places} == {EQUAL_DB}
    assert {node.stage for place in found.places for node in place.after} == {UNCHANGED}


def test_a_node_whose_weights_changed_is_the_stages_and_others_are_not(tmp_path: Path) -> None:
    model = NETWORKS["residual"]()
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "conv2.a.weight")
    tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    places = map_of(model, tmp_path).places
    assert {place.tensor: place.stages for place in places if place.stages} == {"conv2.a": ["change"]}


def test_an_error_is_carried_on_and_born_once(tmp_path: Path) -> None:
    model = NETWORKS["residual"]()
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "conv1.b.weight")
    tensor.CopyFrom(numpy_helper.from_array(np.float32(1.1) * numpy_helper.to_array(tensor), tensor.name))
    places = {place.tensor: place for place in map_of(model, tmp_path).places}
    assert {name for name, place in places.items() if (place.own_sqnr_db or EQUAL_DB) < 60} == {"conv1.b"}
    assert (places["out2"].sqnr_db or EQUAL_DB) < 40
    assert places["relu1"].sqnr_db == EQUAL_DB


def test_layers_of_other_sizes_are_laid_side_by_side_without_an_error(tmp_path: Path) -> None:
    found = map_of(_narrower(), tmp_path, "attention")
    hidden = next(place for place in found.places if place.tensor == "hidden")
    assert hidden.reason == "it is [1, 10, 24] here and [1, 10, 32] there"
    assert hidden.own_sqnr_db is None
    last = found.places[-1]
    assert last.tensor == "y"
    assert last.sqnr_db is not None


def _narrower() -> onnx.ModelProto:
    """The hidden layer with 24 of its 32 units."""
    model = NETWORKS["attention"]()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in ("wide.weight", "wide.bias"):
            tensor.CopyFrom(numpy_helper.from_array(array[..., :24].copy(), tensor.name))
        if tensor.name == "narrow.weight":
            tensor.CopyFrom(numpy_helper.from_array(array[:24].copy(), tensor.name))
    return model


def test_a_model_that_cannot_be_run_is_drawn_without_errors_and_says_why(tmp_path: Path) -> None:
    model = NETWORKS["residual"]()
    model.graph.node[0].op_type = "NoSuchOperator"
    found = map_of(model, tmp_path)
    assert found.why_no_error is not None
    assert "NoSuchOperator" in found.why_no_error
    assert [place.tensor for place in found.places][:2] == ["x", "conv0"]


def test_a_graph_that_shares_no_name_is_told_so(tmp_path: Path) -> None:
    model = NETWORKS["residual"]()
    for node in model.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name not in {tensor.name for tensor in model.graph.initializer} | {"x"}:
                    names[at] = f"other_{name}"
    model.graph.output[0].name = "other_y"
    with pytest.raises(StageFailed, match="no value of its graph"):
        map_of(model, tmp_path)


def test_a_graph_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "MOST_NODES", 5)
    with pytest.raises(StageFailed, match="nodes, and a map is drawn of 5 at most"):
        map_of(NETWORKS["residual"](), tmp_path)


def test_every_place_reads_what_is_given_and_a_rounding_keeps_its_own_value(int8: onnx.ModelProto) -> None:
    graph = Graph(int8)
    model = cut(graph, dict.fromkeys(["relu0", "relu1", "out1"], np.dtype(np.float32)))
    read = {node.name: list(node.input) for node in model.graph.node}
    assert read["node_conv1.a"][0] == f"{GIVEN}relu0"
    assert read["relu0_QuantizeLinear"][0] == "relu0"
    assert f"{GIVEN}relu0" in read["node_sum1"]
    assert [value.name for value in model.graph.output] == [graph.as_read(name) for name in ("relu0", "relu1", "out1")]
    assert graph.model.graph.output[0].name == "y"  # the graph itself is not changed


def test_nodes_between_two_matched_tensors_belong_to_the_later_one() -> None:
    graph = Graph(NETWORKS["attention"]())
    places = {"x": 0, "embedded": 1, "context": 2, "y": 3}
    owned = owners(graph, places)
    of = {node.name: place for node, place in zip(graph.nodes, owned, strict=True)}
    assert (of["node_embedded.product"], of["node_shares"], of["node_sum1"], of["node_y"]) == (1, 2, 3, 3)
    assert edges(graph, places, owned) == [[], [0], [1], [1, 2]]


def chain(count: int, name: str) -> Graph:
    """Relus one after the other; ``name`` is the pattern of a node's name."""
    nodes = [helper.make_node("Relu", [f"t{at}"], [f"t{at + 1}"], name=name.format(at // 5, at)) for at in range(count)]
    ends = [helper.make_tensor_value_info(f"t{at}", TensorProto.FLOAT, [1]) for at in (0, count)]
    return Graph(helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:])))


def blocks_of(graph: Graph) -> list[str]:
    tensors = list(graph.live)
    return blocks(graph, tensors, owners(graph, {name: place for place, name in enumerate(tensors)}))


def test_blocks_are_the_modules_that_nodes_are_named_after() -> None:
    found = blocks_of(chain(40, "/encoder/layer.{}/act{}/Relu"))
    assert list(dict.fromkeys(found)) == [f"encoder.layer.{number}" for number in range(8)]
    assert found[0] == found[1]  # the input lies in the block that reads it


def test_many_nodes_without_names_are_cut_where_one_value_goes_on() -> None:
    found = blocks_of(chain(400, ""))
    assert 10 < len(set(found)) <= MOST_BLOCKS
    assert found == sorted(found, key=found.index)


def test_a_small_model_without_names_is_one_block() -> None:
    assert set(blocks_of(chain(12, ""))) == {""}


def test_a_value_that_is_rounded_for_one_reader_only_is_read_as_it_is_by_the_others(int8: onnx.ModelProto) -> None:
    model = copied(int8)
    (node,) = (node for node in model.graph.node if node.name == "node_sum1")
    node.input[1] = "relu0"
    graph = Graph(model)
    rounding = graph.rounding("relu0")
    assert rounding is not None
    assert graph.as_read("relu0") == rounding.restored[0] != "relu0"
    assert graph.rounding("sum1") is None
