"""What a bundle's program makes of a user's values, images and machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipeline.bundle import verify_bundle
from pipeline.bundle.pictures import recipe
from pipeline.bundle.slimline_infer import InputError, Model
from pipeline.bundle.slimline_infer.command import main
from pipeline.bundle.slimline_infer.files import read
from pipeline.bundle.slimline_infer.threads import allowed_threads
from pipeline.bundle.slimline_infer.values import doubts
from pipeline.data.dataset import Split
from pipeline.data.images import Images
from pipeline.metrics import Cosine, TopOne
from tests.bundle import example
from tests.bundle.forgery import manifest_of
from tests.bundle.test_infer import fails_with_one_line, run

BYTES: dict[str, Any] = {
    "name": "image",
    "dtype": "float32",
    "preprocessing": {"scale": 1.0, "mean": [0.0], "std": [1.0]},
    "range": [0.0, 255.0],
}


def doubts_of(values: Any, **entry: Any) -> str:
    return "; ".join(doubts({"image": np.asarray(values)}, [{**BYTES, **entry}]))


def test_fractions_where_the_golden_values_are_bytes_are_told() -> None:
    told = doubts_of(np.linspace(0, 1, 10, dtype=np.float32)[None])
    assert told.startswith("input 'image' runs from 0 to 1, the golden inputs from 0 to 255: are these fractions of 1")


def test_bytes_where_the_golden_values_are_fractions_are_told() -> None:
    told = doubts_of(np.arange(256, dtype=np.uint8)[None], range=[0.0, 1.0])
    assert told == (
        "input 'image' runs from 0 to 255, the golden inputs from 0 to 1: is it scaled as the model's raw inputs are?"
    )


def test_values_that_are_not_finite_are_told_with_their_example() -> None:
    values = np.ones((4, 3), np.float32) * 100
    values[2, 1] = np.nan
    assert doubts_of(values) == ("input 'image' holds values that are not finite (NaN, infinite), first in example 2")


@pytest.mark.parametrize("values", [[[0, 255]], [[3, 200]], [[0, 0]], [[-20.0, 300.0]]])
def test_values_like_the_golden_ones_are_not_told(values: Any) -> None:
    assert doubts_of(values) == ""


def test_token_numbers_beyond_the_few_golden_ones_are_not_told() -> None:
    assert doubts_of([[30_000]], range=[0.0, 9.0], dtype="int64", preprocessing=None) == ""


def test_a_warning_is_a_line_on_stderr_and_the_answer_is_given(written: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((2, 2, 4, 4), np.float32))
    done = run(written, tmp_path / "mine.npy")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("infer.py: input 'image' runs from 0.0")


def test_scores_come_as_text_or_as_json(written: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", example.images(2).arrays["image"])
    scores = Model(written)(example.images(2).arrays["image"])["logits"]
    text = run(written, tmp_path / "mine.npy", "--top", "2").stdout.splitlines()
    found = json.loads(run(written, tmp_path / "mine.npy", "--top", "3", "--json").stdout)["predictions"]
    best = int(scores[0].argmax())
    assert text[0].startswith(f"0: {example.CLASS_NAMES[best]} ({scores[0, best]:.4g}), ")
    assert found[0]["class"] == example.CLASS_NAMES[best]
    assert [entry["index"] for entry in found[0]["top"]] == list(np.argsort(-scores[0]))
    assert found[1]["score"] == pytest.approx(float(scores[1].max()), rel=1e-5)


def test_the_golden_outputs_are_told_as_json_too(written: Path) -> None:
    told = json.loads(run(written, "--json").stdout)
    assert told["reproduced"] is True
    assert told["predictions"][0]["expected"] in example.CLASS_NAMES


@pytest.mark.parametrize("arguments", [["--top", "0"], ["--batch-size", "x"], ["--what"]])
def test_arguments_that_can_not_be_are_a_mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(None, arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_images_for_a_model_that_takes_none_are_a_mistake(written: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    fails_with_one_line(run(written, tmp_path / "a.png"), "this model does not take images")
    (tmp_path / "folder").mkdir()
    fails_with_one_line(run(written, tmp_path / "folder"), "holds no images")


@pytest.fixture
def photographs(tmp_path: Path) -> Images:
    """Odd ones: large, small, turned, grey of 16 bits, with a palette and transparent."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels[:31, :17]).save(folder / "b.jpg", exif=turned)
    Image.fromarray(rng.integers(0, 2**16, (33, 50)).astype(np.uint16)).save(folder / "c.png")
    Image.fromarray(pixels).quantize(16).save(folder / "d.gif")
    Image.fromarray(rng.integers(0, 256, (20, 20, 4), dtype=np.uint8)).save(folder / "e.png")
    return Images(path=folder, size=16, fractions={"test": 1.0, "train": 0.0, "validation": 0.0, "calibration": 0.0})


@pytest.mark.parametrize("changes", [{}, {"central": None, "interpolation": "bilinear"}])
def test_images_become_what_the_data_set_made_of_them(photographs: Images, changes: dict[str, Any]) -> None:
    photographs = replace(photographs, **changes)
    raw = photographs.split("test").arrays["image"]
    told = recipe("image", raw, photographs)
    arrays, names = read([photographs.path], [{"name": "image", "image": told}])
    assert names is not None
    assert [Path(name).name for name in names] == ["a.png", "b.jpg", "c.png", "d.gif", "e.png"]
    found = {image.tobytes() for image in arrays["image"]}
    assert found == {image.tobytes() for image in raw}


@pytest.mark.parametrize(
    ("shape", "mode", "layout"), [((3, 6, 5), "RGB", "chw"), ((6, 5, 1), "L", "hwc"), ((6, 5, 3), "RGB", "hwc")]
)
def test_images_for_arrays_of_bytes_are_scaled_with_a_warning(
    photographs: Images, shape: tuple[int, ...], mode: str, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = recipe("image", np.zeros((2, *shape), np.uint8), None)
    assert told is not None
    assert (told["mode"], told["layout"], told["known"]) == (mode, layout, False)
    arrays, _ = read([photographs.path / "a.png"], [{"name": "image", "image": told}])
    assert arrays["image"].shape == (1, *shape)
    assert "how the model's own data was made of images is not known" in caplog.text


def test_a_damaged_image_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    told = recipe("image", np.zeros((1, 3, 4, 4), np.uint8), None)
    with pytest.raises(InputError, match=r"a\.png can't be read as an image"):
        read([tmp_path / "a.png"], [{"name": "image", "image": told}])


def quota(folder: Path, membership: str, files: dict[str, str]) -> tuple[int, str | None]:
    (folder / "cgroup").write_text(membership)
    for name, text in files.items():
        path = folder / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return allowed_threads(64, folder / "cgroup", folder / "fs")


def test_threads_follow_the_quota_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "none").mkdir()
    assert quota(tmp_path / "none", "", {}) == (8, "8 threads instead of 64: this process may run on 8 cores")
    (tmp_path / "two").mkdir()
    two = quota(tmp_path / "two", "0::/a\n", {"a/cpu.max": "max 100000", "cpu.max": "290000 100000"})
    assert two == (2, "2 threads instead of 64: its container may use 2.9 cores' time")
    (tmp_path / "one").mkdir()
    files = {"cpu/b/cpu.cfs_quota_us": "50000", "cpu/b/cpu.cfs_period_us": "100000"}
    one = quota(tmp_path / "one", "4:cpu,cpuacct:/b\n", files)
    assert one == (1, "1 thread instead of 64: its container may use 0.5 cores' time")
    assert allowed_threads(1, tmp_path / "nothing", tmp_path / "nothing") == (1, None)


def one_column_model(name: str = "score") -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.array([[1.0], [-1.0]], np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], [name])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_single_column_is_the_score_of_class_1_from_the_metrics_threshold_on(tmp_path: Path) -> None:
    values = np.array([[1, 0], [0, 1], [2, 2], [3, 1]], np.float32)
    out = example.bundle(
        example.save(one_column_model(), tmp_path / "model"),
        tmp_path / "deploy",
        examples=Split({"x": values}, np.array([1, 0, 1, 1])),
        preprocessing={},
        class_names=("no", "yes"),
        metric=TopOne(threshold=0.0),
    )
    assert all(check.passed for check in verify_bundle(out))
    assert manifest_of(out)["scores"] == {"output": "score", "threshold": 0.0}
    assert Model(out).predict(values) == ["yes", "no", "yes", "yes"]


def test_an_embedding_has_no_classes(tmp_path: Path) -> None:
    from pipeline.bundle.golden import labels, scores

    outputs = {"a": np.eye(3, dtype=np.float32), "b": np.eye(3, dtype=np.float32)}
    assert scores(Cosine(), outputs) is None
    assert scores(TopOne(output=1), outputs) == {"output": "b", "threshold": None}
    assert labels(("x", "y", "z"), {"output": "b", "threshold": None}, outputs) == ["x", "y", "z"]
    assert labels(("x", "y"), {"output": "b", "threshold": None}, outputs) is None
