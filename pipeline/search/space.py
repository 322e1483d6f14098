"""The space of a search: the plan's variants, other values of their fields, and the plan's targets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.plan import Plan, Target, Variant
from pipeline.plan.search import Choices
from pipeline.results.change import StageField, typed

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
    changes: tuple[StageField, ...] = ()
    """The changes of that variant."""
    rescues: str | None = None
    """The key of the candidate that it may stand in for: where that one is fast enough and drifts too far."""

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu``."""
        return candidate_key(self.variant.name, self.target.name)


def candidate_key(variant: str, target: str) -> str:
    """The name of a chain on a target."""
    return f"{variant}@{target}"


def space(plan: Plan) -> list[Candidate]:
    """Every candidate of a plan, in the order of its variants: of each the chain as it is, its choices, its rescues.

    The plan must have a search. Raises ValueError for a variant, a stage or a field that does not exist, and for a
    value that the field does not take.
    """
    if plan.search is None:
        raise ValueError("the plan has no search")
    search = plan.search
    problems = [problem for choices in (search.choices, search.rescues) for problem in _unknown(plan, choices)]
    if problems:
        raise ValueError("; ".join(problems))
    return [
        candidate
        for variant in plan.variants.values()
        for target in plan.targets.values()
        for candidate in _family(plan, variant, target)
    ]


def changed(plan: Plan, candidate: Candidate, field: Field, value: Any) -> Candidate:
    """The candidate with another value of a field; raises ValueError where the field does not take it."""
    stage, name = field
    change = StageField(variant=candidate.chain, stage=stage, field=name, value=value)
    changes = (*candidate.changes, change)
    after = plan
    for each in changes:
        after = each.apply(after)
    text = _NOT_IN_NAMES.sub("_", typed(value)).strip("_")
    named = replace(after.variants[candidate.chain], name=f"{candidate.variant.name}-{name}-{text}")
    return replace(candidate, variant=named, changes=changes)


def _family(plan: Plan, variant: Variant, target: Target) -> Iterator[Candidate]:
    search = plan.search
    plain = Candidate(variant=variant, target=target, chain=variant.name)
    yield plain
    if search is None:
        return
    for field, values in _fields(search.choices, variant.name):
        yield from (changed(plan, plain, field, value) for value in values)
    for field, values in _fields(search.rescues, variant.name):
        yield from (replace(changed(plan, plain, field, value), rescues=plain.key) for value in values)


def _fields(choices: Choices, variant: str) -> Iterator[tuple[Field, tuple[Any, ...]]]:
    for stage, fields in choices.get(variant, {}).items():
        for name, values in fields.items():
            yield (stage, name), values


def _unknown(plan: Plan, choices: Mapping[str, Any]) -> Iterator[str]:
    for variant in choices:
        if variant not in plan.variants:
            yield f"search: variant {variant} is not selected; available: {', '.join(plan.variants)}"
