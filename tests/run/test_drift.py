"""Judging a search's candidates: the reference runs once, with the first of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import WorkerFailed
from pipeline.measure.accuracy import Predicted
from pipeline.plan import SearchSettings, Target
from pipeline.run import drift, side_by_side
from tests.example import Arrays, plan

SOON_S = 5.0


def judge(folder: Path) -> drift.DriftJudge:
    chosen = plan(folder, {"baseline": {}, "fast": {}}, search=SearchSettings())
    return drift.DriftJudge(plan=chosen, examples=Arrays().split("validation"), output_axes=None)


def asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cores: int, predicted: Callable[[str], Predicted]
) -> Callable[[str], Any]:
    """Judges a candidate by its name; ``predicted`` gives the predictions of the model of a name."""
    monkeypatch.setattr(side_by_side, "available_cores", lambda: cores)
    monkeypatch.setattr(drift, "predict", lambda artifact, *_, **__: predicted(artifact.path.name))
    target, judging = Target(name="ort_cpu", backend=OnnxRuntime()), judge(folder)

    def artifact(name: str) -> Artifact:
        return Artifact(path=folder / name, format="onnx", digest=name)

    return lambda name: judging(f"{name}@ort_cpu", artifact(name), target, (artifact("reference"), target), 1.0)


def right() -> Predicted:
    return Predicted(predictions=Arrays().split("validation").labels)


def test_the_first_candidate_runs_beside_the_reference_and_the_next_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    called: list[str] = []

    def predicted(name: str) -> Predicted:
        called.append(name)
        if name != "second":
            both.wait(SOON_S)
        return right()

    judged = asked(tmp_path, monkeypatch, 2, predicted)
    accuracy, why = judged("first")
    assert accuracy is not None
    assert accuracy.delta == 0.0
    assert why.startswith("its accuracy is UNDECIDED"), "on 32 examples"
    judged("second")
    assert sorted(called[:2]) == ["first", "reference"]
    assert called[2:] == ["second"]


def test_on_one_core_they_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = threading.Lock()

    def predicted(name: str) -> Predicted:
        assert running.acquire(blocking=False), "another one runs"
        time.sleep(0.05)
        running.release()
        return right()

    assert asked(tmp_path, monkeypatch, 1, predicted)("first")[0] is not None


def test_a_first_candidate_that_fails_does_not_have_the_reference_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def predicted(name: str) -> Predicted:
        called.append(name)
        if name == "broken":
            raise WorkerFailed("it broke")
        return right()

    judged = asked(tmp_path, monkeypatch, 2, predicted)
    with pytest.raises(WorkerFailed, match="it broke"):
        judged("broken")
    assert judged("sound")[0] is not None
    assert called.count("reference") == 1


def test_a_candidate_that_is_wrong_drifts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Arrays().split("validation").labels
    assert labels is not None

    def predicted(name: str) -> Predicted:
        return Predicted(predictions=(labels + 1) % 3 if name == "wrong" else labels)

    accuracy, why = asked(tmp_path, monkeypatch, 2, predicted)("wrong")
    assert accuracy is not None
    assert accuracy.delta == -1.0
    assert why
