"""What ships for post-processing: what each makes of outputs, and what it refuses."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper

from pipeline.construct import construct
from pipeline.errors import UserError
from pipeline.libraries.installed import locate
from pipeline.postprocessing.argmax import Argmax
from pipeline.postprocessing.ctc import Ctc
from pipeline.postprocessing.nms import Nms
from pipeline.postprocessing.softmax import Softmax

CONF = Path(__file__).parents[2] / "conf" / "postprocessing"
SCORES = np.array([[[0.0, 2.0], [1.0, 0.0]]], np.float32)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_the_yaml_holds_exactly_the_fields_with_their_defaults(name: str) -> None:
    node: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    kind = locate(node["_target_"])
    defaults = {field.name: "???" if field.default is MISSING else field.default for field in fields(kind)}
    problems: list[str] = []
    made = construct(node, "model.postprocessing", problems)
    assert not problems
    assert {name: getattr(made, name) for name in defaults} == defaults
    assert set(node) - {"_target_"} == set(defaults)


def test_scores_become_probabilities_or_classes_and_other_outputs_stay() -> None:
    outputs: dict[str, np.ndarray] = {"logits": SCORES, "other": np.ones(1)}
    probabilities = Softmax()(outputs)
    assert probabilities["logits"].sum(axis=-1) == pytest.approx(1)
    assert list(probabilities) == ["logits", "other"]
    assert Argmax(output="logits")(outputs)["logits"].tolist() == [[1, 0]]
    assert Argmax(axis=1)(outputs)["logits"].tolist() == [[1, 0]]


FRAMES = np.eye(4)[[[0, 1, 1, 0, 1, 2], [3, 3, 0, 0, 0, 0]]].astype(np.float32)
"""Scores of the tokens a a, then a b; and of one that repeats."""


@pytest.mark.parametrize(
    ("ctc", "expected"),
    [
        (Ctc(), {"tokens": [[1, 1, 2, -1, -1, -1], [3, -1, -1, -1, -1, -1]]}),
        (Ctc(collapse=False), {"tokens": [[1, 1, 1, 2, -1, -1], [3, 3, -1, -1, -1, -1]]}),
        (Ctc(blank=3), {"tokens": [[0, 1, 0, 1, 2, -1], [0, -1, -1, -1, -1, -1]]}),
        (Ctc(vocabulary=("", "a", "b", " c")), {"texts": ["aab", " c"]}),
    ],
)
def test_ctc_leaves_out_blanks_and_repetitions(ctc: Ctc, expected: dict[str, Any]) -> None:
    assert {name: array.tolist() for name, array in ctc({"logits": FRAMES}).items()} == expected


def _by_onnxruntime(boxes: np.ndarray, scores: np.ndarray, nms: Nms) -> set[tuple[int, int, int]]:
    """The examples, classes and boxes that ONNX's NonMaxSuppression keeps."""
    given = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in (("boxes", boxes), ("scores", np.moveaxis(scores, 2, 1)))
    ]
    constants = {"most": np.int64(nms.max_detections), "iou": np.float32(nms.iou_threshold)}
    constants["least"] = np.float32(nms.score_threshold)
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["kept"])
    kept = helper.make_tensor_value_info("kept", TensorProto.INT64, [None, 3])
    weights = [onnx.numpy_helper.from_array(np.array([value]), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "nms", given, [kept], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"boxes": boxes, "scores": np.moveaxis(scores, 2, 1)})[0]
    return {(int(row[0]), int(row[1]), int(row[2])) for row in found}


@pytest.mark.parametrize("iou_threshold", [0.2, 0.5])
def test_suppression_keeps_the_boxes_that_onnx_runtime_keeps(iou_threshold: float) -> None:
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 20, (4, 50, 2)), rng.uniform(5, 20, (4, 50, 2))
    boxes, scores = np.concatenate([corner, corner + size], -1).astype(np.float32), rng.random((4, 50, 3), np.float32)
    nms = Nms(iou_threshold=iou_threshold, score_threshold=0.3, max_detections=500)
    detections = nms({"boxes": boxes, "scores": scores})["detections"]
    expected = _by_onnxruntime(boxes, scores, nms)
    assert 12 < len(expected) < 600 * 0.7
    told = {
        (image, int(row[5]), int(np.flatnonzero((boxes[image] == row[:4]).all(axis=1))[0]))
        for image, rows in enumerate(detections)
        for row in rows[~np.isnan(rows[:, 0])]
    }
    assert told == expected


def test_each_example_has_its_best_detections_first_and_nan_behind() -> None:
    boxes = np.array([[[0, 0, 4, 4], [0, 0, 4, 3.9], [8, 8, 9, 9]]])
    scores = np.array([[[0.5, 0.6], [0.1, 0.9], [0.0, 0.01]]])
    each = Nms()({"b": boxes, "s": scores})["detections"]
    assert each.shape == (1, 100, 6)
    assert each[0, :2].tolist() == [[0, 0, 4, 3.9, 0.9, 1], [0, 0, 4, 4, 0.5, 0]]
    assert np.isnan(each[0, 2:]).all()
    assert Nms(max_detections=1)({"b": boxes, "s": scores})["detections"].shape == (1, 1, 6)
    together = Nms(per_class=False)({"b": boxes, "s": scores})["detections"][0]
    assert together[~np.isnan(together[:, 0])].tolist() == [[0, 0, 4, 3.9, 0.9, 1]]


@pytest.mark.parametrize(("box_format", "box"), [("xywh", [1, 2, 4, 6]), ("cxcywh", [3, 5, 4, 6])])
def test_boxes_of_other_formats_become_corners(box_format: Any, box: list[float]) -> None:
    found = Nms(box_format=box_format)({"b": np.array([[box]]), "s": np.array([[[1.0]]])})
    assert found["detections"][0, 0].tolist() == [1, 2, 5, 8, 1, 0]


@pytest.mark.parametrize(
    ("postprocessing", "says"),
    [
        (Softmax(output=2), r"model\.postprocessing\.output=2 does not exist: the model's outputs are y"),
        (Argmax(), r"output 'y' to be scores .* but it is float32 \[3\]"),
        (Ctc(), r"output 'y' to be scores .* but it is float32 \[3\]"),
        (Nms(), r"model\.postprocessing\.scores=1 does not exist"),
        (Nms(scores=0), r"output 'y' is \[3\] and output 'y' is \[3\]: name others with model\.postprocessing\.boxes"),
    ],
)
def test_other_outputs_are_told_with_what_to_type(postprocessing: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        postprocessing({"y": np.zeros(3, np.float32)})


def test_a_vocabulary_of_another_length_is_told() -> None:
    with pytest.raises(UserError, match=r"of 2 tokens .*but it is \[2, 6, 4\]"):
        Ctc(vocabulary=("a", "b"))({"y": FRAMES})
