"""Models of the battery come in, are built and run, or are refused in words. ``python -m tests.battery`` has all models
and stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.artifact import Format
from pipeline.isolated.template import Template
from pipeline.plan import Plan
from tests.battery.trial import IMPORTED, gives_scores, made, planned, trial

pytestmark = pytest.mark.slow
VARIANTS, TARGETS = ("baseline", "static_int8"), ("ort_cpu", "openvino_cpu")
QUICK = (
    "fixed_batch_four", "several_inputs_and_outputs", "brain_floats", "strings", "odd_names", "one_tensor_twice",
    "sequence_output", "constants_as_weights", "weights_among_the_inputs", "opset_7", "scan", "local_functions",
    "weights_in_a_subfolder", "nan_and_infinity", "boxes", "random_inside", "AlwaysDropping",
)  # fmt: skip
"""The models that the tests have time for."""
REFUSED: Mapping[str, str] = {
    "AlwaysDropping": "the model is random: output 'y' is another one each time it gets the same input",
    "random_inside": "the model's outputs are random: run twice on the same examples, they differ by",
}
"""The models that a run refuses, with what it says."""


@pytest.fixture(scope="module")
def plans() -> Mapping[Format, Plan]:
    formats: tuple[Format, Format] = ("onnx", "torch")
    return {format: planned(format, VARIANTS, TARGETS) for format in formats}


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template(IMPORTED) as made:
        yield made


@pytest.mark.parametrize("name", QUICK)
def test_a_model_comes_out_or_a_reason_does(
    name: str, plans: Mapping[Format, Plan], template: Template, tmp_path: Path
) -> None:
    model = made(name, tmp_path / "model")
    cells = trial(plans[model.format], model, tmp_path, template)
    assert [cell for cell in cells if cell.fault] == []
    if name in REFUSED:
        [refused] = cells
        assert str(refused.reason).startswith(REFUSED[name])
    else:
        assert [cell.reason for cell in cells if (cell.variant, cell.target) == ("baseline", "ort_cpu")] == [None]


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("half_floats", "smooth_static_int8"),  # 16 bits are too few for the edges of a histogram
        ("double_floats", "smooth_static_int8"),  # no value is read by a product that can be quantized
        ("a_scalar_beside", "nncf_int8"),  # an input without axes keeps having none
    ],
)
def test_a_chain_that_failed_on_a_model_works(name: str, variant: str, template: Template, tmp_path: Path) -> None:
    plan = planned("onnx", ("baseline", variant), ("openvino_cpu",))
    cells = trial(plan, made(name, tmp_path / "model"), tmp_path, template)
    assert [(cell.reason, cell.fault) for cell in cells] == [(None, None), (None, None)]


@pytest.mark.skipif(find_spec("torchao") is None, reason="needs the extra qat")
def test_a_classifier_that_the_cosine_keeps_from_learning_learns_where_classes_judge_it(
    template: Template, tmp_path: Path
) -> None:
    fields = [f"variants.qat_int8.stages.quantize.{field}" for field in ("epochs=1", "batch_size=8")]
    model = made("Convolutional", tmp_path / "model")
    refused, learnt = (
        trial(planned("torch", ("baseline", "qat_int8"), ("ort_cpu",), *fields, metric), model, tmp_path, template)
        for metric in ("metric=cosine", "metric=top_one")
    )
    assert [gives_scores(cell) for cell in refused] == [False, True]
    assert [(cell.reason, cell.fault) for cell in learnt] == [(None, None), (None, None)]
