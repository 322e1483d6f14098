import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.data.dataset import Feed, Split, SplitName
from pipeline.errors import BackendUnavailable, UserError, WorkerFailed
from pipeline.isolated import Limits
from pipeline.isolated.template import Template
from pipeline.measure.accuracy import assert_disjoint, predict
from pipeline.metrics import TopOne
from pipeline.metrics.top_one import NO_PREDICTION
from pipeline.plan import Session, Target


@dataclass(frozen=True)
class Echo:
    """A session that returns its input; it notes the size of each batch it is given."""

    log: Path

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        batch = feed["x"]
        with self.log.open("a") as file:
            file.write(f"{len(batch)} ")
        return [batch]


@dataclass(frozen=True)
class EchoBackend:
    name: ClassVar[str] = "echo"
    runs: ClassVar[frozenset[Format]] = frozenset({"torch"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None: ...

    def preload(self, target: Target) -> None: ...

    def load(self, artifact: Artifact, target: Target) -> Session:
        return Echo(artifact.path / "batches")


@dataclass(frozen=True)
class UnavailableBackend(EchoBackend):
    def load(self, artifact: Artifact, target: Target) -> Session:
        raise BackendUnavailable("no such device here")


@dataclass(frozen=True)
class LeavingBackend(EchoBackend):
    def load(self, artifact: Artifact, target: Target) -> Session:
        raise SystemExit(3)


@dataclass(frozen=True)
class HangingBackend(EchoBackend):
    def load(self, artifact: Artifact, target: Target) -> Session:
        while True:
            pass


@dataclass(frozen=True)
class FailingBackend(EchoBackend):
    def load(self, artifact: Artifact, target: Target) -> Session:
        raise RuntimeError("the graph is broken\nand more")


@dataclass(frozen=True)
class CrashingBackend(EchoBackend):
    def load(self, artifact: Artifact, target: Target) -> Session:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


def _target(backend: EchoBackend) -> Target:
    return Target(name="echo", backend=backend)


def _scores(n: int = 10) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def start() -> Iterator[Template]:
    """Starts the processes that predict."""
    with Template((predict.__module__, __name__)) as template:
        yield template


def test_every_example_is_predicted_and_the_last_batch_may_be_smaller(tmp_path: Path, start: Template) -> None:
    scores = _scores()
    shares: list[float] = []
    model, target = Artifact(tmp_path, "torch", "d"), _target(EchoBackend())
    found = predict(model, target, TopOne(), {"x": scores}, 4, shares.append, start=start)
    assert found.repeat == 0
    np.testing.assert_array_equal(found.predictions, scores.argmax(axis=1))
    assert (tmp_path / "batches").read_text().split() == ["4", "4", "4", "2"]
    assert shares == [0.4, 0.8, 1.0]
    assert not multiprocessing.active_children()


def test_it_is_kept_how_sure_the_model_is_of_each_class(tmp_path: Path, start: Template) -> None:
    scores = _scores()
    model, target = Artifact(tmp_path, "torch", "d"), _target(EchoBackend())
    found = predict(model, target, TopOne(), {"x": scores}, 4, start=start)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert found.sureness is not None
    np.testing.assert_allclose(found.sureness, shares.max(axis=1), rtol=1e-5)
    told = predict(model, target, TopOne(), {"x": np.arange(10)}, 4, start=start)  # classes, and no scores
    assert told.sureness is None


def _write_identity(folder: Path, batch: int | str) -> None:
    from onnx import TensorProto, helper, save

    shape = [batch, 4]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "model.onnx")


@pytest.mark.parametrize(("batch", "seen"), [(3, ["3"] * 5), ("n", ["4", "4", "4", "2"])])
def test_a_model_with_a_fixed_batch_is_given_whole_batches_only(
    tmp_path: Path, batch: int | str, seen: list[str], start: Template
) -> None:
    _write_identity(tmp_path, batch)
    scores = _scores()
    found = predict(Artifact(tmp_path, "onnx", "d"), _target(EchoBackend()), TopOne(), {"x": scores}, 4, start=start)
    np.testing.assert_array_equal(found.predictions, scores.argmax(axis=1))
    assert (tmp_path / "batches").read_text().split() == seen


@pytest.mark.parametrize(
    ("backend", "error", "reason"),
    [
        (UnavailableBackend(), BackendUnavailable, "no such device here"),
        (FailingBackend(), WorkerFailed, "RuntimeError: the graph is broken"),
        (CrashingBackend(), WorkerFailed, "ended by SIGSEGV"),
        (LeavingBackend(), WorkerFailed, "SystemExit: 3"),
        (HangingBackend(), WorkerFailed, "nothing was heard of it for 1 s"),
    ],
)
def test_a_model_that_fails_to_load_gives_its_reason(
    tmp_path: Path, backend: EchoBackend, error: type[Exception], reason: str, start: Template
) -> None:
    limits = Limits(seconds=1.0) if isinstance(backend, HangingBackend) else Limits()
    with pytest.raises(error, match=reason) as caught:
        predict(
            Artifact(tmp_path, "torch", "d"),
            _target(backend),
            TopOne(),
            {"x": _scores()},
            4,
            limits=limits,
            start=start,
        )
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(Artifact(tmp_path, "torch", "d"), _target(EchoBackend()), TopOne(), {"x": _scores()}, 1, interrupt)
    assert not multiprocessing.active_children()


def test_an_output_that_is_no_class_scores_is_refused_with_its_shape(tmp_path: Path, start: Template) -> None:
    model, target = Artifact(tmp_path, "torch", "d"), _target(EchoBackend())
    with pytest.raises(UserError, match=r"shape is \[4, 2, 0\]"):
        predict(model, target, TopOne(), {"x": np.zeros((8, 2, 0))}, 4, start=start)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        predict(Artifact(tmp_path, "torch", "d"), _target(EchoBackend()), TopOne(), {"x": _scores(0)}, 4)


def test_top_one_takes_the_best_class_and_none_where_scores_are_not_numbers() -> None:
    scores = np.array([[0.1, 0.9], [0.5, 0.5], [np.nan, 1.0]], np.float32)
    assert TopOne().predictions([scores]).tolist() == [1, 0, NO_PREDICTION]
    assert TopOne().predictions([np.array([[1, 7, 3]], np.int8)]).tolist() == [1]


@pytest.mark.parametrize("outputs", [[], [np.zeros((3, 0))], [np.zeros((1, 2), "U1")]])
def test_top_one_refuses_what_is_not_examples_by_classes(outputs: list[NDArray[Any]]) -> None:
    with pytest.raises(UserError, match="metric 'accuracy' needs"):
        TopOne().predictions(outputs)


def _split(*values: int) -> Split:
    return Split({"x": np.array(values, np.int64).reshape(-1, 1)})


def test_disjoint_splits_pass() -> None:
    assert_disjoint({"train": _split(1, 2, 2), "calibration": _split(3), "test": _split(4, 5)})


def test_a_shared_example_is_named_by_both_splits_and_its_first_place() -> None:
    splits: Mapping[SplitName, Split] = {"calibration": _split(7, 1, 2, 3), "test": _split(9, 8, 3, 1)}
    with pytest.raises(UserError) as caught:
        assert_disjoint(splits)
    assert len(caught.value.problems) == 1
    assert "'calibration' and 'test' must not overlap, but share 2 examples" in caught.value.problems[0]
    assert "example 2 of 'test', which is example 3 of 'calibration'" in caught.value.problems[0]


def test_all_overlapping_pairs_are_reported_together() -> None:
    with pytest.raises(UserError) as caught:
        assert_disjoint({"train": _split(1, 2), "validation": _split(2, 3), "test": _split(3, 1)})
    assert len(caught.value.problems) == 3
