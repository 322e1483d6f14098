"""The parts of building that run the user's model, each in a process of its own: write the model, run a stage on it,
count it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.proof import check_output, floor_of
from pipeline.artifact.sameness import require_difference
from pipeline.artifact.work import Work, work
from pipeline.data.dataset import Feed, SplitName, preprocess, sample_of
from pipeline.data.handed import Handed, handed
from pipeline.errors import SlimlineError, StageFailed, UserError, is_full, reason_of
from pipeline.importing.step import import_onnx
from pipeline.isolated import Limits
from pipeline.libraries.muted import remarks_logged
from pipeline.machine.environment import available_memory_bytes
from pipeline.plan import Context, ModelSource, Plan, Stage, is_export
from pipeline.run.compare import Compare

logger = logging.getLogger(__name__)

SAMPLE_SIZE = 64
_BYTES_PER_GB = 10**9
_SHARE_OF_MEMORY = 0.95
UNLIKE_DB, LOST_DB = 6.0, 15.0
"""Calibration data is called unlike the test data where the error on the latter is twice as large or more, and no
longer small (a sixth of the signal). The first alone comes about by chance where there are few examples."""
Said = tuple[float, str]
"""A message: the share done (0 to 1), and a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A stage to run: its inputs, and where its output and its checkpoints go."""

    stage: Stage
    plan: Plan
    """The plan without variants, and with only the examples that the stage reads."""
    source: Artifact
    original: Artifact
    out: Path
    work: Path
    label: str
    override: str
    isa: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model's counts; None (or nothing) where a count can't be told."""

    parameters: int | None = None
    macs: int | None = None
    work: Work = field(default_factory=Work)


def write_model(model: ModelSource, out: Path, examples: Feed) -> Mapping[str, Any]:
    """Have the baseline written, import it where it is an ONNX file, and return the notes."""
    notes = model.write(out)
    if model.format != "onnx":
        return notes
    try:
        return {**notes, **import_onnx(out, examples)}
    except UserError as error:
        raise UserError(*(f"the model {model.name}: {problem}" for problem in error.problems)) from error


def size_of(artifact: Artifact) -> Size:
    """Count a model's parameters and work."""
    parameters, macs = count(artifact)
    return Size(parameters=parameters, macs=macs, work=work(artifact))


def run_stage(task: Task, *, say: Callable[[Said], None]) -> Mapping[str, Any]:
    """Run a stage and check its output against its source; returns the notes, as plain values."""
    notes: dict[str, Any] = {}
    plan, stage = task.plan, task.stage
    context = Context(
        data=plan.data,
        preprocessing=plan.model.preprocessing,
        metric=plan.metric,
        compare=Compare(plan),
        original=lambda: task.original,
        seed=plan.seed,
        work=task.work,
        progress=lambda done, text: say((done, text)),
        note=notes.__setitem__,
        isa=task.isa,
        override=task.override,
    )
    _call(stage, task.source, task.out, context)
    say((1.0, "checking the output"))
    written = Artifact(task.out, stage.produces, "")
    if not is_export(stage):
        require_difference(task.source, written)
    floor = floor_of(stage, task.override)
    notes["drift"] = check_output(task.source, written, stage.tolerance, context.sample(SAMPLE_SIZE), floor)
    if calibrates(stage):
        say((1.0, "checking the output on test examples"))
        unseen = context.feed("test", SAMPLE_SIZE)
        notes["drift_on_test"] = check_output(task.source, written, stage.tolerance, unseen)
        notes |= _unlike(notes["drift"], notes["drift_on_test"], task.label)
    facts: Mapping[str, Any] = plain(notes)
    return facts


def examples_for(plan: Plan, stage: Stage) -> Handed:
    """The examples that ``run_stage`` reads: the stage's splits, and a sample to check its output on."""
    whole = set(stage.reads)
    if getattr(stage, "measures", False):
        whole.add("calibration")
    sampled: frozenset[SplitName] = frozenset({"calibration", "test"} if plan.data.calibration_size else {"test"})
    return handed(plan.data, frozenset(whole), sampled, SAMPLE_SIZE)


def first_examples(plan: Plan, count: int) -> Feed:
    """The examples that an imported model is tried on."""
    return preprocess(sample_of(plan.data, count).inputs, plan.model.preprocessing)


def limits_for(plan: Plan) -> Limits:
    """The limits of a process that starts now."""
    if plan.limits.memory_gb is not None:
        return Limits(seconds=plan.limits.seconds, memory_bytes=int(plan.limits.memory_gb * _BYTES_PER_GB))
    left = available_memory_bytes()
    return Limits(
        seconds=plan.limits.seconds,
        memory_bytes=None if left is None else int(left * _SHARE_OF_MEMORY),
        memory_advice="that is what this machine has left",
    )


def calibrates(stage: Stage) -> bool:
    """Whether the stage's output follows from examples, so that it may do worse on other examples."""
    return "calibration" in stage.reads and stage.tolerance is None


def plain(value: Any) -> Any:
    """The same value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def _call(stage: Stage, source: Artifact, out: Path, context: Context) -> None:
    """Run a stage; whatever goes wrong in the libraries that it calls becomes a StageFailed."""
    try:
        with remarks_logged():
            stage(source, out, context)
    except SlimlineError:
        raise
    except Exception as error:
        if is_full(error):
            raise
        logger.debug("%s failed", type(stage).__name__, exc_info=True)
        raise StageFailed(reason_of(error)) from error


def _unlike(seen: Mapping[str, Any], unseen: Mapping[str, Any], label: str) -> Mapping[str, str]:
    """A note, and a warning, where the output drifts far more on test examples than on those it was calibrated on."""
    here, there = seen["sqnr_db"], unseen["sqnr_db"]
    if here is None or there is None or there >= LOST_DB or here - there < UNLIKE_DB:
        return {}
    text = (
        f"the calibration data is unlike the test data: the signal is {here:.0f} dB above the error on the one and "
        f"{there:.0f} dB on the other. Calibrate with examples of what the model will be fed"
    )
    logger.warning("%s: %s", label, text)
    return {"calibration_data": text}
