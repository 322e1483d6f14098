from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.bundle import manifest as manifests
from pipeline.bundle import verify_bundle
from pipeline.bundle.golden import EXAMPLES
from pipeline.bundle.readme import readme
from pipeline.bundle.session import session_entry
from pipeline.bundle.slimline_infer import InputError, Model
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Split, preprocess
from pipeline.errors import Skipped
from pipeline.plan import Target
from tests.bundle import example


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def test_a_bundle_holds_the_model_its_program_and_its_proof_and_nothing_else(written: Path) -> None:
    names = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    parts = {f"slimline_infer/{name}.py" for name in ("__init__", "choice", "command", "compare", "files", "model")}
    parts |= {f"slimline_infer/{name}.py" for name in ("on_onnxruntime", "threads", "values", "refused", "bodies")}
    parts |= {f"slimline_infer/{name}.py" for name in ("line", "service", "http_server", "serving")}
    texts = {name for name in names if name.startswith("licenses/")}
    assert names - parts - texts == {
        "model.onnx",
        "weights.bin",
        "manifest.json",
        "infer.py",
        "serve.py",
        "Dockerfile",
        "golden.npz",
        "README.md",
        "MODEL_CARD.md",
        "requirements.txt",
        "sbom.cdx.json",
        "SHA256SUMS",
    }
    assert parts < names
    assert [path.name for path in written.parent.iterdir() if path.name.startswith(".")] == []


def test_a_new_bundle_passes_every_check(written: Path) -> None:
    checks = verify_bundle(written)
    assert all(check.passed for check in checks)
    assert checks[-1].name == "preprocessing"
    assert "weights.bin" in next(check.detail for check in checks if check.name == "external data")


def test_the_manifest_carries_the_measured_figures_with_their_intervals(written: Path) -> None:
    measured = manifest_of(written)["measured"]
    assert (measured["accuracy"]["low"], measured["accuracy"]["high"]) == (0.925, 0.935)
    assert measured["latency_ms"]["p50"] == {"value": 0.5, "low": 0.49, "high": 0.51}
    assert measured["latency_ms"]["p90"]["low"] is None
    assert (measured["speedup"]["value"], measured["speedup"]["reference"]["variant"]) == (1.8, "baseline")
    assert measured["machine"]["cpu"] == "Example CPU"
    assert "distribution_ms" not in measured["latency_ms"]


def test_the_manifest_tells_where_the_model_comes_from_and_how_to_run_it(written: Path) -> None:
    manifest = manifest_of(written)
    assert manifest["provenance"]["stages"][0]["fields"] == {"per_channel": True}
    assert manifest["provenance"]["seed"] == 3
    assert manifest["inputs"][0]["shape"] == ["batch", 2, 4, 4]
    assert manifest["inputs"][0]["preprocessing"]["mean"] == [0.3, 0.4]
    assert manifest["session"]["intra_op_num_threads"] == 1
    assert manifest["labels"] == list(example.CLASS_NAMES)


def test_the_readme_names_the_machine_the_figures_and_the_limits(written: Path) -> None:
    text = (written / "README.md").read_text()
    for expected in ("Example CPU", "93.00%", "1.800×", "1.700× to 1.900×", "not signed", "0.49 to 0.51 ms"):
        assert expected in text


def test_the_readme_writes_a_metrics_figure_in_its_unit(written: Path) -> None:
    manifest = manifest_of(written)
    manifest["measured"]["accuracy"] |= {"metric": "own F1", "unit": "number"}
    text = readme(manifest)
    for expected in ("own F1 (10000 examples) | 0.9300 | 0.9250 to 0.9350", "| -0.0020 | -0.0040 to +0.0000 |"):
        assert expected in text


def test_the_readme_writes_a_loss_of_an_error_as_a_rise(written: Path) -> None:
    manifest = manifest_of(written)
    manifest["measured"]["accuracy"] |= {"metric": "mean absolute error", "unit": "error"}
    jsonschema.validate(manifest, manifests.schema())
    assert "| +0.0020 | +0.0000 to +0.0040 |" in readme(manifest)


def test_requirements_are_the_versions_that_the_figures_were_taken_with(written: Path) -> None:
    lines = (written / "requirements.txt").read_text().splitlines()
    assert {f"numpy=={np.__version__}", f"onnxruntime=={onnxruntime.__version__}"} < set(lines)


def test_golden_outputs_are_the_models_own_on_the_first_raw_examples(written: Path) -> None:
    raw = example.images().take(0, EXAMPLES)
    flat = preprocess(raw.inputs, example.PREPROCESSING)["image"].reshape(EXAMPLES, -1)
    with np.load(written / "golden.npz") as golden:
        np.testing.assert_array_equal(golden["input.image"], raw.inputs["image"])
        np.testing.assert_allclose(golden["output.logits"], flat @ example.weights(), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(golden["labels"], raw.labels)


def test_a_bundle_replaces_an_older_one_whole_and_takes_only_what_the_model_reads(tmp_path: Path) -> None:
    out = tmp_path / "deploy" / "static_int8"
    out.mkdir(parents=True)
    (out / "left_over.bin").write_text("old")
    artifact = example.save(example.linear_model(), tmp_path / "artifact")
    (artifact.path / "notes.txt").write_text("not the model's")
    example.bundle(artifact, out)
    assert not (out / "left_over.bin").exists()
    assert not (out / "notes.txt").exists()
    assert [path.name for path in out.parent.iterdir()] == ["static_int8"]


def test_a_failure_leaves_the_older_bundle_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    out.mkdir()
    (out / "older").write_text("kept")
    artifact = example.save(example.linear_model(), tmp_path / "artifact")
    with pytest.raises(Skipped, match="must have shape"):
        example.bundle(artifact, out, examples=Split({"image": np.zeros((4, 2, 5, 5), np.uint8)}))
    assert (out / "older").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "deploy"]


def test_a_row_that_the_report_does_not_have_is_refused(tmp_path: Path) -> None:
    artifact = example.save(example.linear_model(), tmp_path / "artifact")
    with pytest.raises(ValueError, match="no row for static_int8@ort_cpu/99"):
        example.bundle(artifact, tmp_path / "deploy", recommendation=replace(example.RECOMMENDATION, batch_size=99))


def test_int8_models_get_the_wider_tolerance_and_repeat_their_outputs_at_the_measured_batch_size(
    tmp_path: Path,
) -> None:
    artifact = example.save(example.dynamic_int8_model(), tmp_path / "artifact")
    golden = manifest_of(example.bundle(artifact, tmp_path / "deploy"))["golden"]
    assert golden["relative_tolerance"] == 0.1
    assert golden["rule"].startswith("int8")


def test_a_cuda_target_keeps_its_provider_and_options() -> None:
    target = Target(
        name="ort_cuda", backend=OnnxRuntime(), device="cuda", threads=2, session={"provider_options": {"device_id": 0}}
    )
    entry = session_entry(target)
    assert entry["providers"] == [{"name": "CUDAExecutionProvider", "options": {"use_tf32": "0", "device_id": 0}}]
    assert entry["intra_op_num_threads"] == 2


def test_figures_that_are_not_numbers_become_null() -> None:
    assert manifests.plain({"p99": float("inf"), "isa": frozenset({"b", "a"}), "n": np.int64(3)}) == {
        "p99": None,
        "isa": ["a", "b"],
        "n": 3,
    }


def test_a_state_and_a_shared_value_are_placed_as_the_model_has_them(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Mul", ["state", "rate"], ["next"]),
        onnx.helper.make_node("ReduceSum", ["next", "axis"], ["scores"], keepdims=0),
    ]

    def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    values = [value("state", 2, "n", 3), value("rate")], [value("scores", "n", 3), value("next", 2, "n", 3)]
    axis = onnx.numpy_helper.from_array(np.array([0]), "axis")
    graph = onnx.helper.make_graph(nodes, "g", values[0], values[1], [axis])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    states = np.random.default_rng(0).normal(size=(20, 2, 3)).astype(np.float32)
    inputs = Inputs({"state": states, "rate": np.full(20, 3, np.float32)}, {"state": 1, "rate": None})
    written = example.bundle(
        example.save(model, tmp_path / "model"),
        tmp_path / "deploy",
        examples=Split(inputs),
        preprocessing={},
        class_names=(),
        output_axes={"scores": 0, "next": 1},
    )
    assert all(check.passed for check in verify_bundle(written))
    entries = {entry["name"]: entry for kind in ("inputs", "outputs") for entry in manifest_of(written)[kind]}
    assert {name: entry.get("batch_axis", 0) for name, entry in entries.items()} == {
        "state": 1, "rate": None, "scores": 0, "next": 1,
    }  # fmt: skip
    loaded = Model(written)
    found = loaded({"state": states[:3], "rate": np.full(3, 2, np.float32)})
    np.testing.assert_allclose(found["next"], 2 * states[:3], rtol=1e-6)
    assert found["scores"].shape == (3, 3)
    with pytest.raises(InputError, match="one value of input 'rate' serves a whole call"):
        Model(written, batch_size=3)({"state": states[:3], "rate": np.arange(3, dtype=np.float32)})
