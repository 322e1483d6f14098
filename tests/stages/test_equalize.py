"""Cross-layer equalization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.errors import Skipped, StageFailed, Unchanged
from pipeline.stages.equalize import Equalize
from pipeline.stages.quantization.absorption import absorbable
from pipeline.stages.quantization.channel_ranges import Ranges
from pipeline.stages.quantization.links import links, reader_of
from pipeline.stages.quantize_static import QuantizeStatic
from tests.stages import onnx_models as graphs
from tests.stages.models import MemoryDataset, Workplace
from tests.stages.quantization.test_preparation import on_graph
from tests.stages.refusal import refusal


@pytest.fixture
def uneven(workplace: Workplace, tmp_path: Path) -> Artifact:
    return on_graph(workplace, tmp_path, graphs.uneven_channels())


def test_the_links_are_the_layers_that_only_layers_read() -> None:
    found = links(graphs.uneven_channels())
    assert [(link.maker, link.readers, link.name) for link in found] == [
        ("expand", ("each",), "r"),
        ("each", ("project",), "s"),
        ("project", ("grouped",), "p"),
        ("grouped", ("classify",), "t"),
    ]


def test_a_layer_that_others_read_too_is_left_alone() -> None:
    assert links(graphs.branching()) == []
    model = graphs.uneven_channels()
    model.graph.output.append(onnx.helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, None))
    assert [link.maker for link in links(model)] == ["expand", "each", "grouped"]


@pytest.mark.parametrize("low", [None, -1.0])
def test_a_cut_that_is_not_at_zero_breaks_a_link(low: float | None) -> None:
    model = graphs.uneven_channels()
    clip = next(node for node in model.graph.node if node.name == "relu6")
    if low is None:
        clip.input[1] = ""
    else:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(low, np.float32), "low"))
        clip.input[1] = "low"
    assert [link.maker for link in links(model)] == ["each", "project", "grouped"]


@pytest.mark.parametrize("strength", [None, 0.5, 1.0])
def test_the_equalized_model_computes_the_same(workplace: Workplace, uneven: Artifact, strength: float | None) -> None:
    equalized = workplace.build(Equalize(strength=strength), uneven)
    found = check_output(uneven, equalized, Equalize.tolerance, workplace.context().feed("calibration"))
    assert found["sqnr_db"] > 80
    assert set(workplace.notes["strengths"]) == {"expand", "each", "project", "grouped"}
    assert workplace.progress == sorted(workplace.progress)


def test_quantization_loses_less_afterwards(workplace: Workplace, uneven: Artifact) -> None:
    feed = workplace.context().feed("calibration")
    stage = QuantizeStatic(compensation="none")
    plain = check_output(uneven, workplace.build(stage, uneven, "plain"), None, feed)["sqnr_db"]
    equalized = workplace.build(Equalize(), uneven, "equalized")
    after = check_output(uneven, workplace.build(stage, equalized, "after"), None, feed)["sqnr_db"]
    assert after > plain + 2


def test_a_strength_of_0_changes_nothing(workplace: Workplace, uneven: Artifact) -> None:
    equalized = onnx.load(workplace.build(Equalize(strength=0.0), uneven).onnx_path)
    before = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(uneven.onnx_path).graph.initializer]
    after = [onnx.numpy_helper.to_array(tensor) for tensor in equalized.graph.initializer]
    assert sorted(array.tobytes() for array in after) == sorted(array.tobytes() for array in before)


@pytest.mark.parametrize("name", ["each", "project", "grouped"])
@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_the_error_is_what_rounding_adds(name: str, factor: float) -> None:
    """Against a layer that is quantized by hand, at random places."""
    model = graphs.uneven_channels()
    node = next(node for node in model.graph.node if node.name == name)
    array = next(onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name == node.input[1])
    reader = reader_of(node, array)
    weights, channels = reader.weights, reader.channels
    rng = np.random.default_rng(0)
    count = int(channels.max()) + 1
    scales = np.geomspace(0.1, 1.0, count)
    x = rng.uniform(-scales, scales, (4000, weights.shape[2], count))
    factors = np.geomspace(factor, 1.0, count)
    seen = Ranges(x.min((0, 1)), x.max((0, 1)), np.square(x).mean((0, 1)), x.min((0, 1)))
    divided, grown = x / factors, weights * factors[channels][..., None]
    step, steps = np.ptp(divided) / 255, np.abs(grown).max((1, 2), keepdims=True) / 127
    restored, rounded = np.rint(divided / step) * step, np.rint(grown / steps) * steps
    exact = np.einsum("oit,ptoi->po", weights, x[:, :, channels])
    made = np.einsum("oit,ptoi->po", rounded, restored[:, :, channels])
    measured = np.square(made - exact).mean(0).sum()
    assert reader.error(seen, factors) == pytest.approx(measured, rel=0.35)


def test_what_has_no_links_is_unchanged(workplace: Workplace, tmp_path: Path) -> None:
    with pytest.raises(Unchanged, match="no layer's channels are read by layers alone"):
        workplace.build(Equalize(), on_graph(workplace, tmp_path, graphs.branching()))


def test_a_quantized_model_is_skipped(workplace: Workplace, uneven: Artifact) -> None:
    quantized = workplace.build(QuantizeStatic(), uneven, "quantized")
    with pytest.raises(Skipped, match="already quantized"):
        workplace.build(Equalize(), quantized)


def test_no_examples_are_refused(workplace: Workplace, uneven: Artifact, empty: MemoryDataset) -> None:
    workplace.data = empty
    with pytest.raises(StageFailed, match=r"needs calibration data: set data.calibration_size above 0"):
        workplace.build(Equalize(), uneven)


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"strength": 1.5}, "stage.strength"), ({"max_examples": 0}, "stage.max_examples")],
)
def test_a_field_out_of_bounds_is_refused(fields: dict[str, Any], told: str) -> None:
    assert told in refusal(Equalize, **fields)


def heavy_biases(*, pads: int = 0) -> onnx.ModelProto:
    """Three convolutions, of which the first adds 40 to half of its channels; the second may read zeros around them."""
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w0", "b0"], ["a"], name="first", kernel_shape=[3, 3]),
        onnx.helper.make_node("Relu", ["a"], ["r"], name="relu"),
        onnx.helper.make_node("Conv", ["r", "w1"], ["c"], name="second", kernel_shape=[3, 3], pads=[pads] * 4, group=2),
        onnx.helper.make_node("Relu", ["c"], ["s"], name="another"),
        onnx.helper.make_node("Conv", ["s", "w2", "b2"], ["k"], name="third", kernel_shape=[1, 1]),
        onnx.helper.make_node("GlobalAveragePool", ["k"], ["q"], name="pool"),
        onnx.helper.make_node("Flatten", ["q"], ["y"], name="flatten"),
    ]
    bias = np.where(np.arange(8) % 2, 40, 0).astype(np.float32)
    weights = [
        graphs.weight("w0", 8, 3, 3, 3),
        onnx.numpy_helper.from_array(bias, "b0"),
        graphs.weight("w1", 8, 4, 3, 3),
        graphs.weight("w2", 5, 8, 1, 1),
        graphs.weight("b2", 5),
    ]
    return graphs.graph_model(nodes, ("n", 3, 8, 8), ("n", 5), weights)


ABSORB = Equalize(absorb_biases=True, strength=0.0)


def test_a_model_without_its_high_biases_computes_the_same(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, heavy_biases())
    absorbed = workplace.build(ABSORB, source)
    found = check_output(source, absorbed, Equalize.tolerance, workplace.context().feed("calibration"))
    assert found["sqnr_db"] > 80
    assert workplace.notes["absorbed_channels"]["first"] == 4
    biases = {tensor.name: tensor for tensor in onnx.load(absorbed.onnx_path).graph.initializer}
    first = next(node for node in onnx.load(absorbed.onnx_path).graph.node if node.name == "first")
    assert np.abs(onnx.numpy_helper.to_array(biases[first.input[2]])).max() < 30


def test_quantization_loses_less_without_high_biases(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, heavy_biases())
    feed = workplace.context().feed("calibration")
    stage = QuantizeStatic(compensation="none")
    losses = []
    for number, equalize in enumerate((Equalize(), Equalize(absorb_biases=True))):
        equalized = workplace.build(equalize, source, f"equalized-{number}")
        losses.append(check_output(source, workplace.build(stage, equalized, str(number)), None, feed)["sqnr_db"])
    assert losses[1] > losses[0] + 6


def test_biases_stay_where_the_next_layer_reads_zeros_around_them(workplace: Workplace, tmp_path: Path) -> None:
    source = on_graph(workplace, tmp_path, heavy_biases(pads=1))
    workplace.build(ABSORB, source)
    assert "first" not in workplace.notes["absorbed_channels"]


def test_biases_stay_where_a_cut_or_a_pooling_lies_between() -> None:
    model = graphs.uneven_channels()
    assert [link.maker for link in absorbable(model, links(model))] == []
