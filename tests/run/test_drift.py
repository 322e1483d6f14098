"""Judging a search's candidates: several at a time, and the reference once, with the first of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import WorkerFailed
from pipeline.measure.accuracy import Predicted
from pipeline.measure.group import Subject
from pipeline.plan import SearchSettings, Target
from pipeline.run import drift, side_by_side
from tests.example import Arrays, plan

SOON_S = 5.0
Judging = Callable[..., Mapping[str, drift.Judged]]


def judging(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cores: int, predicted: Callable[[str], Predicted]
) -> Judging:
    """Judges candidates by their names; ``predicted`` gives the predictions of the model of a name."""
    monkeypatch.setattr(side_by_side, "available_cores", lambda: cores)
    monkeypatch.setattr(drift, "predict", lambda artifact, *_, **__: predicted(artifact.path.name))
    chosen = plan(folder, {"baseline": {}, "fast": {}}, search=SearchSettings())
    judge = drift.DriftJudge(plan=chosen, examples=Arrays().split("validation"), output_axes=None)

    def subject(name: str) -> Subject:
        artifact = Artifact(path=folder / name, format="onnx", digest=name)
        return Subject(key=name, artifact=artifact, target=Target(name="ort_cpu", backend=OnnxRuntime()), batch_size=1)

    def judged(*names: str) -> Mapping[str, drift.Judged]:
        found = judge({f"{name}@ort_cpu": subject(name) for name in names}, subject("reference"), 1.0)
        return {key.removesuffix("@ort_cpu"): one for key, one in found.items()}

    return judged


def right() -> Predicted:
    return Predicted(predictions=Arrays().split("validation").labels)


def test_the_reference_runs_beside_the_first_candidate_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    called: list[str] = []

    def predicted(name: str) -> Predicted:
        called.append(name)
        if name != "second":
            both.wait(SOON_S)
        return right()

    judged = judging(tmp_path, monkeypatch, 2, predicted)
    first = judged("first")["first"]
    assert first.accuracy is not None
    assert first.accuracy.delta == 0.0
    assert first.why.startswith("its accuracy is UNDECIDED"), "on 32 examples"
    assert list(judged("second")) == ["second"]
    assert sorted(called[:2]) == ["first", "reference"]
    assert called[2:] == ["second"]


def test_two_candidates_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def predicted(name: str) -> Predicted:
        if name.startswith("pair"):
            both.wait(SOON_S)
        return right()

    judged = judging(tmp_path, monkeypatch, 2, predicted)
    judged("first")
    found = judged("pair 1", "pair 2")
    assert [found[name].failure for name in ("pair 1", "pair 2")] == [None, None]


def test_on_one_core_they_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = threading.Lock()

    def predicted(name: str) -> Predicted:
        assert running.acquire(blocking=False), "another one runs"
        time.sleep(0.05)
        running.release()
        return right()

    found = judging(tmp_path, monkeypatch, 1, predicted)("first", "second")
    assert [one.failure for one in found.values()] == [None, None]


def test_one_that_fails_leaves_the_reference_and_its_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def predicted(name: str) -> Predicted:
        called.append(name)
        if name == "broken":
            raise WorkerFailed("it broke")
        return right()

    judged = judging(tmp_path, monkeypatch, 2, predicted)
    found = judged("broken", "sound")
    assert str(found["broken"].failure) == "it broke"
    assert found["broken"].accuracy is None
    assert found["sound"].accuracy is not None
    assert judged("later")["later"].accuracy is not None
    assert called.count("reference") == 1


def test_where_the_reference_fails_the_candidates_say_so_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True, False])

    def predicted(name: str) -> Predicted:
        if name == "reference" and next(fails):
            raise WorkerFailed("no memory")
        return right()

    judged = judging(tmp_path, monkeypatch, 2, predicted)
    assert [str(one.failure) for one in judged("first", "second").values()] == ["no memory"] * 2
    assert judged("third")["third"].failure is None


def test_a_candidate_that_is_wrong_drifts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Arrays().split("validation").labels
    assert labels is not None

    def predicted(name: str) -> Predicted:
        return Predicted(predictions=(labels + 1) % 3 if name == "wrong" else labels)

    found = judging(tmp_path, monkeypatch, 2, predicted)("wrong", "right")
    wrong = found["wrong"]
    assert wrong.accuracy is not None
    assert wrong.accuracy.delta == -1.0
    assert wrong.why
    alone = judging(tmp_path, monkeypatch, 2, predicted)("wrong")["wrong"]
    assert wrong.accuracy == alone.accuracy, "nothing is corrected for those that are judged beside it"


def test_outputs_that_the_metric_can_not_read_are_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = judging(tmp_path, monkeypatch, 2, lambda name: Predicted(predictions=None, reason="no row an example"))
    for name in ("first", "second"):
        found = judged(name)[name]
        assert (found.accuracy, found.why, found.failure) == (None, "no row an example", None)
