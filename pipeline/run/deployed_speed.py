"""``verify --speed``: a bundle's model timed here, in the rounds of a run, beside the p50 in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.analyse.cells import cells_by_subject
from pipeline.analyse.noise import check_noise
from pipeline.analyse.speed import latency
from pipeline.bundle import Check, Options
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.steps import Step
from pipeline.bundle.target import target_of
from pipeline.compare.differences import changed_libraries, same_machine
from pipeline.data.batches import batch_of
from pipeline.data.dataset import prepared
from pipeline.errors import Skipped
from pipeline.machine.environment import describe_machine
from pipeline.measure.group import Subject
from pipeline.measure.latency import Measured, measure_latency
from pipeline.plan import MeasureSettings
from pipeline.results import numbers as show
from pipeline.results.header import Machine
from pipeline.results.intervals import Quantile
from pipeline.run.deployed import DeployedModel, artifact, golden_inputs
from pipeline.run.progress import ProgressDisplay
from pipeline.run.speed import latency_label
from pipeline.statistics.reproduced import Figure, ratio

NAME = "speed"
WANDERS = 0.10
"""How far a machine's speed may lie apart on two days: within one session it already wanders by 5 to 10 %."""


def speed_step(settings: MeasureSettings, console: Console) -> Step:
    """The step that times a bundle's model, beside a second copy of itself."""
    return Step(names=(NAME,), run=partial(_speed, settings, console))


def _speed(
    settings: MeasureSettings, console: Console, folder: Path, manifest: Mapping[str, Any], options: Options
) -> list[Check]:
    try:
        measured, key = _timed(settings, console, folder, manifest, options)
    except Skipped as error:
        return [Check(NAME, False, str(error))]
    if key in measured.failures:
        return [Check(NAME, False, f"it could not be timed: {measured.failures[key]}")]
    device = manifest["measured"]["device"]
    cells = cells_by_subject(measured.samples, {key: device})
    if key not in cells:
        return [Check(NAME, False, "every block was disturbed: time it again when the machine is quiet")]
    here = describe_machine()
    noise = check_noise(cells, {}, {key: device}, measured.samples, settings, here.cores).noise
    found = latency(cells[key], settings)
    batch = f"batch {manifest['batch_size']}, {show.count(found.calls)} calls"
    return [verdict(found.p50, manifest["measured"], here, batch, noise.reasons)]


def _timed(
    settings: MeasureSettings, console: Console, folder: Path, manifest: Mapping[str, Any], options: Options
) -> tuple[Measured, str]:
    """The samples, and the subject's key in them; raises Skipped for a bundle that can't be timed."""
    target, size = target_of(manifest), manifest["batch_size"]
    model = DeployedModel(folder=folder, manifest=manifest)
    feed = batch_of(prepared(golden_inputs(folder, manifest), model.preprocessing), size)
    # Processes of their own run it, each with the working directory of the one that starts them.
    subject = Subject(key=model.name, artifact=artifact(folder.resolve(), manifest), target=target, batch_size=size)
    label = latency_label(target.device)
    with ProgressDisplay(console) as display:
        measured = measure_latency(
            [subject],
            {},
            [subject.key],
            {size: feed},
            settings,
            seed=0,
            limit_s=options.timeout_s,
            progress=lambda done, text: display.step(label, done, text),
            announce=lambda expected: display.say(f"measuring {label}: {expected}"),
        )
    return measured, subject.key


def verdict(p50: Quantile, told: Mapping[str, Any], here: Machine, batch: str, noise: list[str]) -> Check:
    """The latency here beside the manifest's: judged on the machine of the manifest, and told on another one."""
    text = f"p50 {_shown(p50)} here ({batch})"
    before = None if told["latency_ms"] is None else Quantile(**told["latency_ms"]["p50"])
    if before is None:
        return Check(NAME, True, f"{text}; the manifest has no figure to hold it against", done=False)
    there = _machine(told["machine"])
    text = f"{text}; the manifest says {_shown(before)}"
    if not same_machine(there, here):
        measured_on = printable(f"{there.cpu or 'an unknown processor'}, {there.cores or '?'} cores")
        return Check(NAME, True, f"{text}, measured on another machine ({measured_on}): told, not judged", done=False)
    if noise:
        return Check(NAME, True, f"{text}: NOISY, so not judged: {'; '.join(noise)}", done=False)
    changed = [name for name in changed_libraries(there, here) if name in told["machine"].get("libraries", {})]
    more = f" with other versions of {', '.join(map(printable, changed))}" if changed else ""
    return _judged(text, more, p50, before)


def _judged(text: str, more: str, p50: Quantile, before: Quantile) -> Check:
    now, then = _figure(p50), _figure(before)
    if now is None or then is None:
        return Check(NAME, True, f"{text}: too few rounds for an interval, so not judged", done=False)
    found = ratio(now, then)
    times = f"{show.ratio(found.value, found.low, found.high)} its time"
    if found.low > 1 + WANDERS:
        return Check(NAME, False, f"{text}: slower than where it was measured, {times}, on a like machine{more}")
    if found.high < 1 / (1 + WANDERS):
        return Check(NAME, True, f"{text}: faster than where it was measured, {times}, on a like machine{more}")
    if found.low >= 1 / (1 + WANDERS) and found.high <= 1 + WANDERS:
        within = f"which is within the {show.share(WANDERS)} that a machine's speed wanders"
        return Check(NAME, True, f"{text}: as fast as where it was measured, {times}, {within}{more}")
    return Check(NAME, True, f"{text}: not decided, {times}: time it again when the machine is quiet{more}", done=False)


def _figure(quantile: Quantile) -> Figure | None:
    if quantile.low is None or quantile.high is None:
        return None
    return Figure(value=quantile.value, low=quantile.low, high=quantile.high)


def _shown(quantile: Quantile) -> str:
    value = f"{show.number(quantile.value)} ms"
    if quantile.low is None or quantile.high is None:
        return value
    return f"{value} {show.interval(quantile.low, quantile.high, show.decimals_for(quantile.value))}"


def _machine(told: Mapping[str, Any]) -> Machine:
    """The manifest's machine, as far as this version knows its facts."""
    return Machine(**{field.name: told[field.name] for field in fields(Machine) if field.name in told})
