"""A first look at a model's outputs."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifact import Artifact
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Feed
from pipeline.measure.look import LIMIT_S, look
from pipeline.plan import Session, Target
from tests.measure.fakes import FakeBackend


@dataclass(frozen=True)
class Doubling(FakeBackend):
    """A backend whose model doubles its input."""

    def load(self, artifact: Artifact, target: Target) -> Session:
        def session(feed: Feed) -> list[Any]:
            return [2 * feed["x"]]

        return session


@pytest.mark.parametrize(("call_s", "examples"), [(0.001, 50), (LIMIT_S / 2, 4), (2 * LIMIT_S, 2)])
def test_a_slow_model_is_looked_at_on_fewer_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_s: float, examples: int
) -> None:
    monkeypatch.setattr("pipeline.measure.look.fixed_batch_of", lambda artifact, axes: None)
    monkeypatch.setattr("pipeline.measure.look.names_of", lambda artifact, count: ["y"])
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: call_s * next(clock))
    inputs = Inputs({"x": np.random.default_rng(0).normal(size=(50, 3))}, {})
    seen = look(Artifact(tmp_path, "onnx", ""), Target(name="here", backend=Doubling()), inputs)
    assert seen.axes == [0]
    np.testing.assert_array_equal(seen.outputs[0], 2 * inputs["x"][:examples])
