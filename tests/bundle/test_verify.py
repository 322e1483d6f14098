from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from rich.console import Console

from pipeline import __version__
from pipeline.bundle import Check, Options, steps, trial, verify, verify_bundle
from pipeline.bundle import manifest as manifests
from pipeline.errors import UserError, VerificationFailed
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter
from pipeline.libraries.revision import named, revision
from tests.bundle.forgery import change_golden, change_model, forge, manifest_of


def failure(folder: Path) -> str:
    """What the last check, which must have failed, says."""
    last = [check for check in verify_bundle(folder) if not check.passed]
    assert last, "every check passed"
    return "; ".join(check.detail for check in last)


def set_external(model: onnx.ModelProto, **entries: str) -> None:
    """Where the weights are kept."""
    (tensor,) = model.graph.initializer
    kept = {entry.key: entry.value for entry in tensor.external_data}
    del tensor.external_data[:]
    for key, value in {**kept, **entries}.items():
        tensor.external_data.add(key=key, value=value)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the folder may be read, and not run."""

    def read_alone(function: Callable[..., Any], *args: object, limits: Limits, start: Starter) -> Any:
        assert function is not trial.run_model, "the model was run"
        return function(*args)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something in the folder was run")

    monkeypatch.setattr("pipeline.bundle.steps.run", read_alone)
    monkeypatch.setattr("pipeline.bundle.steps.run_program", refuse)


INFER = steps.Step(names=("infer.py",), run=steps.run_infer)
PAPERS = ("README.md", "MODEL_CARD.md", "requirements.txt", "Dockerfile", "sbom.cdx.json", "SHA256SUMS")
FILES = ("model.onnx", "weights.bin", "golden.npz", "infer.py", "serve.py", *PAPERS, "manifest.json")


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
    assert "extra/sitecustomize.py (a file) is not in the manifest" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["__pycache__/infer.cpython-311.pyc", "slimline_infer/__pycache__/x.pyc", "infer.pyc"])
def test_what_python_would_run_instead_of_the_program_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"not even Python")
    assert f"{name} (a file) is not in the manifest: Python would run it in place of the program, remove it" in failure(
        bundle
    )


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("kind", ["pipe", "socket", "empty folder", "link to a folder", "device"])
def test_whatever_is_no_plain_file_is_refused_and_not_waited_for(bundle: Path, kind: str) -> None:
    name = bundle / "golden.npz" if kind in ("pipe", "device") else bundle / "extra"
    name.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(bundle):
            server.bind("extra")
    elif kind == "device":
        name.symlink_to("/dev/zero")
    elif kind == "empty folder":
        name.mkdir()
    else:
        name.symlink_to(bundle.parent, target_is_directory=True)
    assert name.name in failure(bundle)


def test_a_manifest_that_is_a_pipe_is_refused_and_not_waited_for(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    assert "manifest.json is a pipe, not a plain file" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_a_link_in_place_of_a_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (bundle / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert "weights.bin is a link" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname", "a/../../b", "..\\outside.bin", "C:\\outside.bin"])
def test_a_path_that_leads_out_of_the_folder_is_refused(bundle: Path, name: str) -> None:
    forge(bundle, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    assert f"manifest.json names '{name}', which leads outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_a_manifest_that_does_not_follow_the_schema_is_refused_with_the_place(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["session"].update(graph_optimization_level="fast"))
    assert "manifest.json, $.session.graph_optimization_level: 'fast' is not one of" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "location", ["../weights.bin", "/tmp/weights.bin", "weights.bin/../../weights.bin", "*/_ORT_MEM_ADDR_/*"]
)
def test_external_data_outside_the_folder_is_refused(bundle: Path, location: str) -> None:
    change_model(bundle, lambda model: set_external(model, location=location))
    assert f"keeps tensors in '{location}', outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "place", [{"offset": "-4"}, {"offset": "400"}, {"length": "1" * 18}, {"offset": "4", "length": "384"}]
)
def test_external_data_beyond_its_file_is_refused(bundle: Path, place: dict[str, str]) -> None:
    change_model(bundle, lambda model: set_external(model, **place))
    assert "of 'weights.bin', which has 384" in failure(bundle)


def test_external_data_in_another_spelling_of_its_path_is_found(bundle: Path) -> None:
    change_model(bundle, lambda model: set_external(model, location="./weights.bin"))
    assert all(check.passed for check in verify_bundle(bundle))


@pytest.mark.usefixtures("nothing_runs")
def test_external_data_hidden_in_a_branch_is_found_too(bundle: Path) -> None:
    tensor = onnx.TensorProto(name="hidden", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    constant = onnx.helper.make_node("Constant", [], ["value"], value=tensor)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    node = onnx.helper.make_node("If", ["image"], ["result"], then_branch=branch, else_branch=branch)
    change_model(bundle, lambda model: model.graph.node.append(node))
    assert "'../secret.bin', outside the folder" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_a_model_that_the_onnx_checker_refuses_is_named(bundle: Path) -> None:
    change_model(bundle, lambda model: setattr(model.graph.node[0], "op_type", "NoSuchOperator"))
    assert "NoSuchOperator" in failure(bundle)


def test_declared_inputs_that_the_model_does_not_have_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["inputs"][0].update(shape=["batch", 2, 4, "side"]))
    assert "the manifest declares inputs" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
def test_golden_inputs_that_the_declared_inputs_do_not_fit_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["inputs"][0].update(shape=["batch", 2, 8, 8]))
    assert "the golden input 'image' must have shape [N, 2, 8, 8] (got [16, 2, 4, 4])" in failure(bundle)


def test_a_provider_that_this_machine_lacks_is_named(bundle: Path) -> None:
    provider = {"name": "OpenVINOExecutionProvider", "options": {}}

    def change(manifest: dict[str, Any]) -> None:
        manifest["session"]["providers"] = [provider]
        manifest["measured"]["machine"]["libraries"]["onnxruntime-openvino"] = "1.24.1"
        manifest["packages"].append({**manifest["packages"][-1], "name": "onnxruntime-openvino", "version": "1.24.1"})

    forge(bundle, change)
    assert "OpenVINOExecutionProvider is not available: this onnxruntime has" in failure(bundle)


def test_golden_outputs_that_are_not_reproduced_fail_with_the_rule(bundle: Path) -> None:
    change_golden(bundle, lambda arrays: arrays.update({"output.logits": arrays["output.logits"] * np.float32(1.01)}))
    assert "output 'logits' differs by" in failure(bundle)
    assert "the rule: float32" in failure(bundle)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["infer.py", "serve.py", "slimline_infer/values.py"])
@pytest.mark.parametrize("text", ["raise SystemExit", "import os; os._exit(0)", "# a comment", ""])
def test_a_program_that_is_not_this_versions_is_refused_and_not_run(bundle: Path, name: str, text: str) -> None:
    (bundle / name).write_text(text)
    forge(bundle)
    assert failure(bundle) == f"{name} is not the one that {named(revision())} writes"


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        ({"version": "99.1", "commit": None, "changed": None}, "slimline 99.1"),
        (
            {"version": __version__, "commit": "8a4c" * 10, "changed": False},
            f"slimline {__version__}, commit 8a4c8a4c8a4c",
        ),
    ],
)
def test_a_program_of_another_slimline_is_said_to_be_so(bundle: Path, maker: dict[str, Any], words: str) -> None:
    (bundle / "infer.py").write_text("raise SystemExit")
    forge(bundle, lambda manifest: manifest.update(slimline=maker))
    assert failure(bundle) == (
        f"infer.py is not the one that this {named(revision())} writes, and the bundle says that {words} made it: "
        "verify it with that one, or write it anew: python -m pipeline bundle RUN static_int8"
    )


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("version", [1, 2, 4, "3", 3.0, True, None, {"a": [1]}])
def test_another_version_of_the_manifest_names_its_maker(bundle: Path, version: object) -> None:
    forge(bundle, lambda manifest: manifest.update(schema_version=version), derive=False)
    assert f"this bundle was made by slimline {__version__}, with a manifest of version" in failure(bundle)
    assert "reads version 3" in failure(bundle)


def test_what_the_bundle_brings_runs_only_on_purpose(bundle: Path) -> None:
    assert [check.name for check in verify_bundle(bundle)][-1] == "preprocessing"
    checks = verify_bundle(bundle, Options(run_infer=True))
    assert (checks[-1].name, checks[-1].passed) == ("infer.py", True)
    assert "runs alone: golden outputs reproduced" in checks[-1].detail


@pytest.mark.parametrize("text", ["raise SystemExit", "while True: pass", "print('golden outputs reproduced'); 1 / 0"])
def test_a_program_that_ends_early_or_never_does_not_pass(bundle: Path, text: str) -> None:
    (bundle / "infer.py").write_text(text)
    (check,) = steps.done(INFER, bundle, manifest_of(bundle), Options(timeout_s=1))
    assert not check.passed


def test_a_step_that_does_not_all_its_checks_fails(bundle: Path) -> None:
    step = steps.Step(names=("a", "b", "c"), run=lambda *_: [Check("a", True, "")])
    checks = steps.done(step, bundle, {}, Options())
    assert [(check.name, check.passed) for check in checks] == [("a", True), ("b", False), ("c", False)]


def test_verify_prints_a_line_per_check_and_returns_0(bundle: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    assert verify(bundle, console) == 0
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[-1] == f"every check passed: {bundle}"
    assert len(lines) - 1 == len(verify_bundle(bundle))
    assert all(line.startswith("ok ") for line in lines[:-1])


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
