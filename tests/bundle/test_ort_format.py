from __future__ import annotations

import shutil
from pathlib import Path

import onnxruntime
import pytest

from pipeline.bundle import Check, verify_bundle
from pipeline.bundle.ort_format import OPERATORS_FILE, ORT_FILE, check_ort, write_ort
from pipeline.errors import Skipped
from tests.bundle import example
from tests.bundle.forgery import forge, manifest_of


@pytest.fixture(scope="module")
def with_ort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its model in ONNX Runtime's own format, to be read only."""
    folder = tmp_path_factory.mktemp("ort")
    return example.bundle(example.save(example.linear_model(), folder / "artifact"), folder / "deploy", ort_format=True)


@pytest.fixture
def bundle(with_ort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(with_ort, tmp_path / "bundle"))


def failed(checks: list[Check]) -> str:
    return next(f"{check.name}: {check.detail}" for check in checks if not check.passed)


def test_the_model_for_phones_reproduces_the_golden_outputs(with_ort: Path) -> None:
    checks = {check.name: check for check in check_ort(with_ort, manifest_of(with_ort))}
    assert all(check.passed for check in checks.values())
    assert checks[ORT_FILE].detail.startswith("reproduces the golden outputs")
    assert ORT_FILE in (with_ort / "README.md").read_text()


def test_onnx_runtime_reads_the_file_in_its_own_format(with_ort: Path) -> None:
    session = onnxruntime.InferenceSession(str(with_ort / ORT_FILE), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["image"]


def test_the_operators_that_a_build_needs_are_those_of_the_file(with_ort: Path) -> None:
    lines = (with_ort / OPERATORS_FILE).read_text().splitlines()
    assert lines == ["# Generated from model.ort", "ai.onnx;13;Flatten,MatMul"]


def test_another_list_of_operators_is_refused(bundle: Path) -> None:
    (bundle / OPERATORS_FILE).write_text("# Generated from model.ort\nai.onnx;13;MatMul\n")
    assert failed(check_ort(bundle, manifest_of(bundle))).startswith(
        f"{OPERATORS_FILE}: {OPERATORS_FILE} does not name"
    )


def test_another_model_in_onnx_runtime_s_format_is_refused(bundle: Path, tmp_path: Path) -> None:
    model = example.linear_model()
    weight = model.graph.initializer[0]
    weight.raw_data = bytes(len(weight.raw_data))
    other = example.save(model, tmp_path / "other")
    write_ort(other.path)
    shutil.copyfile(other.path / ORT_FILE, bundle / ORT_FILE)
    assert failed(check_ort(bundle, manifest_of(bundle))).startswith(f"{ORT_FILE}: output 'logits' differs")


def test_verify_runs_that_model(bundle: Path) -> None:
    (bundle / OPERATORS_FILE).write_text("# Generated from model.ort\n")
    forge(bundle)
    assert failed(verify_bundle(bundle)).startswith(f"{OPERATORS_FILE}: {OPERATORS_FILE} does not name")


def test_a_file_that_is_in_no_format_is_refused(bundle: Path) -> None:
    (bundle / ORT_FILE).write_bytes(b"nothing")
    assert failed(check_ort(bundle, manifest_of(bundle))).startswith(f"{OPERATORS_FILE}: {ORT_FILE} can't be read")


def test_a_bundle_for_another_runtime_has_no_model_in_onnx_runtime_s_format(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest.update(runtime="openvino"), derive=False)
    assert failed(verify_bundle(bundle)).startswith("manifest:")


def test_a_model_that_onnx_runtime_can_t_convert_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(Skipped, match=r"can't convert the model to model\.ort"):
        write_ort(tmp_path)
