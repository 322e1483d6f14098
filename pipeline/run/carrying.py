"""Carries a model's state over the sequences of its data, as ``model.state`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.data.batches import Arrays, Feed, WithAxes, axes_of, count_of
from pipeline.data.dataset import Dataset, Split, labelled, prepared
from pipeline.data.rows import chosen
from pipeline.data.steps import Carried, Carry, StateInput, Steps, carry_in, sequences_in
from pipeline.errors import UserError
from pipeline.errors.names import unknown
from pipeline.isolated import run
from pipeline.measure.look import Look
from pipeline.measure.sequences import carried_states
from pipeline.metrics import in_classes
from pipeline.plan import InputSignature, Plan, Target, state_of
from pipeline.results.record import AccuracySamples
from pipeline.run.building import limits_for


def in_steps(plan: Plan, data: Dataset, axes: Mapping[str, int | None]) -> Dataset:
    """The data with an example for each call, where the model has a state; raises UserError where ``model.state`` does
    not fit the model's inputs."""
    state, signature = state_of(plan.model), plan.model.signature()
    if not state:
        return data
    for name in state.values():
        if name not in signature:
            raise UserError(unknown(f"model.state: input '{name}'", name, signature, "the model's inputs"))
    if len(set(state.values())) < len(state):
        raise UserError("model.state names an input twice: each output goes into an input of its own")
    each = {name: _each(entry, axes.get(name, 0)) for name, entry in signature.items()}
    ranks = {name: len(sizes) for name, sizes in each.items() if sizes is not None and name not in state.values()}
    states = {name: _state_input(name, each[name], signature[name].dtype) for name in state.values()}
    return Steps(data=data, axes=ranks, states=states)


def with_carried_state(plan: Plan, source: Artifact, target: Target, seen: Look) -> Plan:
    """The plan whose data has, in each call, the state that the model ``source`` carries there. ``target`` runs it, and
    ``seen`` are its outputs. Raises UserError where ``model.state`` names another output, or one of another shape."""
    steps = sequences_in(plan.data)
    if steps is None or carry_in(plan.data) is not None:
        return plan
    state = state_of(plan.model)
    for output, name in state.items():
        _check_output(output, name, steps.states[name].shape, seen)
    carry = Carry(state=state, steps=len(plan.data.split("test")) // len(steps.data.split("test")))

    def states(split: Split) -> Feed:
        inputs = prepared(split.inputs, plan.model.preprocessing)
        return run(carried_states, source, target, inputs, carry, limits=limits_for(plan))

    return replace(plan, data=Carried(data=plan.data, carry=carry, run=states))


def _check_output(output: str, name: str, shape: tuple[int, ...], seen: Look) -> None:
    if output not in seen.names:
        raise UserError(unknown(f"model.state: output '{output}'", output, seen.names, "the model's outputs"))
    found = np.shape(seen.by_name()[output])[1:]
    if found != shape:
        raise UserError(
            f"model.state: output '{output}' is {list(found)} for one example, and input '{name}' is {list(shape)}: a "
            "state keeps its shape"
        )


def latest_first(inputs: Arrays, carry: Carry | None) -> Arrays:
    """The calls for timing: the last step of each sequence first, whose state was carried longest."""
    if carry is None:
        return inputs
    order = np.arange(count_of(inputs)).reshape(-1, carry.steps)[:, ::-1].T.ravel()
    return WithAxes({name: chosen(array, order) for name, array in inputs.items()}, axes_of(inputs))


def judged_by_sequence(samples: AccuracySamples, carry: Carry | None) -> AccuracySamples:
    """Samples in which a sequence counts as one example, because its calls are alike.

    Where only last calls have a label, only these are judged. Else classes are the parts of a sequence [N, steps, ...].
    Without labels, and for numbers, each call stays an example.
    """
    labels = samples.labels
    if carry is None or labels is None or not len(labels):
        return samples
    grouped = _grouped(labels, carry)
    if not labelled(grouped[:, :-1]).any():
        predictions = {name: _grouped(array, carry)[:, -1] for name, array in samples.predictions.items()}
        return replace(samples, labels=grouped[:, -1], predictions=predictions)
    if not all(map(in_classes, samples.predictions.values())):
        return samples
    predictions = {name: _grouped(array, carry) for name, array in samples.predictions.items()}
    return replace(samples, labels=grouped, predictions=predictions)


def _grouped(array: NDArray[Any], carry: Carry) -> NDArray[Any]:
    return array.reshape(-1, carry.steps, *array.shape[1:])


def _each(entry: InputSignature, axis: int | None) -> tuple[int | None, ...] | None:
    return None if entry.shape is None else tuple(size for place, size in enumerate(entry.shape) if place != axis)


def _state_input(name: str, sizes: tuple[int | None, ...] | None, dtype: str) -> StateInput:
    if sizes is None or None in sizes:
        raise UserError(f"model.state: the model does not tell the sizes of its input '{name}', and a state needs them")
    return StateInput(shape=tuple(size for size in sizes if size is not None), dtype=dtype)
