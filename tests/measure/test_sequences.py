"""A model's state is carried from call to call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.batches import Inputs
from pipeline.data.steps import Carry
from pipeline.measure.accuracy import predict
from pipeline.measure.sequences import carried_states
from pipeline.metrics import Cosine
from pipeline.plan import Target
from tests.recurrent import STATE, STEPS, WIDTH, expected, leaky_sum, sequences

CARRY = Carry(state=STATE, steps=STEPS)
TARGET = Target(name="ort_cpu", backend=OnnxRuntime())


def given(axis: int = 0) -> Inputs:
    frames = sequences().reshape(-1, WIDTH)
    state = np.zeros((len(frames), WIDTH) if axis == 0 else (len(frames), 1, WIDTH), np.float32)
    return Inputs({"frame": frames, "state": state}, {"state": axis} if axis else {})


@pytest.mark.parametrize(("batch", "axis"), [("batch", 0), ("batch", 1), (1, 0), (3, 0), (3, 1)])
def test_states_are_those_that_the_calls_before_gave(batch: int | str, axis: int, tmp_path: Path) -> None:
    artifact = leaky_sum(tmp_path, batch=batch, axis=axis)
    found = carried_states(artifact, TARGET, given(axis), CARRY)["state"]
    np.testing.assert_allclose(found.reshape(-1, WIDTH), expected(sequences())[1], rtol=1e-6)


@pytest.mark.parametrize(("batch", "size"), [("batch", 3), (3, 1)])
def test_predictions_carry_the_models_own_state(batch: int | str, size: int, tmp_path: Path) -> None:
    artifact = leaky_sum(tmp_path / "model", batch=batch)
    found = predict(artifact, TARGET, Cosine(), given(), size, carry=CARRY, keep=tmp_path / "kept")
    assert found.predictions is not None
    np.testing.assert_allclose(found.predictions, expected(sequences())[0], rtol=1e-6)
    np.testing.assert_allclose(np.load(tmp_path / "kept" / "0.npy"), expected(sequences())[0], rtol=1e-6)
    assert found.repeat == 0
