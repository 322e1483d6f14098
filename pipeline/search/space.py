"""The space of a search: the plan's variants, other values of their fields, the plan's targets and their settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.plan import Plan, SearchSettings, Target, Variant
from pipeline.plan.search import Fields, Ranges
from pipeline.results.change import Change, SessionSetting, StageField, typed

Field = tuple[str, str]
"""A stage of a chain, and a field of that stage."""
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chain on a target."""

    variant: Variant
    """The chain, under the candidate's own name."""
    target: Target
    chain: str
    """The plan's variant that it comes from."""
    changes: tuple[Change, ...] = ()
    """The changes of that variant and of the plan's target."""
    after: str | None = None
    """The key of the candidate that must have been looked at before it; None: it waits for none."""
    when: Literal["drifts", "leads"] = "drifts"
    """When it is needed: where that one is fast enough and drifts too far, or where that one is among the fastest."""

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu``."""
        return candidate_key(self.variant.name, self.target.name)


def plain_candidate(variant: Variant, target: Target) -> Candidate:
    """A variant as it is on a target as it is."""
    return Candidate(variant=variant, target=target, chain=variant.name)


def candidate_key(variant: str, target: str) -> str:
    """The name of a chain on a target."""
    return f"{variant}@{target}"


def space(plan: Plan) -> list[Candidate]:
    """Every candidate of a plan, in the order of its variants, but for samples of ranges, which come as they are drawn.

    Of each variant there is the chain as it is, its choices, and the rescues of both, on every target. What is said of
    variants and targets that are not selected does not count. Raises ValueError for a plan without a search, for a
    stage or a field that does not exist, and for a value that a field does not take.
    """
    return [
        candidate
        for variant in plan.variants.values()
        for target in plan.targets.values()
        for candidate in _family(plan, plan.searched, variant, target)
    ]


def with_field(plan: Plan, candidate: Candidate, field: Field, value: Any) -> Candidate:
    """The candidate with another value of a field; raises ValueError where the field does not take it."""
    stage, name = field
    change = StageField(variant=candidate.chain, stage=stage, field=name, value=value)
    changes = (*candidate.changes, change)
    after = plan
    for each in changes:
        after = each.apply(after)
    variant = replace(after.variants[candidate.chain], name=_named(candidate.variant.name, name, value))
    return replace(candidate, variant=variant, changes=changes)


def with_setting(plan: Plan, candidate: Candidate, setting: str, value: Any) -> Candidate:
    """The candidate on a target with another setting of its session."""
    change = SessionSetting(target=candidate.target.name, setting=setting, value=value)
    target = change.apply(plan).targets[candidate.target.name]
    named = replace(target, name=_named(target.name, setting, value))
    return replace(candidate, target=named, changes=(*candidate.changes, change))


def ranges_of(ranges: Ranges, chain: str) -> dict[Field, tuple[float, float]]:
    """The ranges of a chain's fields."""
    return {(stage, name): ends for stage, fields in ranges.get(chain, {}).items() for name, ends in fields.items()}


def _family(plan: Plan, search: SearchSettings, variant: Variant, target: Target) -> Iterator[Candidate]:
    rescued = next((chain for chain, others in search.rescue_chains.items() if variant.name in others), None)
    after = None if rescued is None else candidate_key(rescued, target.name)
    plain = Candidate(variant=variant, target=target, chain=variant.name, after=after)
    chains = [plain, *(with_field(plan, plain, *each) for each in _values(search.choices, variant.name))]
    yield from chains
    for chain in chains:
        changed = {(change.stage, change.field) for change in chain.changes if isinstance(change, StageField)}
        for field, value in _values(search.rescues, variant.name):
            if field not in changed:
                yield replace(with_field(plan, chain, field, value), after=chain.key)
    for setting, values in search.sessions.get(target.name, {}).items():
        for chain in chains:
            yield from (
                replace(with_setting(plan, chain, setting, value), after=chain.key, when="leads") for value in values
            )


def _values(choices: Mapping[str, Fields], variant: str) -> Iterator[tuple[Field, Any]]:
    for stage, fields in choices.get(variant, {}).items():
        for name, values in fields.items():
            for value in values:
                yield (stage, name), value


def _named(name: str, field: str, value: Any) -> str:
    text = _NOT_IN_NAMES.sub("_", typed(value)).strip("_")
    return f"{name}-{field}-{text}"
