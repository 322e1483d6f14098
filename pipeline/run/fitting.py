"""Fits the data and the metric to the model, and reads what the model's own outputs on a few examples tell before any
work."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.torch import Torch
from pipeline.data.adapted import adapted
from pipeline.data.batches import Axes, Inputs
from pipeline.data.dataset import Dataset, Labels, Split, SplitName, preprocess
from pipeline.data.fitted import Around, Fit, Fitted, Wanted, original
from pipeline.data.labels import check_names, label_problem, one_hot_classes
from pipeline.data.noise import Noise
from pipeline.data.widened import widened
from pipeline.errors import SlimlineError, UserError
from pipeline.isolated import run
from pipeline.isolated.run import Starter, fresh
from pipeline.measure.look import MOST, Look, look
from pipeline.measure.outputs import OutputAxes, not_numbers
from pipeline.metrics import in_classes, judging_of, place_read, told_classes
from pipeline.plan import Metric, Plan, Target
from pipeline.results import numbers as show
from pipeline.run.building import limits_for
from pipeline.run.carrying import in_steps, with_carried_state
from pipeline.run.preflight import needed_splits

logger = logging.getLogger(__name__)

_FEWEST_FOR_SHIFT, _LIKELY = 16, 0.5
RANDOM = 1e-3
"""Outputs that differ by more than this share of their largest value from one run to the next are random."""


def with_fitted_data(plan: Plan) -> Plan:
    """The plan with its data fitted to the model's inputs, and the train share tested on where nothing trains.

    Raises UserError where the model can't be read, and where examples can't be drawn for it (``Noise``).
    """
    signature = plan.model.signature()
    wanted = {
        name: Wanted(
            shape=entry.shape,
            dtype=entry.dtype,
            preprocessed=name in plan.model.preprocessing,
            below=entry.below,
            longest=entry.longest,
        )
        for name, entry in signature.items()
    }
    told = {name: entry.batch_axis for name, entry in signature.items()}
    axes = {**told, **dict(getattr(plan.data, "batch_axes", {}))}
    plan = replace(plan, data=adapted(plan.data, wanted, getattr(plan.model, "beside", None)))
    trains = plan.model.format == "torch" or "train" in needed_splits(plan)
    data = plan.data if trains else widened(plan.data)
    data = data.drawn_for(wanted, axes) if isinstance(data, Noise) else in_steps(plan, data, axes)
    return replace(plan, data=Fitted(data=data, fit=Fit(wanted=wanted, axes=axes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquainted:
    """A plan whose metric and labels fit the model, and the report's sentences about that."""

    plan: Plan
    look: Look | None
    """The model's outputs on a few examples; None where the model could not be run here in this way."""
    notes: Sequence[str] = ()

    @property
    def output_axes(self) -> OutputAxes | None:
        """The axis of each output that counts the examples."""
        return None if self.look is None else self.look.axes

    @property
    def axes_by_name(self) -> Axes | None:
        """The same axes, by the output's name."""
        return None if self.look is None else dict(zip(self.look.names, self.look.axes, strict=True))


def acquainted(plan: Plan, source: Artifact, splits: Mapping[SplitName, Split], start: Starter = fresh) -> Acquainted:
    """Run the model that all variants start from on a few test examples, in a process that ``start`` makes, and compare
    it with metric and labels.

    Raises UserError where its outputs are no numbers or differ from run to run, where the metric doesn't fit them, and
    where labels or class names don't fit its classes.
    """
    check_labelled(plan, splits["test"])
    seen = _look(plan, source, splits["test"], start)
    if seen is None:
        return Acquainted(plan=plan, look=None)
    plan = with_carried_state(plan, source, _target(source), seen)
    if seen.repeat > RANDOM:
        raise UserError(
            f"the model's outputs are random: run twice on the same examples, they differ by "
            f"{show.of_largest(seen.repeat)} of their largest value, so nothing can be compared with "
            "them: switch off what draws at random (dropout in evaluation, noise, sampling) or give it a fixed seed"
        )
    return fitted_to(plan, seen, splits)


def check_labelled(plan: Plan, test: Split) -> None:
    """Raise UserError where the metric needs labels and the test split has none."""
    if test.labels is None and getattr(getattr(plan.metric, "judging", None), "needs_labels", False):
        raise UserError(
            f"metric '{plan.metric.name}' needs labels, and {plan.data.name} has none: give the data labels, or take "
            "metric=top_one or metric=cosine, which hold a variant against the baseline"
        )


def fitted_to(plan: Plan, seen: Look, splits: Mapping[SplitName, Split]) -> Acquainted:
    """Fit the metric and the labels to what a model gave for the first test examples; raises UserError as
    ``acquainted`` does."""
    metric, note = _fitted(plan.metric, seen)
    plan = replace(plan, metric=metric)
    notes = [] if note is None else [note]
    _check_numbers(metric, seen)
    predictions = _told(metric, seen)
    if predictions is not None and in_classes(predictions) and predictions.ndim > 1 and splits["test"].labels is None:
        output = seen.names[place_read(metric, len(seen.outputs))]
        raise UserError(
            f"metric '{metric.name}' takes output '{output}' for the scores of several classes an example "
            f"{list(predictions.shape[1:])}, and there are no labels for them: take metric=cosine, or name the output "
            "with the class scores with metric.output"
        )
    if predictions is None:
        return Acquainted(plan=plan, look=seen, notes=notes)
    if not in_classes(predictions):
        _check_judging(metric, seen, splits["test"].labels)
        return Acquainted(plan=plan, look=seen, notes=notes)
    classes = _classes(metric, seen)
    problems = _name_problems(plan.data, classes)
    data, more = _with_labels(plan.data, splits, predictions, classes)
    offset = int(getattr(original(plan.data), "label_offset", 0))
    for name in splits:
        labels = data.split(name).labels
        if labels is not None:
            problems += _label_problems(labels, predictions, classes, f"{plan.data.name}, {name} split", offset)
    if problems:
        raise UserError(*dict.fromkeys(problems))
    labels = data.split("test").labels
    _check_judging(metric, seen, labels)
    if labels is not None and (shift := _likely_shift(predictions, labels[: len(predictions)])) is not None:
        notes.append(shift)
    if labels is not None and judging_of(metric, predictions).labels(predictions, labels) is None:
        notes.append(
            f"metric '{metric.name}' tells {list(predictions.shape[1:])} classes an example and the labels are others, "
            "so it is held against the baseline's"
        )
    return Acquainted(plan=replace(plan, data=data), look=seen, notes=[*notes, *more])


def _look(plan: Plan, source: Artifact, test: Split, start: Starter) -> Look | None:
    inputs = preprocess(test.take(0, MOST).inputs, plan.model.preprocessing)
    copied = Inputs({name: np.ascontiguousarray(array) for name, array in inputs.items()}, inputs.axes)
    try:
        return run(look, source, _target(source), copied, limits=limits_for(plan), start=start)
    except SlimlineError as error:
        logger.info("the model could not be looked at before the run: %s", error)
        return None


def _target(source: Artifact) -> Target:
    return Target(name="look", backend=OnnxRuntime() if source.format == "onnx" else Torch())


def _fitted(metric: Metric, seen: Look) -> tuple[Metric, str | None]:
    fit = getattr(metric, "fitted", None)
    if fit is None:
        return metric, None
    found: tuple[Metric, str | None] = fit(seen.by_name())
    return found


def _check_numbers(metric: Metric, seen: Look) -> None:
    place = place_read(metric, len(seen.outputs))
    if not seen.outputs or seen.axes[place] is None:
        return
    output = np.asarray(seen.outputs[place])
    bad = not_numbers(output)
    if bad == len(output):
        raise UserError(
            f"the model's output '{seen.names[place]}' is not a number (NaN or infinite) in each of the first {bad} "
            "test examples, so nothing can be compared with it: look at the weights, and at model.preprocessing"
        )


def _told(metric: Metric, seen: Look) -> NDArray[Any] | None:
    """What the model tells; None where the judged output has no row for each example, and so has no accuracy."""
    if not seen.outputs or seen.axes[place_read(metric, len(seen.outputs))] is None:
        return None
    return told_classes(metric, seen.outputs)


def _check_judging(metric: Metric, seen: Look, labels: Labels | None) -> None:
    """Judge the few examples once, which raises UserError where the labels don't fit what is predicted."""
    if labels is None or getattr(metric, "judging", None) is None:
        return
    predictions = metric.predictions(seen.outputs)
    judging = judging_of(metric, predictions)
    truth = judging.labels(predictions, labels)
    if truth is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few examples there may be none to judge
        judging.value(predictions, truth)


def _classes(metric: Metric, seen: Look) -> int | None:
    count = getattr(metric, "classes", None)
    found: int | None = None if count is None else count(seen.outputs)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relabelled(Around):
    """A data set whose labels [N, C], one 1 in each row, are the classes [N] that these 1s stand for."""

    classes: int
    _splits: dict[SplitName, Split] = field(default_factory=dict)

    def split(self, name: SplitName) -> Split:
        """One split; raises what the data set raises."""
        if name not in self._splits:
            split = self.data.split(name)
            found = None if split.labels is None else one_hot_classes(split.labels, self.classes)
            self._splits[name] = split if found is None else replace(split, labels=found)
        return self._splits[name]


def _with_labels(
    data: Dataset, splits: Mapping[SplitName, Split], predictions: NDArray[Any], classes: int | None
) -> tuple[Dataset, Sequence[str]]:
    """The data with one class an example where its labels are one-hot and the model tells one class an example."""
    labels = splits["test"].labels
    if labels is None or classes is None or predictions.ndim != 1 or one_hot_classes(labels, classes) is None:
        return data, []
    return _Relabelled(data=data, classes=classes), ["the labels are one-hot: the place of each 1 is the class"]


def _label_problems(
    labels: Labels, predictions: NDArray[Any], classes: int | None, where: str, offset: int
) -> list[str]:
    if labels.dtype.kind not in "iu":
        kind, metrics = _meant_for(labels)
        return [
            f"the labels of {where} are {kind}, and the metric judges classes: give class numbers, or take a metric "
            f"for {metrics}"
        ]
    if labels.shape[1:] != predictions.shape[1:] and classes is not None:
        told, given = (["N", *shape[1:]] for shape in (predictions.shape, labels.shape))
        return [
            f"the model tells classes [{', '.join(map(str, told))}], and the labels of {where} are "
            f"[{', '.join(map(str, given))}]: give a label for each class that is told"
        ]
    if labels.shape[1:] != predictions.shape[1:]:
        return []  # a metric of the user's own, held against the baseline
    problem = label_problem(labels, classes, where, offset)
    return [] if problem is None else [problem]


def _meant_for(labels: Labels) -> tuple[str, str]:
    """What labels are that are no class numbers, and which metrics take them."""
    if labels.dtype.kind == "U":
        return "texts", "texts, such as metric=word_error_rate"
    if labels.ndim == 3:
        return "boxes or other numbers", "boxes, metric=mean_average_precision"
    return "numbers with fractions", "numbers, such as metric=mean_absolute_error"


def _likely_shift(predictions: NDArray[Any], labels: Labels) -> str | None:
    """A hint where labels fit the model far better if they are counted from one more or less."""
    if predictions.shape != labels.shape or len(labels) < _FEWEST_FOR_SHIFT:
        return None
    right = {offset: float(np.mean(predictions == labels - offset)) for offset in (-1, 0, 1)}
    best = max(right, key=lambda offset: right[offset])
    if best == 0 or right[best] < _LIKELY or right[0] > right[best] / 4:
        return None
    return (
        f"the model is right about {show.share(right[0])} of {len(labels)} examples, and about "
        f"{show.share(right[best])} if {-best:+d} is added to their labels: data.label_offset={best} may be meant"
    )


def _name_problems(data: Dataset, classes: int | None) -> list[str]:
    if classes is None:
        return []
    problem = check_names(data.class_names, classes, folders=hasattr(original(data), "labelled"))
    return [] if problem is None else [problem]
