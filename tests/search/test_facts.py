"""What a search reads from the model, the data and the machine before it builds anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from onnx import helper

from pipeline.artifact import Artifact
from pipeline.backends.openvino import OpenVino
from pipeline.data.fitted import Fit, Fitted, Wanted
from pipeline.data.noise import Noise
from pipeline.plan import Target
from pipeline.search.facts import facts_of, graph_of
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import FEATURES, Arrays, Scale, plan
from tests.importing.graphs import model, value, weight
from tests.stages.conftest import onnx_encoder as onnx_encoder
from tests.stages.conftest import onnx_model as onnx_model
from tests.stages.conftest import torch_encoder as torch_encoder
from tests.stages.conftest import torch_model as torch_model
from tests.stages.models import Workplace
from tests.stages.test_fix_shapes import artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsMuch(Scale):
    """A stage that calls packages beyond slimline's own."""

    requires: ClassVar[tuple[str, ...]] = ("numpy", "no_such_package")


def test_a_network_of_convolutions_is_told_by_its_work(onnx_model: Artifact) -> None:
    graph = graph_of(onnx_model, {})
    assert graph is not None
    assert graph.convolutions is not None
    assert graph.products is not None
    assert graph.convolutions + graph.products == pytest.approx(1)
    assert graph.convolutions > 0.9
    assert 0 < graph.product_weights < 0.1
    assert (graph.attention, graph.normalizes, graph.quantized) == (False, False, False)
    assert graph.free


def test_an_encoder_is_told_by_its_products_and_its_attention(onnx_encoder: Artifact) -> None:
    graph = graph_of(onnx_encoder, {})
    assert graph is not None
    assert graph.convolutions == 0
    assert graph.products is not None
    assert 0.5 < graph.products < 1, "attention multiplies activations, too"
    assert graph.attention
    assert graph.normalizes


def test_free_axes_are_counted_at_the_sizes_of_the_data(tmp_path: Path) -> None:
    source = artifact(
        model(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            [value("x", ["n", "length", 4])],
            [value("y", ["n", "length", 3])],
            [weight("w", 4, 3)],
        ),
        tmp_path / "free",
    )
    unknown, known = graph_of(source, {}), graph_of(source, {"x": (1, 5, 4)})
    assert unknown is not None
    assert known is not None
    assert (unknown.products, known.products) == (None, 1.0)
    assert known.free


def test_a_quantized_model_is_told(onnx_model: Artifact, tmp_path: Path) -> None:
    graph = graph_of(Workplace(tmp_path).build(QuantizeStatic(), onnx_model), {})
    assert graph is not None
    assert graph.quantized


def test_a_pytorch_model_has_no_graph(torch_model: Artifact) -> None:
    assert graph_of(torch_model, {}) is None


def test_the_facts_tell_which_examples_and_packages_there_are(tmp_path: Path) -> None:
    chains: dict[str, Any] = {"baseline": {}, "v": {"q": QuantizeStatic(), "a": NeedsMuch()}}
    facts = facts_of(plan(tmp_path, chains), None)
    assert facts.splits.keys() == {"calibration"}
    assert facts.labels
    assert facts.missing == {"no_such_package"}
    assert not facts_of(plan(tmp_path, chains, data=Arrays(labelled=False)), None).labels


def test_random_values_are_told(tmp_path: Path) -> None:
    noise = Noise(examples={"test": 8, "calibration": 8})
    wanted = {"x": Wanted(shape=(None, FEATURES), dtype="float32")}
    chains: dict[str, Any] = {"baseline": {}, "v": {"q": QuantizeStatic()}}
    facts = facts_of(
        plan(tmp_path, chains, data=Fitted(data=noise.drawn_for(wanted, {}), fit=Fit(wanted=wanted))), None
    )
    assert facts.drawn
    assert facts.splits == {"calibration": 8}
    assert not facts.labels


def test_a_target_that_can_not_run_here_is_told_with_its_reason(tmp_path: Path) -> None:
    other = Target(name="other", backend=OpenVino(), device="cuda")
    chosen = plan(tmp_path, {"baseline": {}})
    facts = facts_of(replace(chosen, targets={**chosen.targets, "other": other}), None)
    assert list(facts.unavailable) == ["other"]
    assert "only OpenVINO's CPU plugin" in facts.unavailable["other"]
