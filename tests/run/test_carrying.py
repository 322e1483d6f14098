"""``model.state``: what a run makes of a model's state and of data that are sequences."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.batches import Inputs
from pipeline.data.dataset import IGNORED, Dataset, Split, SplitName
from pipeline.data.noise import Noise
from pipeline.data.rows import loaded
from pipeline.data.steps import Carry, carry_in
from pipeline.errors import UserError
from pipeline.metrics import Cosine
from pipeline.plan import Plan
from pipeline.results.record import AccuracySamples
from pipeline.run.carrying import judged_by_sequence, latest_first
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.zoo.source import OnnxModel
from tests.example import plan
from tests.recurrent import STATE, STEPS, WIDTH, expected, leaky_sum, sequences


@dataclass(frozen=True)
class Sequences:
    """Sequences in memory; the calibration split's are others."""

    frames: NDArray[Any] = field(default_factory=sequences)
    name: str = "sequences"
    calibration_size: int = 4
    class_names: tuple[str, ...] = ()

    def split(self, name: SplitName) -> Split:
        return Split({"frame": self.frames if name == "test" else self.frames + 1})


def planned(folder: Path, state: dict[str, str], **changes: Any) -> Plan:
    model = OnnxModel(path=leaky_sum(folder / "model").onnx_path, state=state)
    return plan(folder, {"baseline": {}}, model=model, metric=Cosine(), **{"data": Sequences(), **changes})


def met(chosen: Plan, folder: Path) -> Dataset:
    """The data of a plan, once the model was looked at."""
    fitted = with_fitted_data(chosen)
    return acquainted(fitted, leaky_sum(folder / "model"), preflight(fitted)).plan.data


def test_each_call_is_fed_the_state_that_the_model_carried(tmp_path: Path) -> None:
    known = met(planned(tmp_path, STATE), tmp_path)
    splits: tuple[tuple[SplitName, NDArray[Any]], ...] = (("test", sequences()), ("calibration", sequences() + 1))
    for name, frames in splits:
        inputs = known.split(name).inputs
        np.testing.assert_allclose(inputs["state"], expected(frames)[1], rtol=1e-6)
    assert carry_in(known) == Carry(state=STATE, steps=STEPS)


def test_silence_in_two_splits_is_no_shared_example(tmp_path: Path) -> None:
    frames = np.array(sequences())
    frames[0, 0], frames[1, 0] = 0, -1  # a call of zeros in both splits
    assert len(preflight(with_fitted_data(planned(tmp_path, STATE, data=Sequences(frames))))["test"]) == 4 * STEPS


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({}, "the data has frame: .*; if the call before gives 'state', type 'model.state={OUTPUT: state}'"),
        ({"stateN": "stat"}, "input 'stat' does not exist; did you mean 'state'. the model's inputs: frame, state"),
        ({"next": "state"}, "model.state: output 'next' does not exist; the model's outputs: y, stateN, sum"),
        ({"y": "state", "stateN": "state"}, "model.state names an input twice"),
        (
            {"sum": "state"},
            r"output 'sum' is \[\] for one example, and input 'state' is \[3\]: a state keeps its shape",
        ),
    ],
)
def test_a_state_that_does_not_fit_gets_a_line(state: dict[str, str], says: str, tmp_path: Path) -> None:
    chosen = planned(tmp_path, state)
    with pytest.raises(UserError, match=says) as caught:
        met(chosen, tmp_path)
    assert len(caught.value.problems) == 1


def test_calls_with_the_longest_state_are_timed_first() -> None:
    calls = Inputs({"x": np.array([0, 1, 2, 10, 11, 12])})
    assert loaded(latest_first(calls, Carry(state=STATE, steps=3))["x"]).tolist() == [2, 12, 1, 11, 0, 10]
    assert latest_first(calls, None) is calls


def _samples(labels: list[int] | None, predictions: NDArray[Any]) -> AccuracySamples:
    truth = None if labels is None else np.array(labels)
    return AccuracySamples(labels=truth, predictions={"a@b": predictions}, metric="top_one")


CLASSES = np.array([0, 1, 2, 0, 1, 2])
NONE = IGNORED


@pytest.mark.parametrize(
    ("labels", "predictions", "judged", "truth"),
    [
        ([NONE, NONE, 2, NONE, NONE, 0], CLASSES, [2, 2], [2, 0]),
        ([0, 1, 2, 2, 1, 0], CLASSES, [[0, 1, 2], [0, 1, 2]], [[0, 1, 2], [2, 1, 0]]),
        ([0, 1, 2, 2, 1, 0], CLASSES / 2, (CLASSES / 2).tolist(), [0, 1, 2, 2, 1, 0]),
        (None, CLASSES, CLASSES.tolist(), None),
    ],
)
def test_a_sequence_counts_as_one_example(
    labels: list[int] | None, predictions: NDArray[Any], judged: list[Any], truth: list[Any] | None
) -> None:
    found = judged_by_sequence(_samples(labels, predictions), Carry(state=STATE, steps=3))
    assert found.predictions["a@b"].tolist() == judged
    assert (None if found.labels is None else found.labels.tolist()) == truth
    same = _samples(labels, predictions)
    assert judged_by_sequence(same, None) is same


def test_drawn_inputs_are_single_calls_with_a_drawn_state(tmp_path: Path) -> None:
    found = met(planned(tmp_path, STATE, data=Noise(examples={"test": 4})), tmp_path)
    assert carry_in(found) is None
    assert found.split("test").arrays["state"].any()


def test_without_a_state_the_data_must_have_the_input(tmp_path: Path) -> None:
    """A model whose state is an input like any other works as before."""
    frames = sequences().reshape(-1, WIDTH)
    both = {"frame": frames, "state": frames}
    assert carry_in(met(planned(tmp_path, {}, data=_Both(both)), tmp_path)) is None


@dataclass(frozen=True)
class _Both:
    inputs: dict[str, NDArray[Any]]
    name: str = "both"
    calibration_size: int = 0
    class_names: tuple[str, ...] = ()

    def split(self, name: SplitName) -> Split:
        return Split(self.inputs)
