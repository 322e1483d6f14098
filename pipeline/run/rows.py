"""Lists the rows of a run: variants on targets at batch sizes, as the plan's grid says, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Axes, axes_of
from pipeline.errors import Skipped
from pipeline.machine.environment import available_cores
from pipeline.plan import Plan, Target, Variant, unavailable
from pipeline.plan.chains import place_run
from pipeline.results.change import BatchSizes, StageField, unasked
from pipeline.results.record import StageRecord, SubjectRecord
from pipeline.run.built import UNCHANGED, Built
from pipeline.stages.graphs.gentler import DONE_INSTEAD


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the report and, where it can be measured, the model to measure."""

    record: SubjectRecord
    target: Target
    artifact: Artifact | None


def rows(plan: Plan, built: Mapping[str, Built]) -> list[Row]:
    """All rows in the order of variants, targets and batch sizes."""
    missing = {name: unavailable_in(plan, target) for name, target in plan.targets.items()}
    axes = axes_of(plan.data.split("test").inputs)
    found = []
    for variant, target, batch_size in combinations(plan):
        row = _row(variant, target, batch_size, built[variant.name], missing[target.name], axes)
        asked = plan.asked(variant.name, target.name)
        found.append(replace(row, record=replace(row.record, asked=asked)))
    return found


def combinations(plan: Plan) -> Iterator[tuple[Variant, Target, int]]:
    """The variants, targets and batch sizes that have a row, in the order of the rows."""
    for variant in plan.variants.values():
        for target in plan.targets.values():
            for batch_size in plan.batch_sizes:
                if plan.has_row(variant.name, target.name, batch_size):
                    yield variant, target, batch_size


def _row(variant: Variant, target: Target, batch_size: int, built: Built, unavailable: str | None, axes: Axes) -> Row:
    artifact: Artifact | None = None
    status, reason = built.record.status, built.record.reason
    if reason is None:
        try:
            _check_row(variant, target, unavailable)
            artifact = runnable_at(variant, built, target, batch_size, axes)
        except Skipped as error:
            status, reason = "skipped", str(error)
    record = SubjectRecord(
        variant=variant.name,
        target=target.name,
        device=target.device,
        batch_size=batch_size,
        status=status,
        reason=reason,
        remarks=[] if reason else [remark for stage in built.record.stages for remark in _remarks(stage)],
    )
    return Row(record, target, artifact)


def _remarks(stage: StageRecord) -> Iterator[str]:
    """Remarks for a reader of a row on one of its stages: what was not done, done otherwise, or not compared."""
    notes = stage.notes
    if UNCHANGED in notes:
        yield f"{stage.name} changed nothing: {notes[UNCHANGED]}"
    if DONE_INSTEAD in notes:
        yield f"{stage.name}: {notes[DONE_INSTEAD]}"
    for output in (notes.get("drift") or {}).get("not_compared", ()):
        yield f"an output is not compared with the source's, {output}"


def _check_row(variant: Variant, target: Target, unavailable: str | None) -> None:
    reason = unasked(variant, target) or unavailable
    if reason is not None:
        raise Skipped(reason)


def check_batch(variant: Variant, fixed: int | None, batch_size: int) -> None:
    """Raise Skipped, with what to type, where a variant's model takes another batch only (``fixed``)."""
    if fixed is None or fixed == batch_size:
        return
    fixing = next((name for name, stage in variant.stages.items() if getattr(stage, "fixes_batch", False)), None)
    refixed = fixing and StageField(variant=variant.name, stage=fixing, field="batch_size", value=batch_size)
    other = refixed or "take a model of a free batch"
    raise Skipped(f"the model's batch is fixed at {fixed}: type {BatchSizes(sizes=(fixed,))}, or {other}")


def runnable(variant: Variant, built: Built, target: Target) -> Artifact:
    """The artifact of the chain that the target's runtime runs (``place_run``); raises Skipped where there is none."""
    return built.artifacts[place_run(variant, [artifact.format for artifact in built.artifacts], target.backend)]


def runnable_at(variant: Variant, built: Built, target: Target, batch_size: int, axes: Axes) -> Artifact:
    """The artifact that the target's runtime runs, at a batch size; raises Skipped where there is none."""
    artifact = runnable(variant, built, target)
    check_batch(variant, fixed_batch_of(artifact, axes), batch_size)
    return artifact


def unavailable_in(plan: Plan, target: Target) -> str | None:
    """Why the plan's rows on a target can't be measured here; None where they can."""
    reason = unavailable(target)
    if reason is not None:
        return reason
    cores = available_cores()
    if plan.grid == "one_at_a_time" and target.device == "cpu" and target.threads > cores:
        # A step of the ladder; who asks for one such target alone gets it.
        return f"{target.name} asks for {target.threads} threads, and {cores} cores are available here"
    return None
