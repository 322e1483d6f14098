"""Changes of a plan that can be proposed, typed and tried: the words that a user types, and the plan with the
change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

from pipeline.bounds import out_of_bounds
from pipeline.libraries.installed import locate
from pipeline.plan import Device, Plan, Stage, Target, Variant

T = TypeVar("T")
_PART = r"([A-Za-z_][\w-]*|\d+)"
_KEY = re.compile(rf"~?([a-z]+@)?{_PART}(\.{_PART})*", re.ASCII)
"""A key in Hydra's grammar, which has no room for every name that a variant or a target may have."""


@runtime_checkable
class Change(Protocol):
    """One change of a plan. ``str()`` gives what a user types for it behind ``python -m pipeline``."""

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change, as typing it would make it; raises ValueError where it does not fit the plan."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageField:
    """A change that sets a field of a variant's stage."""

    variant: str
    stage: str
    field: str
    value: Any

    def __str__(self) -> str:
        return f"{stage_key(self.variant, self.stage)}.{self.field}={typed(self.value)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such stage, or the stage no such field or
        value."""
        return _restaged(plan, self.variant, self.stage, self._set)

    def _set(self, stage: Stage) -> Stage:
        after: Stage = replace(stage, **{self.field: self.value})  # type: ignore[type-var]
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSwapped:
    """A change that puts another stage in the place of a variant's stage. The new stage keeps the fields that were set
    in the old one."""

    variant: str
    stage: str
    by: str
    """The name of the new stage's YAML, such as ``quantize_static``."""
    kind: str
    """The class that the YAML names."""

    def __str__(self) -> str:
        return f"stage@{stage_key(self.variant, self.stage)}={self.by}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such stage, or the new stage lacks a field
        that was set."""
        return _restaged(plan, self.variant, self.stage, self._instead)

    def _instead(self, old: Stage) -> Stage:
        default = type(old)()
        names = [field.name for field in fields(old)]  # type: ignore[arg-type]  # every stage is a dataclass
        own = {name: getattr(old, name) for name in names if getattr(old, name) != getattr(default, name)}
        new: Stage = locate(self.kind)(**own)
        return new


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDropped:
    """A change that takes a stage out of a variant's chain."""

    variant: str
    stage: str

    def __str__(self) -> str:
        return f"~{stage_key(self.variant, self.stage)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such stage."""
        return _restaged(plan, self.variant, self.stage, lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantDevices:
    """A change that sets the devices that a variant is measured on."""

    variant: str
    devices: tuple[Device, ...]

    def __str__(self) -> str:
        return f"variants.{_chain(self.variant)}.devices={typed(self.devices)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such variant."""
        variant = _named(plan.variants, "variants", self.variant)
        return replace(plan, variants={**plan.variants, variant.name: replace(variant, devices=self.devices)})


def unasked(variant: Variant, target: Target) -> str | None:
    """Why a variant is not measured on a target: it is not asked for on such devices; None where it is."""
    if target.device in variant.devices:
        return None
    asked = VariantDevices(variant=variant.name, devices=(*variant.devices, target.device))
    return f"{variant.name} is not measured on {target.device} unless asked: {asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """A change that sets the number of threads of a target."""

    target: str
    threads: int

    def __str__(self) -> str:
        return f"target.{self.target}.threads={typed(self.threads)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such target."""
        return _retargeted(plan, self.target, lambda target: replace(target, threads=self.threads))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetting:
    """A change of one setting of a target's session."""

    target: str
    setting: str
    value: Any

    def __str__(self) -> str:
        return f"target.{self.target}.session.{self.setting}={typed(self.value)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan has no such target."""
        return _retargeted(plan, self.target, self._set)

    def _set(self, target: Target) -> Target:
        return replace(target, session={**target.session, self.setting: self.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """A change that sets the targets that are timed; there are no others."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"target={typed(self.names)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change; raises ValueError where the plan lacks one of them, because adding one takes
        another run."""
        return replace(plan, targets={name: _named(plan.targets, "target", name) for name in self.names})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """A change that sets the batch sizes that are timed; there are no others."""

    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return f"batch_sizes={typed(self.sizes)}"

    def apply(self, plan: Plan) -> Plan:
        """The plan with the change, which fits every plan."""
        return replace(plan, batch_sizes=self.sizes)


def can_be_typed(change: Change) -> bool:
    """Whether Hydra takes the words that are typed for it: a variant named ``a+b``, for one, can be changed only in its
    YAML."""
    return _KEY.fullmatch(str(change).partition("=")[0]) is not None


def typed(value: Any) -> str:
    """A value in Hydra's grammar: null, true and false, a number, a word, or a list of these."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(typed, value))}]"
    return str(value)


def _chain(variant: str) -> str:
    """The variant whose stages are set: for a beginning of a chain (``pipeline.plan.chains``), the whole one."""
    return variant.partition(".")[0]


def stage_key(variant: str, stage: str) -> str:
    """The beginning of a setting of a variant's stage, as it is typed."""
    return f"variants.{_chain(variant)}.stages.{stage}"


def _restaged(plan: Plan, variant: str, stage: str, change: Callable[[Stage], Stage | None]) -> Plan:
    """The plan with the result of ``change`` in a stage's place; None takes the stage out."""
    before = _named(plan.variants, "variants", _chain(variant))
    try:
        new = change(_named(before.stages, f"variants.{before.name}.stages", stage))
    except TypeError as error:  # a field that the class lacks
        raise ValueError(str(error)) from error
    problems = [] if new is None else out_of_bounds(new, f"variants.{before.name}.stages.{stage}")
    if problems:
        raise ValueError("; ".join(problems))
    chain = {name: new if name == stage else old for name, old in before.stages.items()}
    after = replace(before, stages={name: kept for name, kept in chain.items() if kept is not None})
    return replace(plan, variants={**plan.variants, after.name: after})


def _retargeted(plan: Plan, name: str, change: Callable[[Target], Target]) -> Plan:
    return replace(plan, targets={**plan.targets, name: change(_named(plan.targets, "target", name))})


def _named(things: Mapping[str, T], where: str, name: str) -> T:
    if name not in things:
        raise ValueError(f"{where}.{name} is not in this run")
    return things[name]
