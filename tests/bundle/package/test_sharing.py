from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper

from pipeline.artifact import Artifact
from pipeline.bundle.package.sharing import share_weights
from tests.bundle import example as plain
from tests.bundle.package import example


def tensors(artifact: Artifact) -> dict[str, bytes]:
    return {
        tensor.name: numpy_helper.to_array(tensor).tobytes()
        for tensor in onnx.load(artifact.onnx_path).graph.initializer
    }


def files(artifact: Artifact) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in artifact.path.iterdir() if path.name != "model.onnx"}


def test_weights_that_several_variants_hold_move_to_a_file_of_the_same_content(tmp_path: Path) -> None:
    artifacts = example.artifacts(tmp_path)
    shared = share_weights(artifacts, tmp_path / "shared")
    assert {name: tensors(artifact) for name, artifact in shared.items()} == {
        name: tensors(artifact) for name, artifact in artifacts.items()
    }
    contents = [files(artifact) for artifact in shared.values()]
    assert contents[0] == {"shared_1.bin": example.table().tobytes()}
    assert contents[1] == contents[2] == contents[0]
    assert shared["int8"].digest == artifacts["int8"].digest


def test_variants_without_a_common_weight_stay_as_they_are(tmp_path: Path) -> None:
    artifacts = {
        "table": example.artifacts(tmp_path, ["int8"])["int8"],
        "linear": plain.save(plain.linear_model(), tmp_path / "linear"),
    }
    assert share_weights(artifacts, tmp_path / "shared") == artifacts


def test_a_model_with_weights_in_other_files_gets_all_of_them_where_onnx_runtime_looks_for_the_shared(
    tmp_path: Path,
) -> None:
    artifacts = {
        "apart": plain.save(example.model(None), tmp_path / "apart", "own.bin"),
        "int8": example.artifacts(tmp_path, ["int8"])["int8"],
    }
    shared = share_weights(artifacts, tmp_path / "shared")
    assert tensors(shared["apart"]) == tensors(artifacts["apart"])
    assert sorted(files(shared["apart"])) == ["shared_1.bin", "shared_2.bin"]
    assert sorted(files(shared["int8"])) == ["shared_2.bin"]
    assert files(shared["int8"])["shared_2.bin"] == files(shared["apart"])["shared_2.bin"]
