"""The model's own outputs on a few examples, held against metric, labels and data before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.files import NpzFile
from pipeline.data.fitted import original
from pipeline.data.hashing import DEFAULT_FRACTIONS
from pipeline.data.noise import Noise
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from pipeline.metrics import Cosine, TopOne
from pipeline.metrics.auroc import Auroc
from pipeline.metrics.average_precision import AveragePrecision
from pipeline.metrics.f1 import F1
from pipeline.metrics.function import Function
from pipeline.metrics.mean_absolute_error import MeanAbsoluteError
from pipeline.metrics.mean_iou import MeanIou
from pipeline.metrics.recall_at_k import RecallAtK
from pipeline.metrics.top_k import TopK
from pipeline.plan import Metric
from pipeline.run.build import template_of
from pipeline.run.fitting import Acquainted, acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.zoo.source import InputSpec, OnnxModel, TorchModel
from pipeline.zoo.transformers_model import TransformersModel
from tests.data.test_texts import tokenizer
from tests.example import NeedsTorch, Scale, plan
from tests.zoo.hub_folders import bert, described

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


@dataclass(frozen=True)
class Given:
    """A data set of one test split."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None
    class_names: Sequence[str] = ()
    name: str = "given"
    calibration_size: int = 0
    label_offset: int = 0
    batch_axes: Mapping[str, int | None] = field(default_factory=dict)

    def split(self, name: SplitName) -> Split:
        return Split(self.inputs, self.labels)


def write(folder: Path, nodes: Any, inputs: Any, outputs: Any, **weights: NDArray[Any]) -> Artifact:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    read, told = (
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in entries]
        for entries in (inputs, outputs)
    )
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **dict(node[3:])) for node in nodes], "g", read, told, tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / ONNX_FILE)
    return Artifact(folder, "onnx", "")


def classifier(folder: Path, classes: int, end: str = "Identity") -> Artifact:
    """Scores [N, classes] that are the first inputs themselves."""
    nodes = [("MatMul", ["x", "w"], ["l"]), (end, ["l"], ["y"])]
    weight = np.eye(8, classes, dtype=np.float32)
    return write(folder, nodes, [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", classes])], w=weight)


def met(folder: Path, source: Artifact, data: Given, **changes: Any) -> Acquainted:
    model = OnnxModel(path=source.onnx_path)
    chosen = with_fitted_data(plan(folder / "plan", {"baseline": {}}, model=model, data=data, **changes))
    with template_of(chosen) as start:
        return acquainted(chosen, source, preflight(chosen), start)


X = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


@pytest.mark.parametrize(("end", "threshold"), [("Sigmoid", 0.5), ("Identity", 0.0)])
def test_one_column_is_a_score_with_its_own_threshold(tmp_path: Path, end: str, threshold: float) -> None:
    found = met(tmp_path, classifier(tmp_path, 1, end), Given({"x": X}, (X[:, 0] > 0).astype(np.int64)))
    assert found.plan.metric == TopOne(output=0, threshold=threshold)
    assert f"class 1 is predicted from {threshold:g} on" in found.notes[0]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (np.arange(40) % 3 + 1, (), r"labels run from 1 to 3, the model has classes 0 to 2: type data\.label_offset=1"),
        (np.arange(40) % 5, (), r"labels run from 0 to 4, the model has classes 0 to 2: give labels"),
        (np.arange(40) % 4 - 1, (), r"labels run from -1 to 2, .* type data\.ignore_label=-1 if -1 marks"),
        (np.full(40, IGNORED), (), "every label is ignored"),
        (np.zeros((40, 2), np.int64), (), r"the model tells classes \[N\], and the labels of .* are \[N, 2\]"),
        (np.arange(40) % 3, ("a", "b"), "class_names has 2 names .* the model has 3 classes"),
    ],
)
def test_labels_that_are_not_the_models_are_refused(
    tmp_path: Path, labels: NDArray[Any], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        met(tmp_path, classifier(tmp_path, 3), Given({"x": X}, labels, names))


def test_one_hot_labels_become_classes(tmp_path: Path) -> None:
    found = met(tmp_path, classifier(tmp_path, 3), Given({"x": X}, np.eye(3, dtype=np.int64)[np.arange(40) % 3]))
    labels = found.plan.data.split("test").labels
    assert labels is not None
    assert labels.tolist() == (np.arange(40) % 3).tolist()
    assert "one-hot" in found.notes[0]


def test_a_tagger_is_judged_part_by_part_and_needs_labels(tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", "w"], ["y"])]
    tagger = write(
        tmp_path, nodes, [("x", FLOAT, ["n", 4, 8])], [("y", FLOAT, ["n", 4, 3])], w=np.eye(8, 3, dtype="f4")
    )
    inputs = {"x": np.random.default_rng(0).normal(size=(20, 4, 8)).astype(np.float32)}
    met(tmp_path, tagger, Given(inputs, np.zeros((20, 4), np.int64)))
    with pytest.raises(UserError, match=r"several classes an example \[4\].* metric=cosine"):
        met(tmp_path, tagger, Given(inputs))


def test_a_metric_that_needs_labels_says_so_before_any_work(tmp_path: Path) -> None:
    model = write(tmp_path, [("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8])])
    with pytest.raises(UserError, match=r"metric 'F1' needs labels, and given has none: .* metric=top_one"):
        met(tmp_path, model, Given({"x": X}), metric=F1())


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.linspace(0, 1, 40), "numbers with fractions, .* such as metric=mean_absolute_error"),
        (np.full((40, 1, 5), 0.5), "boxes or other numbers, .* metric=mean_average_precision"),
        (np.full(40, "good morning"), "texts, .* such as metric=word_error_rate"),
    ],
)
def test_what_is_no_class_number_is_no_label_of_classes(tmp_path: Path, labels: NDArray[Any], says: str) -> None:
    with pytest.raises(UserError, match=f"test split are {says}"):
        met(tmp_path, classifier(tmp_path, 3), Given({"x": X}, labels))


@pytest.mark.parametrize("metric", [TopK(k=2), Auroc(), AveragePrecision()])
def test_labels_are_held_against_the_classes_of_a_metric_that_reads_scores(tmp_path: Path, metric: Metric) -> None:
    model = classifier(tmp_path, 3)
    assert met(tmp_path, model, Given({"x": X}, np.arange(40) % 3), metric=metric).plan.metric == metric
    with pytest.raises(UserError, match="labels run from 0 to 4, the model has classes 0 to 2"):
        met(tmp_path, model, Given({"x": X}, np.arange(40) % 5), metric=metric)


@pytest.mark.parametrize(
    ("metric", "labels", "says"),
    [
        (MeanAbsoluteError(), np.zeros((40, 2)), r"a label for each number that the model gives \[.*, 3\]"),
        (RecallAtK(), np.zeros((40, 2), np.int64), "needs one class number an example"),
        (MeanIou(), np.zeros((40, 2), np.int64), r"the model tells classes \[N\], and the labels of .* are \[N, 2\]"),
        (Function(function="gone.metric"), np.zeros(40, np.int64), "gone.metric can't be imported"),
    ],
)
def test_labels_that_do_not_fit_a_metric_are_refused_before_any_work(
    tmp_path: Path, metric: Metric, labels: NDArray[Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        met(tmp_path, classifier(tmp_path, 3), Given({"x": X}, labels), metric=metric)


def test_outputs_that_are_no_numbers_or_random_end_the_run(tmp_path: Path) -> None:
    lost = write(tmp_path, [("Log", ["x"], ["y"])], [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8])])
    with pytest.raises(UserError, match=r"output 'y' is not a number .* first 40 test examples"):
        met(tmp_path, lost, Given({"x": -np.abs(X)}))
    nodes = [("RandomNormalLike", ["x"], ["y"])]
    drawn = write(tmp_path, nodes, [("x", FLOAT, ["n", 8])], [("y", FLOAT, ["n", 8])])
    with pytest.raises(UserError, match="outputs are random: run twice"):
        met(tmp_path, drawn, Given({"x": X}))


def test_the_judged_output_goes_by_name_and_its_axes_are_seen(tmp_path: Path) -> None:
    nodes = [("MatMul", ["x", "w"], ["y"]), ("Transpose", ["y"], ["t"]), ("ReduceSum", ["x"], ["s"], ("keepdims", 0))]
    outputs = [("s", FLOAT, []), ("t", FLOAT, [3, "n"]), ("y", FLOAT, ["n", 3])]
    model = write(tmp_path, nodes, [("x", FLOAT, ["n", 8])], outputs, w=np.eye(8, 3, dtype="f4"))
    found = met(tmp_path, model, Given({"x": X}), metric=TopOne(output="y"))
    assert found.plan.metric == TopOne(output=2)
    assert found.output_axes == [None, 1, 0]
    with pytest.raises(UserError, match=r"metric\.output=z does not exist; the model's outputs: s, t, y"):
        met(tmp_path, model, Given({"x": X}), metric=Cosine(output="z"))


def test_inputs_are_made_typed_and_placed_as_the_model_has_them(tmp_path: Path) -> None:
    inputs = [("ids", TensorProto.INT32, ["n", 4]), ("token_type_ids", INT, ["n", 4]), ("h", FLOAT, [2, "n", 3])]
    nodes = [("Identity", [name], [f"o{name}"]) for name, *_ in inputs]
    outputs = [(f"o{name}", kind, shape) for name, kind, shape in inputs]
    model = write(tmp_path, nodes, inputs, outputs)
    state = np.random.default_rng(0).normal(size=(6, 2, 3))
    data = Given({"ids": np.arange(24).reshape(6, 4), "h": state, "unread": np.zeros(6)})
    found = met(tmp_path, model, data, metric=Cosine(output="oh"))
    split = found.plan.data.split("test")
    assert {name: (array.dtype.name, array.shape) for name, array in split.inputs.items()} == {
        "ids": ("int32", (6, 4)),
        "token_type_ids": ("int64", (6, 4)),
        "h": ("float32", (6, 2, 3)),
    }
    assert found.output_axes == [0, 0, 1]
    assert found.look is not None
    np.testing.assert_allclose(found.look.by_name()["oh"], state, rtol=1e-6)
    assert len(split.notes) == 4


def test_labels_that_are_likely_counted_from_another_number_are_told(tmp_path: Path) -> None:
    inputs = X.copy()
    inputs[:, 2] = -9  # the last class never occurs, so that no label is out of range
    labels = inputs[:, :3].argmax(axis=1) + 1
    found = met(tmp_path, classifier(tmp_path, 3), Given({"x": inputs}, labels))
    assert "about 100 % if -1 is added to their labels: data.label_offset=1 may be meant" in found.notes[0]


def test_channels_are_moved_last_for_a_model_that_reads_them_there(tmp_path: Path) -> None:
    nodes = [("ReduceMean", ["x", "axes"], ["y"], ("keepdims", 0))]
    values = [("x", FLOAT, ["n", 4, 4, 3])], [("y", FLOAT, ["n", 3])]
    model = write(tmp_path, nodes, *values, axes=np.array([1, 2]))
    pictures = np.random.default_rng(0).normal(size=(20, 3, 4, 4)).astype(np.float32)
    found = met(tmp_path, model, Given({"x": pictures}))
    split = found.plan.data.split("test")
    np.testing.assert_array_equal(split.inputs["x"], np.moveaxis(pictures, 1, -1))
    assert split.notes == ("the channels of 'x' are moved last, as the model reads them",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trains(Scale):
    """A stage that reads the train split."""

    reads: ClassVar[frozenset[SplitName]] = frozenset({"train"})


@pytest.mark.parametrize(("stage", "tested"), [(Scale(), 160), (Trains(), 100), (NeedsTorch(), 160)])
def test_the_train_share_of_one_file_is_tested_on_where_no_stage_that_applies_trains(
    tmp_path: Path, stage: Scale, tested: int
) -> None:
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    data = NpzFile(path=tmp_path / "d.npz", fractions=DEFAULT_FRACTIONS)
    chosen = with_fitted_data(plan(tmp_path / "plan", {"baseline": {}, "v": {"a": stage}}, data=data))
    assert len(chosen.data.split("test")) == tested
    assert original(chosen.data) is data


def test_the_train_share_is_kept_for_a_pytorch_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.zeros((200, 1, 4, 4), np.float32) + np.arange(200)[:, None, None, None])
    data = NpzFile(path=tmp_path / "d.npz", fractions=DEFAULT_FRACTIONS)
    inputs = {"image": InputSpec(shape=(1, 4, 4))}
    model = TorchModel(name="m", factory="pipeline.zoo.resnet.SmallResNet", weights=None, inputs=inputs)
    chosen = with_fitted_data(plan(tmp_path / "plan", {"baseline": {}}, model=model, data=data))
    assert len(chosen.data.split("test")) == 100


def test_without_data_examples_are_drawn_from_an_onnx_files_own_description(tmp_path: Path) -> None:
    write(
        tmp_path,
        [("Gather", ["words", "ids"], ["y"])],
        [("ids", INT, ["n", "tokens"])],
        [("y", FLOAT, ["n", "tokens", 2])],
        words=np.zeros((5, 2), np.float32),
    )
    fitted = with_fitted_data(
        plan(
            tmp_path,
            {"baseline": {}},
            model=OnnxModel(path=tmp_path / ONNX_FILE),
            data=Noise(examples={"test": 40}, length=7),
            metric=Cosine(),
        )
    )
    ids = preflight(fitted)["test"].inputs["ids"]
    assert (ids.shape, set(np.unique(ids))) == ((40, 7), set(range(5)))


def test_texts_take_length_and_tokenizer_from_a_folder_of_transformers(tmp_path: Path) -> None:
    described(tmp_path / "bert", bert())
    path = tokenizer(tmp_path / "bert")
    (tmp_path / "t.csv").write_text("text\ngood\n")
    model = TransformersModel(path=tmp_path / "bert")
    chosen = plan(tmp_path / "plan", {"baseline": {}}, model=model, data=Texts(path=tmp_path / "t.csv"))
    fitted = original(with_fitted_data(chosen).data)
    assert isinstance(fitted, Texts)
    assert (fitted.tokenizer, fitted.length) == (path, 48)
