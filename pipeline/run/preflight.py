"""Checks whether model, data and targets fit together, before any work: the splits are read, and nothing is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import axes_of
from pipeline.data.dataset import Split, SplitName, preprocess
from pipeline.data.steps import sequences_in
from pipeline.errors import NoExamples, Skipped, UserError, keeping
from pipeline.errors.names import unknown
from pipeline.measure.accuracy import assert_disjoint
from pipeline.plan import InputSignature, Plan, may_be_state
from pipeline.plan.chains import misfit
from pipeline.run.drift import DECIDING
from pipeline.run.placing import misplaced


def preflight(plan: Plan) -> dict[SplitName, Split]:
    """Read the splits that the plan needs and return them, at least the test split.

    Raises UserError, with all problems together, where the test split is missing, one is empty, an input's name, shape
    or type does not fit the model, two splits share an example, a target's session has keys that its runtime doesn't
    know, or something that was asked for needs a package that isn't installed.
    """
    problems: list[str] = []
    signature: Mapping[str, InputSignature] = {}
    splits: dict[SplitName, Split] = {}
    with keeping(problems):
        check_surroundings(plan)
    with keeping(problems):
        signature = plan.model.signature()
    with keeping(problems):
        splits = available_splits(plan)
    problems += [
        f"the {name} split is empty: give at least one example" for name, split in splits.items() if not len(split)
    ]
    if signature:
        others = sorted(set(plan.model.preprocessing) - set(signature))
        problems += [unknown(f"model.preprocessing.{name}", name, signature, "the model's inputs") for name in others]
    if signature and splits and len(splits["test"]):
        problems += _problems(plan, splits["test"], signature)
    if problems:
        raise UserError(*problems)
    sequences = sequences_in(plan.data)
    assert_disjoint(splits if sequences is None else {name: sequences.data.split(name) for name in splits})
    return splits


def check_surroundings(plan: Plan) -> None:
    """Raise UserError, with all problems together, where a target's session has keys that its runtime doesn't know,
    something that was asked for needs a package that isn't installed, nobody answers where the run is tracked, or
    models can't be built in the way that was asked for."""
    problems: list[str] = []
    for target in plan.targets.values():
        with keeping(problems), suppress(Skipped):  # what is missing here becomes a row with its reason
            target.backend.check(target)
    with keeping(problems):
        _check_installed(plan)
    problems += misplaced(plan)
    for needed in (plan.tracking, plan.execution):
        if needed is not None:
            with keeping(problems):
                needed.check()
    if problems:
        raise UserError(*problems)


def _check_installed(plan: Plan) -> None:
    if plan.measure.scenarios and find_spec("mlperf_loadgen") is None:
        raise UserError(
            "measure.scenarios needs MLPerf's LoadGen, which is not installed: install the extra 'mlperf' "
            "(pip install mlcommons-loadgen), or type measure.scenarios=[]"
        )


def available_splits(plan: Plan) -> dict[SplitName, Split]:
    """The splits that the plan reads, as far as the data has them: a stage that needs another split is skipped with the
    reason.

    Raises UserError without a test split.
    """
    splits = {}
    for name in needed_splits(plan):
        try:
            splits[name] = plan.data.split(name)
        except NoExamples as error:
            if name == "test":
                raise UserError(str(error)) from error
    return splits


def needed_splits(plan: Plan) -> list[SplitName]:
    """The test split, the splits that the stages read which apply to this model, and those that a search decides
    on."""
    fitting = [variant for variant in plan.variants.values() if misfit(variant, plan.model.format) is None]
    read = {split for variant in fitting for stage in variant.stages.values() for split in stage.reads}
    read |= set() if plan.search is None else set(DECIDING)
    order: tuple[SplitName, ...] = ("train", "validation", "calibration", "test")
    return [name for name in order if name == "test" or name in read]


def _problems(plan: Plan, test: Split, signature: Mapping[str, InputSignature]) -> list[str]:
    missing = [name for name in signature if name not in test.inputs]
    extra = [name for name in test.inputs if name not in signature]
    if missing or extra:
        return [
            f"the model's inputs are {', '.join(signature)}, but the data has {', '.join(test.inputs)}: "
            f"name the arrays of the data as the model names its inputs{_about_a_state(missing)}"
        ]
    sample = preprocess(test.take(0, 1).inputs, plan.model.preprocessing)
    axes = axes_of(sample)
    return [
        problem
        for name, wanted in signature.items()
        if (problem := _mismatch(name, sample[name], wanted, axes.get(name, 0), name in plan.model.preprocessing))
    ]


def _about_a_state(missing: Sequence[str]) -> str:
    """What to type where one of the inputs looks like a state, which data does not have."""
    state = next((name for name in missing if may_be_state(name)), None)
    if state is None:
        return ""
    return f"; if the call before gives '{state}', type 'model.state={{OUTPUT: {state}}}' (inspect tells the outputs)"


def _mismatch(
    name: str, array: NDArray[Any], wanted: InputSignature, axis: int | None, preprocessed: bool
) -> str | None:
    found = ["N", *array.shape[1:]]
    sizes = found[1:] if wanted.shape is None else [size for place, size in enumerate(wanted.shape) if place != axis]
    shape = ["N", *("any" if size is None else size for size in sizes)]
    fits = len(shape) == len(found) and all(want in ("any", have) for want, have in zip(shape, found, strict=True))
    if not fits:
        return (
            f"input '{name}': the model reads {_brackets(shape)}, the data has {_brackets(found)}: "
            "reshape the array in the data file"
        )
    if wanted.longest is not None and array.shape[1] > wanted.longest:
        return (
            f"input '{name}': the model takes {wanted.longest} tokens at most, the data has {array.shape[1]}: type "
            f"data.length={wanted.longest}"
        )
    if array.dtype == np.dtype(wanted.dtype) or array.dtype.kind == np.dtype(wanted.dtype).kind == "U":
        return None
    advice = f"store it as {wanted.dtype}"
    if not preprocessed and np.issubdtype(array.dtype, np.integer) and wanted.dtype.startswith("float"):
        advice += f", or say how the model wants it: model.preprocessing.{name}.scale=0.00392156862745098 for pixels"
    return f"input '{name}': the model reads {wanted.dtype}, the data has {array.dtype}: {advice}"


def _brackets(shape: list[Any]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
