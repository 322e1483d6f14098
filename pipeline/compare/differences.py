"""What else is not the same in two runs: the machine, the versions, the settings, the chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.results.comparison import Difference
from pipeline.results.header import Machine
from pipeline.results.record import Record, StageRecord, VariantRecord

_OF_THE_MACHINE = ("cpu", "isa", "cores", "memory_bytes", "architecture", "gpu")
"""What makes a machine another one."""
_NOT_SET = "–"


def same_machine(before: Machine, after: Machine) -> bool:
    """Whether two runs were measured on like machines: their processor, cores, memory and graphics cards."""
    return all(_of(before, name) == _of(after, name) for name in _OF_THE_MACHINE)


def changed_libraries(before: Machine, after: Machine) -> list[str]:
    """The libraries whose versions differ."""
    return [name for name, _, _ in _compared(before.libraries, after.libraries)]


def differences(before: Record, after: Record) -> list[Difference]:
    """The facts of two runs that differ, the machine's first."""
    return [Difference(name=name, before=old, after=new) for name, old, new in _compared(_facts(before), _facts(after))]


def chain_changes(before: VariantRecord, after: VariantRecord) -> list[str]:
    """What has changed in a variant's chain, a line each; empty where its bytes are the same."""
    if before.digest is not None and before.digest == after.digest:
        return []
    old, new = _stages(before), _stages(after)
    lines = [f"stage {name} is gone ({stage.kind})" for name, stage in old.items() if name not in new]
    lines += [f"stage {name} is new ({stage.kind})" for name, stage in new.items() if name not in old]
    both = [name for name in new if name in old]
    if both != [name for name in old if name in new]:
        lines.append(f"the stages' order was {', '.join(old)} and is {', '.join(new)}")
    for name in both:
        if old[name].kind != new[name].kind:
            lines.append(f"{name}: {old[name].kind} → {new[name].kind}")
        lines += [f"{name}.{key}: {was} → {now}" for key, was, now in _compared(old[name].fields, new[name].fields)]
    if lines or before.digest is None or after.digest is None:
        return lines
    return [f"the same stages and fields made other bytes: {before.digest[:12]} → {after.digest[:12]}"]


def _stages(variant: VariantRecord) -> dict[str, StageRecord]:
    return {stage.name: stage for stage in variant.stages}


def _of(machine: Machine, name: str) -> Any:
    value = getattr(machine, name)
    return round(value / 1e9) if name == "memory_bytes" and value is not None else value


def _facts(record: Record) -> dict[str, Any]:
    machine = asdict(record.machine)
    libraries = machine.pop("libraries")
    return {
        **{f"machine.{name}": value for name, value in machine.items()},
        **{f"slimline.{name}": value for name, value in record.slimline.items()},
        **dict(libraries.items()),
        "model": record.model,
        "data": record.data,
        "seed": record.seed,
        "examples": record.accuracy.examples,
        "metric": record.accuracy.metric,
        **_below("target", {name: asdict(target) for name, target in record.targets.items()}),
        **_below("measure", asdict(record.measure)),
        **_below("constraints", asdict(record.constraints)),
    }


def _below(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _below(f"{name}.{key}", value) if isinstance(value, Mapping) else {f"{name}.{key}": value}
    return found


def _compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, _text(old), _text(new)


def _text(value: Any) -> str:
    if value is None:
        return _NOT_SET
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
