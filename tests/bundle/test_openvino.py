"""Bundles of models in OpenVINO's own format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.openvino import OpenVino
from pipeline.bundle import Options, verify_bundle
from pipeline.bundle import slimline_infer as infer
from pipeline.data.dataset import preprocess
from pipeline.plan import Target
from tests.artifact.openvino_models import converted
from tests.bundle import example
from tests.bundle.forgery import forge, manifest_of
from tests.bundle.test_runtimes import run_alone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino"),
]
OPENVINO = Target(name="ort_cpu", backend=OpenVino(), threads=1, session={"precision": "f32"})


def bundle_of(folder: Path, batch: int | str = "batch") -> Path:
    source = example.save(example.linear_model(batch), folder / "source")
    return example.bundle(converted(source, folder / "artifact"), folder / "deploy", target=OPENVINO)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("openvino"))


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "bundle"))


def test_it_verifies_and_needs_openvino_alone(written: Path) -> None:
    checks = verify_bundle(written, Options(run_infer=True))
    assert [check.detail for check in checks if not check.passed] == []
    assert (manifest_of(written)["model"], manifest_of(written)["runtime"]) == ("model.xml", "openvino")
    assert {"model.xml", "model.bin"} < set(manifest_of(written)["files"])
    done = run_alone(written, ["onnxruntime", "torch", "onnx", "nncf", "openvino_telemetry"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden outputs reproduced" in done.stdout
    lines = (written / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines if "==" in line] == ["numpy", "openvino", "openvino-telemetry"]


def test_it_gives_the_models_outputs(written: Path) -> None:
    raw = example.images(7).arrays
    flat = preprocess(raw, example.PREPROCESSING)["image"].reshape(7, -1)
    found = infer.Model(written)(raw)["logits"]
    np.testing.assert_allclose(found, flat @ example.weights(), rtol=1e-3, atol=1e-3)


def test_a_fixed_batch_is_filled_up_and_cut_off_again(tmp_path: Path) -> None:
    model = infer.Model(bundle_of(tmp_path, 4))
    assert model.fixed_batch == 4
    assert model(example.images(7).arrays)["logits"].shape == (7, 3)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_changed_file_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-2] ^= 1
    (bundle / name).write_bytes(content)
    assert [check.detail for check in verify_bundle(bundle) if not check.passed] == [
        f"{name} was changed: its sha256 is not the manifest's"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace('version="opset1"', 'version="extension"', 1), "is an operator of an extension"),
        (lambda text: text.replace('offset="0"', 'offset="99999999"'), "of a file that has 4"),
        (lambda text: text.replace("<net ", '<!DOCTYPE net SYSTEM "/etc/hostname"><net ', 1), "a document type"),
        (lambda text: "<net>", "it is not XML"),
    ],
)
def test_a_graph_that_is_no_openvino_model_is_never_loaded(
    bundle: Path, change: Callable[[str], str], reason: str
) -> None:
    text = (bundle / "model.xml").read_text()
    (bundle / "model.xml").write_text(change(text))
    assert (bundle / "model.xml").read_text() != text
    forge(bundle)
    *before, last = verify_bundle(bundle)
    assert all(check.passed for check in before)
    assert (last.name, last.passed) == ("graph", False)
    assert reason in last.detail
