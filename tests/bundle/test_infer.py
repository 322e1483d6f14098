from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import infer, slimline_infer, verify_bundle
from pipeline.bundle.slimline_infer.compare import compare
from pipeline.data.dataset import Split
from tests.bundle import example

ALONE = "import runpy, sys; sys.modules.update(dict.fromkeys(['pipeline', 'torch', 'onnx'])); sys.argv = sys.argv[1:]; "


def run(bundle: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``python infer.py`` in a clean environment, where slimline, torch and onnx can't be imported."""
    program = str(bundle / "infer.py")
    code = ALONE + "runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", code, program, *map(str, arguments)],
        cwd=cwd or bundle.parent,
        capture_output=True,
        text=True,
        env={},
        check=False,
    )


def fails_with_one_line(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for words in expected:
        assert words in done.stderr


def test_it_imports_nothing_but_numpy_onnxruntime_and_the_standard_library() -> None:
    files = [
        Path(infer.__file__),
        Path(infer.__file__).with_name("serve.py"),
        *Path(slimline_infer.__file__).parent.glob("*.py"),
    ]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) == {
        *("numpy", "PIL", "slimline_infer"),
        *("onnxruntime", "openvino", "torch"),  # one of them in a bundle
    }


def test_it_runs_alone_from_any_folder_and_reproduces_the_golden_outputs(written: Path, tmp_path: Path) -> None:
    done = run(written, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "golden outputs reproduced" in done.stdout
    assert "(expected " in done.stdout


def test_it_predicts_labels_for_a_users_arrays(written: Path, tmp_path: Path) -> None:
    images = example.images(5).arrays["image"]
    np.savez(tmp_path / "mine.npz", image=images, labels=np.zeros(5))
    np.save(tmp_path / "mine.npy", images)
    from_npz, from_npy = run(written, tmp_path / "mine.npz"), run(written, tmp_path / "mine.npy")
    assert from_npz.returncode == from_npy.returncode == 0
    assert from_npz.stdout == from_npy.stdout
    assert [line.split(": ")[1].split()[0] in example.CLASS_NAMES for line in from_npz.stdout.splitlines()] == [
        True
    ] * 5


def test_golden_outputs_that_are_not_reproduced_end_with_code_1(bundle: Path) -> None:
    with np.load(bundle / "golden.npz") as golden:
        arrays = dict(golden)
    arrays["output.logits"] = arrays["output.logits"] + np.float32(1)
    np.savez(bundle / "golden.npz", **arrays)
    done = run(bundle)
    assert done.returncode == 1
    assert "golden outputs NOT reproduced: output 'logits' differs" in done.stdout


def test_a_missing_file_is_one_clear_line(written: Path) -> None:
    fails_with_one_line(run(written, "nowhere.npz"), "nowhere.npz does not exist")


def test_a_file_that_is_no_array_is_one_clear_line(written: Path, tmp_path: Path) -> None:
    for name, content in (("text.npz", b"hello"), ("empty.npy", b""), ("cut.npz", b"PK\x03\x04cut")):
        (tmp_path / name).write_bytes(content)
        fails_with_one_line(run(written, tmp_path / name), name, "can't be read as a .npy or .npz file")


def test_a_wrong_shape_is_one_clear_line(written: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((2, 2, 5, 4), np.uint8))
    fails_with_one_line(run(written, tmp_path / "mine.npy"), "'image' must have shape [N, 2, 4, 4] (got [2, 2, 5, 4])")


def test_a_wrong_name_is_one_clear_line(written: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", picture=np.zeros((2, 2, 4, 4), np.uint8))
    fails_with_one_line(run(written, tmp_path / "mine.npz"), "no array for input 'image'", "found picture")


def test_a_model_file_that_can_not_be_loaded_is_one_clear_line(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"cut")
    fails_with_one_line(run(bundle), "ONNX Runtime can't load model.onnx")


def test_a_missing_manifest_is_one_clear_line(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    fails_with_one_line(run(bundle), "manifest.json can't be read")


def test_the_class_serves_raw_inputs_by_name_or_bare(written: Path) -> None:
    model, images = infer.Model(written), example.images(6).arrays["image"]
    by_name, bare = model({"image": images}), model(images)
    np.testing.assert_array_equal(by_name["logits"], bare["logits"])
    assert by_name["logits"].shape == (6, 3)
    assert model.predict(images) == [example.CLASS_NAMES[index] for index in by_name["logits"].argmax(axis=1)]


def test_empty_inputs_and_wrong_types_are_refused(written: Path) -> None:
    model = infer.Model(written)
    with pytest.raises(infer.InputError, match="there are no examples"):
        model(np.zeros((0, 2, 4, 4), np.uint8))
    with pytest.raises(infer.InputError, match="must hold float32 values"):
        model(np.zeros((1, 2, 4, 4), np.complex64))


def test_a_fixed_batch_is_filled_up_and_cut_off_again(written: Path, tmp_path: Path) -> None:
    fixed = example.bundle(example.save(example.linear_model(batch=3), tmp_path / "fixed"), tmp_path / "deploy_fixed")
    images = example.images(7).arrays["image"]
    np.testing.assert_allclose(
        infer.Model(fixed)(images)["logits"], infer.Model(written)(images)["logits"], rtol=1e-5, atol=1e-5
    )
    assert all(check.passed for check in verify_bundle(fixed))
    with pytest.raises(infer.InputError, match="fixed to 3"):
        infer.Model(fixed, batch_size=4)


def test_several_integer_inputs_without_classes_are_served(tmp_path: Path) -> None:
    tokens = {"ids": np.arange(24).reshape(4, 6) % 9, "mask": np.ones((4, 6), np.int64)}
    artifact = example.save(example.two_input_model(), tmp_path / "artifact")
    out = example.bundle(artifact, tmp_path / "deploy", examples=Split(tokens), preprocessing={}, class_names=())
    model = infer.Model(out)
    np.testing.assert_array_equal(model(tokens)["embedding"][..., 0], tokens["ids"])
    with pytest.raises(infer.InputError, match="do not hold class scores"):
        model.predict(tokens)
    with pytest.raises(infer.InputError, match="different numbers of examples"):
        model({"ids": tokens["ids"], "mask": tokens["mask"][:2]})
    with pytest.raises(infer.InputError, match="can't run these inputs"):
        model({"ids": tokens["ids"], "mask": tokens["mask"][:, :5]})
    with pytest.raises(infer.InputError, match="'ids' must hold int64 values"):
        model({"ids": tokens["ids"] / 2, "mask": tokens["mask"]})
    done = run(out)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "output 'embedding': float32 [4, 6, 1]")


@pytest.mark.parametrize(
    ("got", "passes"),
    [([1.0, 2.0], True), ([1.001, 2.0], True), ([1.1, 2.0], False), ([float("nan"), 2.0], False)],
)
def test_golden_outputs_are_compared_relative_to_the_largest(got: list[float], passes: bool) -> None:
    golden = {"relative_tolerance": 1e-3, "agreement": 0.9}
    problems, _ = compare({"y": np.array([1.0, 2.0])}, {"y": np.array(got)}, golden)
    assert (not problems) == passes


def test_classes_must_agree_even_where_the_scores_are_within_tolerance() -> None:
    golden = {"relative_tolerance": 0.1, "agreement": 0.9}
    wanted = np.tile(np.array([[1.0, 0.99]]), (10, 1))
    one_flipped, two_flipped = wanted.copy(), wanted.copy()
    one_flipped[:1, 1] = two_flipped[:2, 1] = 1.01
    assert compare({"y": wanted}, {"y": one_flipped}, golden)[0] == []
    assert compare({"y": wanted}, {"y": two_flipped}, golden)[0] == [
        "output 'y': 80% of the classes agree (at least 90%)"
    ]
