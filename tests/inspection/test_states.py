"""Outputs that look like the next state of an input."""

from __future__ import annotations

import pytest

from pipeline.inspection.inspection import ModelInput, ModelOutput, Sizes
from pipeline.inspection.states import advice, next_states


def _input(name: str, shape: Sizes | None) -> ModelInput:
    return ModelInput(name=name, dtype="float32", shape=shape, batch_axis=0, below=None)


def _output(name: str, shape: Sizes | None, dtype: str = "float32") -> ModelOutput:
    return ModelOutput(name=name, dtype=dtype, shape=shape, likely="unknown", why="")


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("stateN", "state"),
        ("hn", "h0"),
        ("present.1.key", "past.1.key"),
        ("hidden_out", "hidden_in"),
        ("cn", "c_0"),
        ("output_1", "state"),
    ],
)
def test_a_next_state_is_known_by_its_name_and_sizes(output: str, name: str) -> None:
    inputs = [_input("x", ["n", 8]), _input(name, ["n", 4])]
    assert next_states(inputs, [_output("y", ["n", 8]), _output(output, [None, 4])]) == {output: name}


@pytest.mark.parametrize(
    "output",
    [
        _output("score", ["n", 4]),
        _output("stateN", ["n", 5]),
        _output("stateN", ["n", 4, 1]),
        _output("stateN", ["n", 4], "int64"),
        _output("stateN", None),
        _output("output_1", ["n", 5]),
    ],
)
def test_what_differs_is_no_next_state(output: ModelOutput) -> None:
    assert not next_states([_input("state", ["n", 4])], [output])


def test_the_advice_can_be_typed() -> None:
    assert advice({"hn": "h0", "cn": "c0"}).endswith("type 'model.state={hn: h0, cn: c0}'")
