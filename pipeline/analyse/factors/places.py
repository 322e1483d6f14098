"""The factor and the axis that a row belongs to, told by what differs between it and the base row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.plan.roles import Role
from pipeline.results.factors import Factor
from pipeline.results.header import TargetRecord
from pipeline.results.numbers import counted
from pipeline.results.record import Record, StageRecord, SubjectRecord, VariantRecord

INPUT_SIZE = "input size"
_TARGET_AXES: Mapping[str, tuple[Factor, str]] = {
    "device": ("hardware", "device"),
    "threads": ("hardware", "threads"),
    "backend": ("software", "runtime"),
    "graph_level": ("software", "graph optimization"),
}
_DEFAULT_SESSION: Mapping[str, Any] = {"graph_level": "all", "execution_mode": "sequential", "spinning": False}
"""What a session key that is not given stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row lies: its axis and, on an ordered axis, how far along."""

    factor: Factor
    axis: str
    label: str
    unit: str | None = None
    x: float | None = None
    base_x: float | None = None
    """Where the base row lies on the same axis."""
    base_label: str
    upwards: bool = True
    """Whether it is more of x that may pay."""
    note: str | None = None


def places(record: Record, base: SubjectRecord) -> tuple[dict[str, Place], list[str]]:
    """The place of every row but the base row, by its key; and the rows that differ from the base row in more than one
    thing.

    A row that was not measured has a place, too, where its place can be told.
    """
    variants = {variant.name: variant for variant in record.variants}
    found: dict[str, Place] = {}
    mixed = []
    for subject in record.subjects:
        if subject.key == base.key:
            continue
        candidates = [
            *_by_variant(variants[subject.variant], variants[base.variant]),
            *_by_target(record.targets, subject.target, base.target),
            *_by_batch(subject.batch_size, base.batch_size),
        ]
        if len(candidates) == 1:
            found[subject.key] = candidates[0]
        else:
            mixed.append(subject.key)
    return found, mixed


def _by_variant(variant: VariantRecord, base: VariantRecord) -> list[Place]:
    if variant.name == base.name:
        return []
    if not variant.stages:  # nothing of its chain is known, as it could not be built
        return [_software("model", variant.name, base.name)]
    # A stage that does not say what it changes has changed the architecture if it changed the work.
    unknown: Role = "graph" if variant.macs == base.macs else "architecture"
    added: dict[Role, list[StageRecord]] = {}
    for stage in _added(variant.stages, base.stages):
        added.setdefault(stage.role or unknown, []).append(stage)
    axes = dict.fromkeys(_architecture_axis(stage) for stage in added.get("architecture", ()))
    if not axes and "training" in added:
        axes = {"fine-tuning": None}
    found = [_architecture(variant, base, axis, trained="training" in added) for axis in axes]
    found += [_input_size(variant, base, stage) for stage in added.get("input", ())[:1]]
    if "precision" in added:
        found.append(_software("precision", variant.name, base.name))
    if "export" in added:
        found.append(_software(*_export_axis(variant.stages, base.stages)))
    found += [_software(stage.name, variant.name, base.name) for stage in added.get("graph", ())[:1]]
    return found or [_software("model", variant.name, base.name)]


def _architecture_axis(stage: StageRecord) -> str:
    return "pruning" if "pruning_ratio" in stage.fields else stage.name


def _added(stages: Sequence[StageRecord], base: Sequence[StageRecord]) -> list[StageRecord]:
    """The stages that the base's chain does not have in the same way."""
    known = [(stage.kind, stage.fields) for stage in base]
    return [stage for stage in stages if (stage.kind, stage.fields) not in known]


def _architecture(variant: VariantRecord, base: VariantRecord, axis: str, *, trained: bool) -> Place:
    unit, x, base_x = "MACs", variant.macs, base.macs
    if x is None or base_x is None:
        unit, x, base_x = "parameters", variant.parameters, base.parameters
    known = x is not None and base_x is not None
    return Place(
        factor="architecture",
        axis=axis,
        label=variant.name,
        unit=unit if known else None,
        x=x if known else None,
        base_x=base_x if known else None,
        base_label=base.name,
        upwards=False,
        note="not fine-tuned" if axis == "pruning" and not trained else None,
    )


def _input_size(variant: VariantRecord, base: VariantRecord, stage: StageRecord) -> Place:
    times = (stage.notes.get("elements") or {}).get("times")
    return Place(
        factor="input",
        axis=str(stage.notes.get("resized", "size")),
        label=variant.name,
        unit=None if times is None else INPUT_SIZE,
        x=None if times is None else float(times),
        base_x=None if times is None else 1.0,
        base_label=base.name,
        upwards=False,
    )


def _export_axis(stages: Sequence[StageRecord], base: Sequence[StageRecord]) -> tuple[str, str, str]:
    """The axis, this chain's level and the base's: the first field of the export that differs."""
    mine = next(stage.fields for stage in stages if stage.role == "export")
    others = next((stage.fields for stage in base if stage.role == "export"), {})
    for name, value in mine.items():
        if value != others.get(name):
            return name, str(value), str(others.get(name, "none"))
    return "export", "yes", "no"


def _software(axis: str, label: str, base_label: str) -> Place:
    return Place(factor="software", axis=axis, label=label, base_label=base_label)


def _by_target(targets: Mapping[str, TargetRecord], name: str, base_name: str) -> list[Place]:
    if name == base_name:
        return []
    mine, base = _flat(targets[name]), _flat(targets[base_name])
    if mine.get("backend") != base.get("backend"):
        # The session's keys are the runtime's own.
        keys = [key for key in ("backend", "device", "threads") if mine.get(key) != base.get(key)]
        label, base_label = name, base_name
        return [_on_target(key, label, base_label) for key in keys]
    changed = [key for key in dict.fromkeys([*mine, *base]) if mine.get(key) != base.get(key)]
    return [
        _threads(mine, base) if key == "threads" else _on_target(key, mine.get(key), base.get(key)) for key in changed
    ]


def _flat(target: TargetRecord) -> dict[str, Any]:
    """A target's fields and its session's keys, with the defaults of those that are not given."""
    fields = {key: value for key, value in asdict(target).items() if key != "session"}
    return {**fields, **_DEFAULT_SESSION, **target.session}


def _on_target(key: str, value: Any, base_value: Any) -> Place:
    factor, axis = _TARGET_AXES.get(key, ("software", key))
    return Place(factor=factor, axis=axis, label=str(value), base_label=str(base_value))


def _threads(mine: Mapping[str, Any], base: Mapping[str, Any]) -> Place:
    return Place(
        factor="hardware",
        axis="threads",
        label=counted(mine["threads"], "thread"),
        unit="threads",
        x=float(mine["threads"]),
        base_x=float(base["threads"]),
        base_label=counted(base["threads"], "thread"),
    )


def _by_batch(size: int, base_size: int) -> list[Place]:
    if size == base_size:
        return []
    return [
        Place(
            factor="input",
            axis="batch",
            label=f"batch {size}",
            unit="examples a call",
            x=float(size),
            base_x=float(base_size),
            base_label=f"batch {base_size}",
        )
    ]
