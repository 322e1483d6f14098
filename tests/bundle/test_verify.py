from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from rich.console import Console

from pipeline.artifact import file_digest
from pipeline.bundle import manifest as manifests
from pipeline.bundle import trial, verify, verify_bundle
from pipeline.errors import UserError, VerificationFailed
from tests.bundle import example


def failure(folder: Path) -> str:
    """What the last check, which must have failed, says."""
    last = [check for check in verify_bundle(folder) if not check.passed]
    assert last, "every check passed"
    return "; ".join(check.detail for check in last)


def forge(folder: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """Change the manifest, and make its digests agree with it and with the files again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = file_digest(folder / name)
    (folder / "manifest.json").write_text(manifests.render(manifests.sealed(manifest)))


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something in the folder was run")

    monkeypatch.setattr(trial, "in_fresh_process", refuse)
    monkeypatch.setattr("pipeline.bundle.trial.subprocess.run", refuse)


FILES = ("model.onnx", "weights.bin", "golden.npz", "infer.py", "README.md", "requirements.txt", "manifest.json")


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.37, 0.71, 1.0])
def test_a_flipped_bit_is_found_before_anything_runs(bundle: Path, name: str, place: float) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (bundle / name).write_bytes(content)
    assert name in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_even_a_changed_space_in_the_manifest_is_found(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('": ', '":\t', 1))
    assert "manifest.json was changed" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert f"{name} is missing" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_an_unexpected_file_is_named(bundle: Path) -> None:
    (bundle / "extra").mkdir()
    (bundle / "extra" / "sitecustomize.py").write_text("")
    assert "extra/sitecustomize.py is not in the manifest" in failure(bundle)


def test_what_python_caches_when_infer_is_imported_is_not_held_against_the_bundle(bundle: Path) -> None:
    (bundle / "__pycache__").mkdir()
    (bundle / "__pycache__" / "infer.cpython-311.pyc").write_bytes(b"not even Python")
    assert all(check.passed for check in verify_bundle(bundle))


@pytest.mark.usefixtures("nothing_runs")
def test_a_link_in_place_of_a_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (bundle / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert "weights.bin is a link" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname", "a/../../b", "..\\outside.bin", "C:\\outside.bin"])
def test_a_path_that_leads_out_of_the_folder_is_refused(bundle: Path, name: str) -> None:
    forge(bundle, lambda manifest: manifest["files"].update({name: "0" * 64}))
    assert f"manifest.json names '{name}', which leads outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_a_manifest_that_does_not_follow_the_schema_is_refused_with_the_place(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["session"].update(graph_optimization_level="fast"))
    assert "manifest.json, $.session.graph_optimization_level: 'fast' is not one of" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("location", ["../weights.bin", "/tmp/weights.bin", "weights.bin/../../weights.bin"])
def test_external_data_outside_the_folder_is_refused(bundle: Path, location: str) -> None:
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = location
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    forge(bundle)
    assert f"keeps tensors in '{location}', outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_external_data_hidden_in_a_branch_is_found_too(bundle: Path) -> None:
    tensor = onnx.TensorProto(name="hidden", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    constant = onnx.helper.make_node("Constant", [], ["value"], value=tensor)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    model.graph.node.append(onnx.helper.make_node("If", ["image"], ["result"], then_branch=branch, else_branch=branch))
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    forge(bundle)
    assert "'../secret.bin', outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_a_model_that_the_onnx_checker_refuses_is_named(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    model.graph.node[0].op_type = "NoSuchOperator"
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    forge(bundle)
    assert "NoSuchOperator" in failure(bundle)


def test_declared_inputs_that_the_model_does_not_have_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["inputs"][0].update(shape=["batch", 2, 8, 8]))
    assert "the manifest declares inputs" in failure(bundle)


def test_a_provider_that_this_machine_lacks_is_named(bundle: Path) -> None:
    forge(
        bundle, lambda manifest: manifest["session"]["providers"].__setitem__(0, {"name": "NoProvider", "options": {}})
    )
    assert "NoProvider is not available: this onnxruntime has" in failure(bundle)


def test_golden_outputs_that_are_not_reproduced_fail_with_the_rule(bundle: Path) -> None:
    with np.load(bundle / "golden.npz") as golden:
        arrays = dict(golden)
    arrays["output.logits"] = arrays["output.logits"] * np.float32(1.01)
    np.savez(bundle / "golden.npz", **arrays)
    forge(bundle)
    assert "output 'logits' differs by" in failure(bundle)
    assert "the rule: float32" in failure(bundle)


def test_a_program_that_prepares_inputs_in_another_way_is_found(bundle: Path) -> None:
    path = bundle / "infer.py"
    path.write_text(path.read_text().replace("- means) / stds", "- means) * stds"))
    forge(bundle)
    assert "infer.py prepares input 'image' in another way than slimline" in failure(bundle)


def test_a_program_that_fails_is_found(bundle: Path) -> None:
    path = bundle / "infer.py"
    path.write_text(path.read_text().replace("return check_golden(model)", "return 3"))
    forge(bundle)
    assert "python infer.py ended with code 3" in failure(bundle)


def test_a_program_that_can_not_even_be_imported_is_found(bundle: Path) -> None:
    (bundle / "infer.py").write_text("raise SystemError('broken')")
    forge(bundle)
    assert "infer.py can't prepare the golden inputs: SystemError: broken" in failure(bundle)


def test_verify_prints_a_line_per_check_and_returns_0(bundle: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    assert verify(bundle, console) == 0
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == len(verify_bundle(bundle))
    assert all(line.startswith("ok ") for line in lines)


def test_verify_raises_with_the_name_of_the_damaged_file(bundle: Path) -> None:
    (bundle / "README.md").write_text("[red]other[/]")
    console = Console(file=io.StringIO())
    with pytest.raises(VerificationFailed, match=r"did not pass: README\.md was changed"):
        verify(bundle, console)
    assert isinstance(console.file, io.StringIO)
    assert "FAILED files unchanged: README.md was changed" in console.file.getvalue()


def test_a_folder_that_is_no_bundle_is_the_users_mistake_and_names_those_that_are(bundle: Path) -> None:
    with pytest.raises(UserError, match=r"is not a deploy bundle: expected a folder with manifest\.json") as caught:
        verify_bundle(bundle.parent)
    assert f"python -m pipeline verify {bundle}" in str(caught.value)


def test_a_missing_folder_names_the_newest_runs_bundles(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("outputs/latest/deploy").mkdir(parents=True)
    bundle.rename("outputs/latest/deploy/static_int8")
    with pytest.raises(UserError, match=r"nowhere does not exist: .* outputs/latest/deploy/static_int8"):
        verify_bundle(Path("nowhere"))


def test_a_relative_path_is_verified_as_well(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.parent)
    assert all(check.passed for check in verify_bundle(Path(bundle.name)))


def test_the_schema_is_itself_valid() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(manifests.schema())
    assert manifests.schema()["properties"]["schema_version"]["const"] == manifests.SCHEMA_VERSION


def test_a_fixed_batch_model_passes(tmp_path: Path) -> None:
    artifact = example.save(example.linear_model(batch=3), tmp_path / "artifact")
    assert all(check.passed for check in verify_bundle(example.bundle(artifact, tmp_path / "deploy")))
