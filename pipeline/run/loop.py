"""The loop: build, measure, analyse, report, bundle."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from pipeline.analyse import analyse
from pipeline.analyse.beside import report_of
from pipeline.data.dataset import Split
from pipeline.errors import SlimlineError, UserError, reasoned, reporting_disk
from pipeline.errors.contained import Faults, contained
from pipeline.folders.locks import InUse
from pipeline.folders.outputs import LOG, claimed, point_latest_at, sweep_outputs
from pipeline.plan import BASELINE, Plan, Tracking
from pipeline.report import print_report
from pipeline.report.describe import sentence
from pipeline.report.formats.printing import tell
from pipeline.report.to_label import read_labels
from pipeline.results.reading import load_run
from pipeline.results.record import RECORD_FILE, SAMPLES, UNFINISHED, Record, Trial, save_record
from pipeline.run.build import Builder
from pipeline.run.build import builder as making
from pipeline.run.built import Built
from pipeline.run.bundling import bundle
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.mapping import map_variants
from pipeline.run.measure import Measured, measure
from pipeline.run.nodes import as_own, measure_nodes
from pipeline.run.outlook import outlook
from pipeline.run.placing import by_node
from pipeline.run.preflight import preflight
from pipeline.run.progress import ProgressDisplay
from pipeline.run.recorded import make_record
from pipeline.run.run_log import logging_to
from pipeline.run.searching import search
from pipeline.run.spread import build_all
from pipeline.run.tries import are_wanted, try_changes
from pipeline.run.written import show_examples, written
from pipeline.store import open_store

logger = logging.getLogger(__name__)


def run(plan: Plan, console: Console) -> int:
    """Carry out a checked plan; returns 1 where a row failed that was asked for by name, else 0."""
    began = time.monotonic()
    faults = Faults()
    open_store(plan.store).check()
    plan = with_fitted_data(plan)
    splits = preflight(plan)
    with (
        reporting_disk(plan.output),
        claimed(plan.output),
        logging_to(plan.output / LOG),
        telling_what_is_kept(plan.output, console),
        InUse() as in_use,
    ):
        open_store(plan.store).sweep()
        sweep_outputs(plan.output)
        with ProgressDisplay(console) as display:
            with making(plan, display.step, in_use) as builder:
                known = acquainted(plan, builder.source().artifact, splits, builder.start)
                plan = builder.plan = known.plan
                notes = [*dict.fromkeys(note for split in splits.values() for note in split.notes), *known.notes]
                display.notes(notes)
                test = plan.data.split("test")
                findings = None
                if plan.search is not None:
                    named = {name: plan.data.split(name) for name in splits}
                    searched = search(plan, builder, display, named, known.output_axes, began)
                    plan, test, findings = searched.plan, searched.test, searched.findings
                    builder.plan = plan
                    display.notes(searched.notes)
                    notes += searched.notes
                ahead = outlook(plan, builder.keys)
                if findings is None:
                    display.say(str(ahead))
                display.expect(ahead.parts)
                built = build(builder, display, len(ahead.building))
                plan, elsewhere = by_node(plan)
                nodes = measure_nodes(elsewhere, builder.steps.places, built, test, display, known.output_axes, faults)
                maps = map_variants(plan, built, test, display.step, builder.start)

            def recorded(measured: Measured, *, unfinished: bool = False) -> Record:
                made = make_record(plan, built, measured, [*notes, *([UNFINISHED] if unfinished else [])])
                made = replace(made, search=findings, maps=maps)
                save_record(made, plan.output / SAMPLES)
                return made

            # Saved after each long part, so that a run that is stopped in the next one has lost nothing.
            trials: list[Trial] = []
            if plan.targets:
                keep = partial(recorded, unfinished=True)
                record = recorded(measure(plan, built, test, display, known.output_axes, keep))
                trials = tried(plan, record, test, display)
            else:
                plan, record = as_own(plan, elsewhere, nodes, maps, notes)
        if trials:
            record = replace(record, trials=trials)
            save_record(record, plan.output / SAMPLES)
        report = report_of(record, plan.output)
        # Before the report, which names the bundle where there is one.
        bundled = faults.contain(
            "the bundle", lambda: bundle(plan, built, test, record, report, known.axes_by_name), ""
        )
        reported = written(record, report, plan.output, partial(show_examples, plan.data, test))
        faults.sentences.extend(reported.sentences)
        point_latest_at(plan.output)
        print_report(report, console)
        if bundled:
            tell(console, bundled)
        if plan.tracking is not None:
            faults.contain("the entry of the tracking", partial(_send, plan.output, plan.tracking, console), None)
        say_faults(faults.sentences, console)
        in_use.close()
        collect(plan)
    tell(console, f"Report: {plan.output / 'report.html'}")
    failed = failed_rows(plan, record) or any(failed_rows(elsewhere[name], nodes[name]) for name in nodes)
    return 1 if failed or report.faults or faults.sentences else 0


@contextmanager
def telling_what_is_kept(folder: Path, console: Console) -> Iterator[None]:
    """Say how to read a run that is stopped, where it has measured something."""
    before = _samples_of(folder)
    try:
        yield
    except KeyboardInterrupt:
        if _samples_of(folder) != before:
            tell(console, f"What was measured is kept: python -m pipeline report {folder}")
        raise


def _samples_of(folder: Path) -> int | None:
    """When a run's samples were written, in nanoseconds; None: there are none."""
    path = folder / SAMPLES / RECORD_FILE
    return path.stat().st_mtime_ns if path.exists() else None


def failed_rows(plan: Plan, record: Record) -> list[str]:
    """The keys of the rows that were asked for by name and failed; a failure of a default is only told.

    A variant that could not be built was asked for where it was named; a row that could not be measured, where its
    variant or its target was.
    """
    unbuilt = {variant.name for variant in record.variants if variant.status == "failed"}
    return [
        row.key
        for row in record.subjects
        if row.status == "failed"
        and (
            row.variant not in plan.default_variants
            or (row.variant not in unbuilt and row.target not in plan.default_targets)
        )
    ]


def build(builder: Builder, display: ProgressDisplay, steps: int = 0) -> dict[str, Built]:
    """Build every variant's chain; ``steps`` is how many models are likely to be built.

    Raises SlimlineError where the baseline, which all are compared with, can't be built.
    """
    plan = builder.plan
    built = dict(zip(plan.variants, build_all(builder, list(plan.variants.values()), display, steps), strict=True))
    baseline = built[BASELINE].record
    if baseline.status != "ok":
        raise SlimlineError(f"the baseline could not be built, so there is nothing to compare with: {baseline.reason}")
    stages = {stage.key for item in built.values() for stage in item.record.stages}
    found = len(stages) + 1 - builder.built_count
    if found <= 0:
        display.say(f"{builder.built_count} models built and kept in {plan.store}")
    elif builder.built_count:
        display.say(f"{builder.built_count} models built, {found} more came from {plan.store}")
    else:
        display.say(f"nothing to build: all {found} models came from {plan.store}")
    return built


def collect(plan: Plan) -> None:
    """Keep the store to its size. The run is over, so a failure there is only told."""
    try:
        open_store(plan.store).collect(plan.store_max_gb)
    except SlimlineError as error:
        logger.warning("the store was not collected: %s", error)


def tried(plan: Plan, record: Record, test: Split, display: ProgressDisplay) -> list[Trial]:
    """The outcomes of the changes that the report's explanations propose, where they are tried (``measure.try_s``)."""
    if not are_wanted(plan):
        return []
    with reasoned(lambda error: logger.warning("proposed changes were not tried: %s", error)):
        return try_changes(plan, record, analyse(record), test, display.step)
    return []


def track(run_folder: Path, tracking: Tracking, console: Console) -> int:
    """Send a finished run to where runs are tracked, and say where it can be seen; returns 0.

    Raises UserError where it is no finished run, SlimlineError where it can't be sent.
    """
    load_run(run_folder)
    tracking.check()
    _send(run_folder, tracking, console)
    return 0


def _send(run_folder: Path, tracking: Tracking, console: Console) -> None:
    tell(console, f"Tracked: {tracking.track(run_folder)}")


def say_faults(faults: Sequence[str], console: Console) -> None:
    """Print the parts of a run's output that could not be made, and why."""
    for fault in faults:
        tell(console, sentence(fault), style="red")


def report(run_folder: Path, console: Console, labels: Path | None = None) -> int:
    """Derive the report anew from a run's samples, and keep ``labels`` of what models answered differently there.

    Raises UserError where there are no samples, or none that can be read, and for labels that don't fit them.
    """
    record = load_run(run_folder)
    with reporting_disk(run_folder), logging_to(run_folder / LOG):
        if labels is not None:
            record = labelled_with(record, labels)
            save_record(record, run_folder / SAMPLES)
        derived = contained(f"a report of {run_folder / SAMPLES}", lambda: report_of(record, run_folder), _refuse)
        faults = written(record, derived, run_folder)
        print_report(derived, console)
    say_faults(faults.sentences, console)
    return 1 if derived.faults or faults.sentences else 0


def labelled_with(record: Record, labels: Path) -> Record:
    """A record with labels of what models answered differently; raises UserError where it has no use for them."""
    samples = record.accuracy
    if samples.labels is not None:
        raise UserError(f"the run's data has labels already, so {labels} would decide nothing")
    count = next((len(predictions) for predictions in samples.predictions.values()), 0)
    return replace(record, accuracy=replace(samples, flip_labels=read_labels(labels, count, record.class_names)))


def _refuse(reason: str) -> NoReturn:
    raise UserError(reason)
