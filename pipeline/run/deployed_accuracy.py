"""``verify --accuracy``: a bundle's model judged on the user's data, here, beside the figure in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pipeline.bundle import Check, Options
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.steps import Step, limits_of
from pipeline.bundle.target import target_of
from pipeline.data.dataset import Split, prepared
from pipeline.errors import Skipped, UserError
from pipeline.measure.accuracy import predict
from pipeline.measure.exclusive import measuring
from pipeline.metrics import judging_of
from pipeline.plan import Metric, Plan
from pipeline.results import numbers as show
from pipeline.results.intervals import Unit, gain_sign
from pipeline.run.deployed import DeployedModel, artifact, golden_inputs, golden_look
from pipeline.run.fitting import check_labelled, fitted_to, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.progress import ProgressDisplay
from pipeline.statistics.accuracy import Proportion
from pipeline.statistics.reproduced import Figure, difference

NAME = "accuracy"
_WITHIN = "the same, as far as these examples tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a model is judged on."""

    plan: Plan
    """The plan whose data and metric fit the model."""
    split: Split
    same: bool
    """Whether they are the ones of the manifest's figure: as many, and the golden ones first."""
    where: str


def accuracy_step(plan: Plan, console: Console) -> Step:
    """The step that judges a bundle's model on a plan's data with its metric. The plan's model and targets are the
    bundle's, whatever they were."""
    return Step(names=(NAME,), run=partial(_accuracy, plan, console))


def nothing_judged() -> Step:
    """The step of a model whose manifest can't be read, or of a package that has none for this machine."""
    return Step(names=(NAME,), run=lambda *_: [])


def _accuracy(plan: Plan, console: Console, folder: Path, manifest: Mapping[str, Any], options: Options) -> list[Check]:
    """Raises UserError where the data or the metric does not fit the model."""
    try:
        target = target_of(manifest)
    except Skipped as error:
        return [Check(NAME, False, str(error))]
    examples = examples_for(replace(plan, targets={target.name: target}), folder, manifest)
    plan, test = examples.plan, examples.split
    with ProgressDisplay(console) as display, measuring(plan.measure.exclusive):
        predicted = predict(
            artifact(folder, manifest),
            target,
            plan.metric,
            prepared(test.inputs, plan.model.preprocessing),
            manifest["batch_size"],
            lambda share: display.step(NAME, min(share, 0.999), f"{len(test)} examples"),
            output_axes=[entry.get("batch_axis", 0) for entry in manifest["outputs"]],
            limits=limits_of(manifest, options),
        )
    if predicted.predictions is None:
        return [Check(NAME, False, predicted.reason or "nothing was predicted")]
    judging = judging_of(plan.metric, predicted.predictions)
    truth = judging.labels(predicted.predictions, test.labels)
    found = None if truth is None else judging.estimate(predicted.predictions, truth)
    if found is None:
        raise UserError(
            f"--accuracy needs labels, and {plan.data.name} has none that metric '{plan.metric.name}' takes"
        )
    return [verdict(found, judging.unit, plan.metric, manifest["measured"]["accuracy"], examples)]


def examples_for(plan: Plan, folder: Path, manifest: Mapping[str, Any]) -> Examples:
    """The examples that a model is judged on: the data's test split, with the train share behind it only where these
    are as many as the manifest's, so that no example that may have trained the model counts unawares.

    Raises UserError where the data or the metric does not fit the model.
    """
    told = manifest["measured"]["accuracy"]
    wanted = None if told is None else told["n"]
    plans = [
        with_fitted_data(replace(plan, model=DeployedModel(folder=folder, manifest=manifest, train_too=train_too)))
        for train_too in (False, True)
    ]
    tests = [preflight(plans[0])["test"]]
    if len(tests[0]) != wanted:
        tests.append(plans[1].data.split("test"))
    place = 1 if len(tests) > 1 and len(tests[1]) == wanted else 0
    chosen, test = plans[place], tests[place]
    check_labelled(chosen, test)
    fitted = fitted_to(chosen, golden_look(folder, manifest, len(test)), {"test": test}).plan
    return Examples(
        plan=fitted,
        split=fitted.data.split("test"),
        same=len(test) == wanted and _begins_with(test, golden_inputs(folder, manifest)),
        where=f"{plan.data.name}, {'test and train splits' if place else 'test split'}",
    )


def verdict(found: Proportion, unit: Unit, metric: Metric, told: Mapping[str, Any] | None, examples: Examples) -> Check:
    """The figure here beside the manifest's: the same, better, or worse than both intervals allow."""
    here = f"{metric.name} {_shown(found.value, found.low, found.high, unit)} on {show.count(found.n)} examples"
    here = f"{here} ({printable(examples.where)})"
    if told is None:
        return Check(NAME, True, f"{here}; the manifest has no figure to hold it against", done=False)
    if told["metric"] != metric.name or told["against"] != "labels":
        other = "agreement with the baseline" if told["against"] != "labels" else told["metric"]
        return Check(NAME, True, f"{here}; the manifest's figure is another one: {printable(other)}", done=False)
    there = f"the manifest says {_shown(told['value'], told['low'], told['high'], unit)}"
    if examples.same and found.value == told["value"]:
        return Check(NAME, True, f"{here}; {there}: the same figure on the same examples")
    gap = difference(found, Figure(value=told["value"], low=told["low"], high=told["high"]))
    sign = gain_sign(unit)
    low, high = sorted((sign * gap.low, sign * gap.high))
    words = "worse than the manifest says" if high < 0 else "better than the manifest says" if low > 0 else _WITHIN
    change = f"{show.change(sign * gap.value, unit)} {show.change_interval(low, high, unit)}"
    which = "" if examples.same else ", other examples"
    return Check(NAME, high >= 0, f"{here}; {there}: {words} (difference {change}{which})")


def _shown(value: float, low: float, high: float, unit: Unit) -> str:
    return f"{show.figure(value, unit)} {show.figure_interval(low, high, unit)}"


def _begins_with(test: Split, golden: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    first = test.take(0, len(next(iter(golden.values())))).arrays
    return all(name in first and np.array_equal(first[name], array) for name, array in golden.items())
