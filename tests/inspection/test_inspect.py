"""A model is looked at without storing or timing anything."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from rich.console import Console

from pipeline.data.dataset import Split, SplitName
from pipeline.inspection import command
from pipeline.inspection.inspect import inspect
from pipeline.inspection.inspection import ABOUT, SCHEMA_VERSION, Inspection, ModelInput, Suggested
from pipeline.inspection.telling import tell_inspection
from pipeline.metrics import Cosine
from pipeline.plan import Plan
from pipeline.report.document import print_document
from pipeline.report.schema import schema_of
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.zoo.source import OnnxModel
from tests.example import CLASSES, FEATURES, Arrays, Scale, linear_model, plan
from tests.importing.graphs import two_layers

pytestmark = pytest.mark.slow
SUGGESTED = Suggested(
    optimize="python -m pipeline optimize linear.onnx",
    run=["model=onnx", "model.path=a b.onnx"],
    chosen=False,
    usual=["dynamic_int8", "static"],
    about={"static": "It quantizes."},
)
STAGES: dict[str, Any] = {"baseline": {}, "other": {"scale": Scale()}, "static": {"quantize": QuantizeStatic()}}


def text_console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=200), text


def looked(chosen: Plan, suggested: Suggested = SUGGESTED) -> Inspection:
    return inspect(chosen, suggested, text_console()[0])


@pytest.fixture(scope="module", name="found")
def _found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspection]:
    folder = tmp_path_factory.mktemp("inspected")
    chosen = plan(folder, STAGES)
    before = sorted(folder.rglob("*"))
    yield looked(chosen)
    assert sorted(folder.rglob("*")) == before, "nothing is left behind"


def test_the_model_is_told(found: Inspection) -> None:
    assert (found.model, found.data) == ("linear", "arrays")
    assert (found.parameters, found.macs) == (FEATURES * CLASSES, FEATURES * CLASSES)
    assert found.weights == {"float32": FEATURES * CLASSES}
    assert found.operators == {"MatMul": 1}
    assert found.quantized is None
    assert (found.file.format, found.file.opset, found.file.ir_version) == ("onnx", 18, 9)
    assert found.file.size_bytes == Path(found.file.path or "").stat().st_size


def test_inputs_have_named_free_axes_and_outputs_a_likely_meaning(found: Inspection) -> None:
    assert found.inputs == [ModelInput(name="x", dtype="float32", shape=["batch", FEATURES], batch_axis=0, below=None)]
    [output] = found.outputs
    assert (output.name, output.dtype, output.shape) == ("y", "float32", ["batch", CLASSES])
    assert output.likely == "class scores"
    assert "MatMul with weights" in output.why


def test_the_run_that_is_suggested_names_the_usual_chains_that_are_worth_a_try(found: Inspection) -> None:
    assert [chain.verdict for chain in found.variants] == ["try", "try", "try"]
    assert found.next.optimize == SUGGESTED.optimize
    assert found.next.run == ("python -m pipeline 'variant=[baseline,static]' model=onnx 'model.path=a b.onnx'")


def test_without_usual_chains_the_first_ones_are_suggested_and_typed_ones_stay(tmp_path: Path) -> None:
    chosen = plan(tmp_path, STAGES)
    assert "'variant=[baseline,other,static]'" in str(looked(chosen, replace(SUGGESTED, usual=[])).next.run)
    typed = replace(SUGGESTED, chosen=True, run=["variant=[baseline]"])
    assert looked(chosen, typed).next.run == "python -m pipeline 'variant=[baseline]'"


def test_what_importing_cleans_up_is_told(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    onnx.save(two_layers(opset=11, inputs=[onnx.helper.make_tensor_value_info("x", 1, ["n", FEATURES])],
                         weights=[_weight("w0", FEATURES, 5), _weight("w1", 5, 3)]), path)  # fmt: skip
    found = looked(plan(tmp_path, {"baseline": {}}, model=OnnxModel(path=path)))
    assert "its opset is 13 now, it was 11" in found.cleaned
    assert "3 nodes had no name" in found.cleaned
    assert (found.file.opset, found.graph_opset) == (11, 13)
    text = said(found)
    assert "its opset is 13 now, it was 11" in text


def _weight(name: str, *shape: int) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.random.default_rng(1).normal(size=shape).astype(np.float32), name)


@dataclass(frozen=True)
class Shifted(Arrays):
    """Labels that begin at 1."""

    def split(self, name: SplitName) -> Split:
        split = Arrays.split(self, name)
        assert split.labels is not None
        return replace(split, labels=split.labels + 1)


def test_what_a_run_would_refuse_is_told_in_place_of_the_next_command(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, data=Shifted())
    found = looked(chosen)
    [problem] = found.problems
    assert "label" in problem
    assert (found.next.optimize, found.next.run) == (None, None)
    assert found.outputs[0].likely == "class scores", "the graph alone tells it"
    console, text = text_console()
    assert command.inspect(chosen, SUGGESTED, console) == 2
    assert problem.split(":")[0] in text.getvalue()
    assert "optimize" not in text.getvalue()


def said(found: Inspection) -> str:
    console, text = text_console()
    tell_inspection(found, console)
    return text.getvalue()


def test_the_terminal_has_a_line_for_everything_and_the_commands_last(found: Inspection) -> None:
    lines = said(found).splitlines()
    text = "\n".join(lines)
    for part in ("linear on arrays", "24 for one example", "float32 (24)", "[batch, 8]", "likely class scores: "):
        assert part in text
    assert "It quantizes. On ort_cpu." in text
    assert lines[-2:] == [f"  {found.next.optimize}", f"  {found.next.run}"]


def test_json_keeps_to_its_schema_which_describes_its_fields(found: Inspection) -> None:
    console, text = text_console()
    print_document(found, console)
    document = json.loads(text.getvalue())
    schema = schema_of(Inspection, "inspection", SCHEMA_VERSION, ABOUT)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    assert document["schema_version"] == 1
    assert set(schema["required"]) == {field.name for field in fields(Inspection)}
    assert schema["properties"]["cleaned"]["description"] == "What importing the file changes."
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "surprise": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "outputs": [{**document["outputs"][0], "likely": "a cat"}]}, schema)


def test_json_goes_to_stdout_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, metric=Cosine(), data=Arrays(labelled=False))
    console, text = text_console()
    assert command.inspect(chosen, SUGGESTED, console, as_json=True) == 0
    assert json.loads(text.getvalue())["model"] == "linear"
    assert "looking" in capsys.readouterr().err


def test_a_model_of_a_fixed_batch_is_shown_as_it_declares_it(tmp_path: Path) -> None:
    model = OnnxModel(path=linear_model(tmp_path / "fixed.onnx", batch=1))
    found = looked(plan(tmp_path, {"baseline": {}}, model=model))
    assert found.inputs[0].shape == [1, FEATURES]
