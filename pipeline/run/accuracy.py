"""Has every model predict: several models side by side, because nothing is timed here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from pipeline.artifact import Artifact
from pipeline.data.batches import Arrays, count_of
from pipeline.data.dataset import Labels
from pipeline.data.steps import carry_in
from pipeline.errors import OutOfSpace, UserError, reasoned
from pipeline.isolated.template import Template
from pipeline.machine.card import card_of
from pipeline.measure.accuracy import Predicted, predict
from pipeline.measure.group import Subject
from pipeline.measure.likeness import likenesses, remarks_on
from pipeline.measure.outputs import OutputAxes
from pipeline.metrics import TopOne, class_path, fields_of
from pipeline.plan import Metric, Plan
from pipeline.results.record import AccuracySamples
from pipeline.run.building import limits_for
from pipeline.run.carrying import judged_by_sequence
from pipeline.run.progress import ProgressDisplay
from pipeline.run.side_by_side import at_once, workers
from pipeline.run.table import Table

LABEL = "accuracy"


def evaluate_all(
    plan: Plan,
    table: Table,
    inputs: Arrays,
    display: ProgressDisplay,
    output_axes: OutputAxes | None,
    folder: Path,
    labels: Labels | None,
) -> AccuracySamples:
    """The predictions of each ``variant@target``, at the largest batch size that was timed, and how alike their outputs
    are.

    Nothing is timed here, so several models run side by side, in processes forked from some that have imported the
    runtimes.
    """
    models = {f"{variant}@{target}": found for (variant, target), found in table.models().items()}
    shares = dict.fromkeys(models, 0.0)
    kept = {name: folder / str(number) for number, name in enumerate(models)}
    limits, stop = limits_for(plan), Event()
    size = at_once((subjects[0].target for _, subjects in models.values()), partial(_held, table, models))
    idle: SimpleQueue[Template] = SimpleQueue()

    def evaluate(name: str) -> Predicted:
        artifact, subjects = models[name]

        def progress(share: float) -> None:
            shares[name] = share
            display.step(LABEL, min(sum(shares.values()) / len(shares), 0.999), name)

        template = idle.get()
        try:
            return predict(
                artifact,
                subjects[0].target,
                plan.metric,
                inputs,
                max(subject.batch_size for subject in subjects),
                progress,
                output_axes=output_axes,
                carry=carry_in(plan.data),
                keep=kept[name],
                limits=limits,
                start=template,
                stop=stop,
            )
        finally:
            idle.put(template)

    found: dict[str, Predicted] = {}
    with ExitStack() as stack:
        for _ in range(size):
            template = stack.enter_context(Template(_imported(models, plan.metric)))
            template.begin()  # here, as it would end with a thread of the pool
            idle.put(template)
        pool = stack.enter_context(workers(size, stop))
        futures = {name: pool.submit(evaluate, name) for name in models}
        for name, future in futures.items():
            try:
                with reasoned(partial(table.fail_all, models[name][1])):
                    found[name] = future.result()
            except (OutOfSpace, UserError) as error:  # what was timed stands
                for subject in models[name][1]:
                    table.remark(subject.key, f"accuracy was not measured: {error}")
    display.step(LABEL, 1.0, f"{len(found)} models on {count_of(inputs)} examples")
    for name, predicted in found.items():
        for subject in models[name][1]:
            for text in remarks_on(predicted, count_of(inputs)):
                table.remark(subject.key, text)
    samples = replace(
        samples_of(plan),
        labels=labels,
        predictions={name: one.predictions for name, one in found.items() if one.predictions is not None},
        sureness={name: one.sureness for name, one in found.items() if one.sureness is not None},
        likeness=likenesses({name: kept[name] for name in found}, plan.measure),
    )
    return judged_by_sequence(samples, carry_in(plan.data))


def samples_of(plan: Plan) -> AccuracySamples:
    """The samples of a plan before a model has predicted anything."""
    return AccuracySamples(
        labels=None,
        predictions={},
        metric=plan.metric.name,
        metric_class=class_path(plan.metric),
        metric_fields=fields_of(plan.metric),
    )


Models = Mapping[str, tuple[Artifact, list[Subject]]]
"""The models by ``variant@target``: each with the rows that it is run for."""


def _held(table: Table, models: Models) -> int:
    """How many of the models an accelerator's memory holds, the largest first; one where it doesn't tell."""
    needed = table.needed_bytes()
    sizes = [[needed[subject.key] for subject in subjects if subject.key in needed] for _, subjects in models.values()]
    with card_of("cuda") as card:
        usable = None if card is None else card.usable_bytes()
    if usable is None or not all(sizes):
        return 1
    largest = accumulate(sorted(map(max, sizes), reverse=True))
    return sum(held <= usable for held in largest)


def _imported(models: Models, metric: Metric) -> tuple[str, ...]:
    """The modules that the models' processes have imported when they start, so that each need not do it again."""
    targets = [subjects[0].target for _, subjects in models.values()]
    torch = ("torch",) if any("torch" in on.backend.runs or on.device == "cuda" for on in targets) else ()
    special = ("scipy.special",) if isinstance(metric, TopOne) else ()  # for the probabilities of its classes
    return (*torch, "onnxruntime", predict.__module__, *special)
