"""Makes the beginnings of a chain variants of their own, so that the contribution of each stage can be measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pipeline.plan.settings import BASELINE
from pipeline.plan.stage import Stage, Variant, is_export


def with_beginnings(variants: Mapping[str, Variant], wanted: Iterable[str]) -> dict[str, Variant]:
    """The variants, with every beginning of the wanted variants' chains before them, unless it is a variant already.

    A beginning that ends before the model is exported gets the export of its own chain, or the baseline's where its
    chain has none. The names are ``variant.stage``.
    """
    found: dict[str, Variant] = {}
    for name, variant in variants.items():
        for beginning in _beginnings(variant, variants.get(BASELINE)) if name in set(wanted) else ():
            chains = [list(other.stages.values()) for other in (*variants.values(), *found.values())]
            if list(beginning.stages.values()) not in chains:
                found[beginning.name] = beginning
        found[name] = variant
    return found


def _beginnings(variant: Variant, baseline: Variant | None) -> Iterator[Variant]:
    stages = list(variant.stages.items())
    export = _exports(variant) or (_exports(baseline) if baseline else {})
    for count in range(1, len(stages)):
        begun = dict(stages[:count])
        name, last = stages[count - 1]
        if last.produces == "torch":
            begun |= export
        yield replace(variant, name=f"{variant.name}.{name}", stages=begun)


def _exports(variant: Variant) -> dict[str, Stage]:
    return {name: stage for name, stage in variant.stages.items() if is_export(stage)}
