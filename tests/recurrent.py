"""A model with a state, and what it gives over sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pipeline.artifact import ONNX_FILE, Artifact
from tests.importing.graphs import model, numbers, value

WIDTH, STEPS = 3, 5
STATE = {"stateN": "state"}


def leaky_sum(folder: Path, *, batch: int | str = "batch", axis: int = 0) -> Artifact:
    """stateN = state / 2 + frame, y = stateN · 2, sum = the sum of y. The state is [batch, 3], or [1, batch, 3] for
    ``axis`` 1."""
    sizes = [batch, WIDTH] if axis == 0 else [1, batch, WIDTH]
    narrow, widen = ("Identity", "Identity") if axis == 0 else ("Squeeze", "Unsqueeze")
    at = [] if axis == 0 else ["zero"]
    nodes = [
        helper.make_node("Mul", ["state", "half"], ["halved"]),
        helper.make_node(narrow, ["halved", *at], ["s"]),
        helper.make_node("Add", ["s", "frame"], ["next"]),
        helper.make_node("Add", ["next", "next"], ["y"]),
        helper.make_node(widen, ["next", *at], ["stateN"]),
        helper.make_node("ReduceSum", ["y", "one"], ["sum"], keepdims=0),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        onnx.numpy_helper.from_array(np.array([0]), "zero"),
        onnx.numpy_helper.from_array(np.array([1]), "one"),
    ]
    inputs = [value("frame", [batch, WIDTH]), value("state", sizes)]
    outputs = [value("y", [batch, WIDTH]), value("stateN", sizes), value("sum", [batch])]
    made = model(nodes, inputs, outputs, weights)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(made, folder / ONNX_FILE)
    return Artifact(folder, "onnx", "")


def sequences(count: int = 4) -> NDArray[np.float32]:
    """Frames [count, STEPS, WIDTH]."""
    return numbers(count, STEPS, WIDTH)


def expected(frames: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What ``leaky_sum`` gives for each call [N · STEPS, WIDTH], and the state that the call was fed."""
    state, told, fed = np.zeros((len(frames), WIDTH), np.float32), [], []
    for step in range(frames.shape[1]):
        fed.append(state)
        state = state / 2 + frames[:, step]
        told.append(state * 2)
    return tuple(np.stack(parts, 1).reshape(-1, WIDTH) for parts in (told, fed))  # type: ignore[return-value]
