"""Ten faults are planted in quantized networks: the place that makes the largest error is where the fault is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.onnx_rewriting import copied
from pipeline.measure.map.mapping import MapTask, Step, mapped
from pipeline.results.map import MapPlace, worst_of
from tests.measure.map.networks import NETWORKS, examples, quantized

Change = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Fault:
    """A constant that is changed, and the node that then computes something else."""

    network: str
    constant: str
    change: Change
    node: str


def coarser(scale: NDArray[Any]) -> NDArray[Any]:
    """A scale of 8 times the size."""
    return np.asarray(scale * 8, scale.dtype)


def halved(scale: NDArray[Any]) -> NDArray[Any]:
    """A scale of half the size, so that half of the range is clipped."""
    return np.asarray(scale / 2, scale.dtype)


def dropped(bias: NDArray[Any]) -> NDArray[Any]:
    return np.zeros_like(bias)


def without_its_largest(weight: NDArray[Any]) -> NDArray[Any]:
    found = weight.copy()
    found.flat[np.abs(weight.astype(float)).argmax()] = 0
    return found


def shifted(zero_point: NDArray[Any]) -> NDArray[Any]:
    """A zero point that lies 40 of the 255 steps too high, so that large values are clipped."""
    return np.asarray(zero_point + 40, zero_point.dtype)


FAULTS = [
    Fault("residual", "conv0.weight_scale", coarser, "node_conv0"),
    Fault("residual", "conv2.b.bias_quantized", dropped, "node_conv2.b"),
    Fault("residual", "conv2.a.weight_quantized", without_its_largest, "node_conv2.a"),
    Fault("residual", "relu2_zero_point", shifted, "relu2_QuantizeLinear"),
    Fault("residual", "out1_scale", halved, "out1_QuantizeLinear"),
    Fault("attention", "wide.weight_scale", coarser, "node_wide.product"),
    Fault("attention", "query.bias_quantized", dropped, "node_query"),
    Fault("attention", "value.weight_quantized", without_its_largest, "node_value.product"),
    Fault("attention", "context_scale", halved, "context_QuantizeLinear"),
    Fault("attention", "sum1_zero_point", shifted, "sum1_QuantizeLinear"),
]


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(name="healthy", scope="module")
def _healthy(folder: Path) -> Mapping[str, onnx.ModelProto]:
    found = {}
    for kind in NETWORKS:
        (folder / kind).mkdir()
        found[kind] = quantized(kind, folder / kind)
    return found


def kept(model: onnx.ModelProto, folder: Path) -> Artifact:
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / ONNX_FILE)
    return Artifact(folder, "onnx", folder.name)


def places_of(kind: str, variant: onnx.ModelProto, folder: Path) -> list[MapPlace]:
    task = MapTask(
        variant="int8",
        baseline=kept(NETWORKS[kind](), folder / "baseline"),
        chain=[Step(artifact=kept(variant, folder / "variant"), stage="quantize")],
        reference=None,
        examples=examples(kind, 8, 11),
    )
    return mapped(task).places


def planted(model: onnx.ModelProto, fault: Fault) -> onnx.ModelProto:
    changed = copied(model)
    (tensor,) = (tensor for tensor in changed.graph.initializer if tensor.name == fault.constant)
    before = numpy_helper.to_array(tensor)
    after = fault.change(before)
    assert not np.array_equal(before, after)
    tensor.CopyFrom(numpy_helper.from_array(after, fault.constant))
    return changed


def is_found(fault: Fault, healthy: Mapping[str, onnx.ModelProto], folder: Path) -> bool:
    worst = worst_of(places_of(fault.network, planted(healthy[fault.network], fault), folder))
    assert worst is not None
    return fault.node in {node.name for node in worst.after}


def test_the_worst_place_is_the_planted_one_at_least_9_times_of_10(
    healthy: Mapping[str, onnx.ModelProto], folder: Path
) -> None:
    found = [is_found(fault, healthy, folder) for fault in FAULTS]
    assert sum(found) >= 9, [fault for fault, is_there in zip(FAULTS, found, strict=True) if not is_there]


def test_the_faults_are_in_nodes_that_are_not_the_worst_without_them(
    healthy: Mapping[str, onnx.ModelProto], folder: Path
) -> None:
    for kind, model in healthy.items():
        worst = worst_of(places_of(kind, model, folder))
        assert worst is not None
        names = {node.name for node in worst.after}
        assert [fault for fault in FAULTS if fault.network == kind and fault.node in names] == []
