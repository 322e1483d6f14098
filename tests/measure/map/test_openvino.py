"""The map of a model in OpenVINO's own format, beside the ONNX file of the baseline."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from pipeline.artifact import OPENVINO_FILE, Artifact
from pipeline.artifact.openvino_model import read_model
from pipeline.libraries.telemetry import without_telemetry
from pipeline.measure.map.mapping import MapTask, Step, mapped
from pipeline.measure.map.openvino_graph import read_layers
from pipeline.results.map import UNCHANGED, VariantMap, worst_of
from tests.artifact.openvino_models import converted
from tests.measure.map.networks import NETWORKS, examples
from tests.measure.map.test_planted import kept

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")
EXACT_DB = 90.0
"""Two runtimes agree up to the rounding of float32."""
Change = Callable[[NDArray[Any]], NDArray[Any]]


def changed(kind: str, weights: dict[str, Change]) -> onnx.ModelProto:
    model = NETWORKS[kind]()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            array = weights.pop(tensor.name)(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    assert not weights
    return model


def in_openvino(model: onnx.ModelProto, folder: Path) -> Artifact:
    return converted(kept(model, folder / "source"), folder / "openvino")


def map_of(kind: str, variant: Artifact, folder: Path) -> VariantMap:
    baseline = kept(NETWORKS[kind](), folder / "baseline")
    chain = [Step(artifact=baseline, stage="export"), Step(artifact=variant, stage="quantize")]
    return mapped(
        MapTask(variant="other", baseline=baseline, chain=chain, reference=None, examples=examples(kind, 4, 3))
    )


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_model_is_equal_everywhere_and_no_stage_wrote_it(kind: str, tmp_path: Path) -> None:
    found = map_of(kind, in_openvino(NETWORKS[kind](), tmp_path), tmp_path)
    assert (found.reason, found.why_no_error, found.examples) == (None, None, 4)
    tensors = [place.tensor for place in found.places]
    assert {"residual": {"relu0", "conv1.b", "out2", "y"}, "attention": {"embedded", "sum1", "y"}}[kind] <= {*tensors}
    assert [place.tensor for place in found.places if (place.sqnr_db or 0) < EXACT_DB] == []
    assert {node.stage for place in found.places for node in place.after} == {UNCHANGED}


@pytest.mark.parametrize(
    ("kind", "weight", "place"),
    [
        ("residual", "conv1.b.weight", "conv1.b"),
        ("residual", "conv2.a.bias", "conv2.a"),
        ("attention", "value.weight", "value"),
        ("attention", "wide.bias", "wide"),
    ],
)
def test_an_error_is_born_where_a_weight_was_changed_and_the_stage_wrote_that_place_alone(
    kind: str, weight: str, place: str, tmp_path: Path
) -> None:
    found = map_of(kind, in_openvino(changed(kind, {weight: lambda array: array * 1.2}), tmp_path), tmp_path)
    worst = worst_of(found.places)
    assert worst is not None
    assert worst.tensor.startswith(place)
    assert [one.tensor for one in found.places if one.stages] == [worst.tensor]
    assert [one.tensor for one in found.places if (one.own_sqnr_db or EXACT_DB) < 60] == [worst.tensor]
    assert (found.places[-1].sqnr_db or EXACT_DB) < 60


def rounded(source: Artifact, after: str, levels: int, folder: Path) -> Artifact:
    """The model with a value rounded for all who read it, as NNCF does."""
    openvino = without_telemetry("openvino")
    opset, model = openvino.opset13, read_model(source)
    (output,) = (output for layer in model.get_ops() for output in layer.outputs() if after in output.get_names())
    ends = [opset.constant(np.float32(end)) for end in (0, 4, 0, 4)]
    rounding = opset.fake_quantize(output, *ends, levels, name=f"{after}/fq_output_0")
    for reader in output.get_target_inputs():
        if reader.get_node().get_friendly_name() != f"{after}/fq_output_0":
            reader.replace_source_output(rounding.output(0))
    folder.mkdir()
    openvino.save_model(model, str(folder / OPENVINO_FILE), compress_to_fp16=False)
    return Artifact(folder, "openvino", "rounded")


def test_a_rounding_belongs_to_the_value_that_it_rounds(tmp_path: Path) -> None:
    plain = in_openvino(NETWORKS["residual"](), tmp_path)
    found = map_of("residual", rounded(plain, "relu1", 16, tmp_path / "rounded"), tmp_path)
    worst = worst_of(found.places)
    assert worst is not None
    assert worst.tensor == "relu1"
    assert [node.op for node in worst.after if node.stage == "quantize"] == ["FakeQuantize"]
    assert worst.after_range is not None
    assert worst.after_range.high <= 4
    assert (worst.own_sqnr_db or 0) == pytest.approx(worst.sqnr_db or 0)


def test_constants_are_told_apart_by_their_values(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = read_layers(in_openvino(NETWORKS["residual"](), tmp_path / "a").path)
    other = read_layers(in_openvino(changed("residual", {"head.bias": lambda array: array + 1}), tmp_path / "b").path)
    before, after = ({bytes(weight.raw_data) for weight in each.graph.model.graph.initializer} for each in (one, other))
    assert len(before ^ after) == 2
    assert one.graph.fed == ["x"]
    assert one.ports["relu1"][0] == "node_relu1"
