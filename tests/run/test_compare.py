"""How a stage measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.artifact import Artifact
from pipeline.backends.torch import Torch
from pipeline.errors import Skipped, StageFailed
from pipeline.measure.probe import write_probe
from pipeline.plan import Context, Target
from pipeline.run.build import builder
from pipeline.run.compare import Compare, fingerprint
from tests.example import Scale, linear_model, plan


def artifact(folder: Path, scale: float) -> Artifact:
    folder.mkdir()
    linear_model(folder / "model.onnx", scale)
    return Artifact(path=folder, format="onnx", digest="")


def test_candidates_are_timed_beside_their_reference(tmp_path: Path) -> None:
    found = Compare(plan(tmp_path, {}))({"twice": artifact(tmp_path / "a", 2.0)}, artifact(tmp_path / "b", 1.0))
    assert list(found) == ["twice"]
    assert 0 < found["twice"].low <= found["twice"].value <= found["twice"].high


def test_a_candidate_that_cannot_run_is_a_reason(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "probe")
    with pytest.raises(StageFailed, match="other@ort_cpu/1 could not be timed: "):
        Compare(plan(tmp_path, {}))({"other": probe}, artifact(tmp_path / "b", 1.0))


def test_without_a_target_there_is_nothing_to_measure_on(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {}, targets={"torch_cpu": Target(name="torch_cpu", backend=Torch())})
    with pytest.raises(Skipped, match="select a target that runs ONNX on the CPU"):
        Compare(chosen)({}, artifact(tmp_path / "b", 1.0))
    assert fingerprint(chosen)["target"] is None


class Measuring(Scale):
    """A stage whose choice is measured."""

    measures: ClassVar[bool] = True

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        context.note("speed", context.compare({"same": source}, source)["same"].value)
        Scale.__call__(self, source, out, context)


@pytest.mark.slow
def test_what_was_chosen_by_measuring_is_kept_for_this_machine_alone(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[str]:
        chosen = plan(tmp_path, {"measured": {"a": Measuring()}, "plain": {"a": Scale()}}, store=store)
        with builder(chosen, lambda label, done, text: None) as making:
            return [making.build(variant).record.stages[0].key for variant in chosen.variants.values()]

    before = keys()
    assert keys() == before
    real = fingerprint

    def elsewhere(found: Any) -> dict[str, Any]:
        return {**real(found), "cpu": "another one"}

    monkeypatch.setattr("pipeline.run.keys.fingerprint", elsewhere)
    measured, plain = keys()
    assert measured != before[0]
    assert plain == before[1]
