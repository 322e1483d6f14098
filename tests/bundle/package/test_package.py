from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pipeline.bundle import Check, Options, manifest_here, verify_bundle
from pipeline.bundle.package import choices, verify
from pipeline.bundle.package.layout import asset_name
from pipeline.bundle.package.write import write_package
from pipeline.bundle.slimline_infer import Model
from pipeline.bundle.slimline_infer.choice import has_cuda, place
from pipeline.bundle.steps import Step
from pipeline.errors import UserError
from pipeline.isolated import run
from tests.bundle.forgery import forge
from tests.bundle.package import example


def failure(package: Path) -> str:
    """The first check that failed, and what it found."""
    return next(f"{check.name}: {check.detail}" for check in verify_bundle(package) if not check.passed)


def test_every_variant_of_a_new_package_passes_and_verify_says_which_one_this_machine_takes(written: Path) -> None:
    checks = {check.name: check for check in verify_bundle(written)}
    assert all(check.passed for check in checks.values())
    assert {f"{name}: golden outputs" for name in example.BITS} < set(checks)
    assert checks["this machine"].detail == f"infer.py takes {place(written).why}"
    assert "takes 'int7', and reproduces its golden outputs" in checks["ONNX Runtime"].detail


def noting(asked: list[str]) -> Options:
    """What ``verify --speed`` asks for, where it only notes the model that it is asked about."""

    def note(_: Path, manifest: Mapping[str, Any], __: Options) -> list[Check]:
        asked.append(manifest["name"])
        return [Check("speed", passed=False, detail="slower")]

    return Options(more=(Step(names=("speed",), run=note),))


def test_what_judges_a_model_here_judges_the_variant_that_this_machine_takes(written: Path) -> None:
    asked: list[str] = []
    failed = [check for check in verify_bundle(written, noting(asked)) if not check.passed]
    name = place(written).folder.name
    assert asked == [name]
    assert failed == [Check(f"{name}: speed", passed=False, detail="slower")]
    manifest = manifest_here(written)
    assert manifest is not None
    assert manifest["name"] == name


def test_weights_that_all_variants_hold_are_stored_once(written: Path) -> None:
    (stored,) = written.rglob("shared_1.bin")
    assert stored.read_bytes() == example.table().tobytes()
    assert stored.parent.name == asset_name(stored.parent)
    digest = onnxruntime.ModelPackage.compute_directory_hash(str(stored.parent))
    assert stored.parent.name == digest.replace(":", "-")


def test_onnx_runtime_takes_the_first_variant_for_its_provider_whatever_the_processor_is(written: Path) -> None:
    context = onnxruntime.ModelPackageContext(str(written))
    assert context.get_variant_names("model") == ["int7", "float", "int8"]
    options = onnxruntime.ModelPackageOptions(onnxruntime.SessionOptions())
    assert context.select_component("model", options).get_selected_variant_name() == "int7"


@pytest.mark.parametrize("name", example.BITS)
def test_each_variant_is_near_the_model_in_floats(written: Path, name: str) -> None:
    raw, expected, _ = Model(written, variant="float").golden()
    found = Model(written, variant=name)(raw)["logits"]
    assert np.abs(found - expected["logits"]).max() < 0.02 * np.abs(expected["logits"]).max()


def test_infer_runs_alone_and_says_in_a_line_which_variant_it_took(written: Path) -> None:
    command = [sys.executable, "-I", "-B", str(written / "infer.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1].startswith("golden outputs reproduced")
    assert ended.stderr == f"infer.py: {place(written).why}\n"


def test_serve_serves_the_variant_that_infer_takes(written: Path) -> None:
    command = [sys.executable, "-I", "-B", str(written / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        told = server.stdout.readline()
        server.terminate()
        assert server.wait() == 0
    assert told.startswith(f"serving {place(written).folder.name} at http")


def test_two_variants_for_the_same_machines_are_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    twice = {"int8": bundles["int8"], "again": bundles["int8"]}
    with pytest.raises(UserError, match="are for the same machines"):
        write_package(tmp_path / "twice.ortpackage", twice)
    assert list(tmp_path.iterdir()) == []


def change_weights(package: Path) -> None:
    (stored,) = package.rglob("shared_1.bin")
    stored.write_bytes(bytes(stored.stat().st_size))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (change_weights, "files unchanged: shared_assets"),
        (lambda package: (package / "model/int8/golden.npz").unlink(), "files present: model/int8/golden.npz"),
        (lambda package: (package / "model/extra.txt").write_text("x"), "no other files: model/extra.txt"),
        (lambda package: (package / "package.json").write_text("{"), "package: package.json is not JSON"),
        (
            lambda package: (package / "package.json").write_text((package / "package.json").read_text() + " "),
            "package: package.json was changed",
        ),
        (
            lambda package: (package / "SHA256SUMS").write_text("0" * 64 + "  infer.py\n"),
            "package files: SHA256SUMS is not what package.json lists",
        ),
    ],
    ids=["weights", "missing", "extra", "json", "changed", "sums"],
)
def test_what_was_changed_in_a_package_is_refused_by_name(
    package: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(package)
    assert failure(package).startswith(told)


def forge_kind(content: dict[str, Any]) -> None:
    content["variants"][2]["kind"] = "any"
    content["variants"][1]["kind"] = "vnni"


def test_a_variant_that_is_said_to_be_for_other_machines_is_refused(package: Path) -> None:
    example.seal(package, forge_kind)
    assert failure(package) == "float: machines: the package says 'vnni', and the model is of kind 'any'"


def test_another_model_in_a_variant_is_refused_though_the_package_s_digests_agree(package: Path) -> None:
    shutil.copyfile(package / "model/int8/model.onnx", package / "model/int7/model.onnx")
    example.seal(package)
    assert failure(package).startswith("int7: files unchanged: model.onnx was changed")


def test_other_shared_weights_are_refused_though_the_package_s_digests_agree(package: Path) -> None:
    change_weights(package)
    example.seal(package)
    assert "has not the name of its content" in failure(package)


def test_what_onnx_runtime_is_told_has_to_follow_from_the_variants(package: Path) -> None:
    path = package / "model/component.json"
    component = json.loads(path.read_text())
    component["variants"]["int7"]["executor_info"]["ort"]["model_file"] = "../int8/model.onnx"
    path.write_text(json.dumps(component, indent=2) + "\n")
    example.seal(package)
    assert failure(package) == "package files: model/component.json is not what the variants call for"


@pytest.mark.skipif(has_cuda(), reason="this machine runs it")
def test_a_variant_for_a_gpu_is_checked_and_not_run_where_there_is_none(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    gpu = Path(shutil.copytree(bundles["float"], tmp_path / "gpu"))
    forge(gpu, to_cuda)
    packed = write_package(tmp_path / "gpu.ortpackage", {"float": gpu, "int8": bundles["int8"]})
    checks = {check.name: check for check in verify_bundle(packed)}
    assert all(check.passed for check in checks.values())
    assert "not compared here" in checks["float: golden outputs"].detail
    assert "takes 'int8'" in checks["ONNX Runtime"].detail


def test_a_package_that_has_no_variant_for_this_machine_has_none_to_judge(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one for GPUs alone has none on another machine; here none can be written."""

    def elsewhere(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return None if function is choices.here else run(function, *arguments, **options)

    monkeypatch.setattr(verify, "run", elsewhere)
    asked: list[str] = []
    failed = [check for check in verify_bundle(written, noting(asked)) if not check.passed]
    assert asked == []
    assert failed == [Check("speed", passed=False, detail="the package has no variant for this machine")]
    assert manifest_here(written) is None


def to_cuda(manifest: dict[str, Any]) -> None:
    manifest["session"]["providers"] = [{"name": "CUDAExecutionProvider", "options": {}}]
    libraries = manifest["measured"]["machine"]["libraries"]
    libraries["onnxruntime-gpu"] = libraries["onnxruntime"]
    for package in manifest["packages"]:
        package["name"] = package["name"].replace("onnxruntime", "onnxruntime-gpu")
        package["requires"] = [name.replace("onnxruntime", "onnxruntime-gpu") for name in package.get("requires", [])]
