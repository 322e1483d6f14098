"""Parts of a chain: its beginnings as variants of their own, so that the contribution of each stage can be measured,
and the model of a chain that a runtime runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.artifact import Format
from pipeline.errors import Skipped
from pipeline.plan.settings import BASELINE
from pipeline.plan.stage import Stage, Variant, is_export
from pipeline.plan.target import Backend


def with_reader(variants: Mapping[str, Variant], name: str, reader: Stage) -> dict[str, Variant]:
    """The variants of an ONNX model, with ``reader``, a stage that makes a PyTorch model of it, in front of each chain
    that takes nothing else."""
    return {
        key: variant
        if misfit(variant, "onnx") is None or misfit(variant, "torch") is not None
        else replace(variant, stages={name: reader, **variant.stages})
        for key, variant in variants.items()
    }


def misfit(variant: Variant, source: Format) -> str | None:
    """The first stage that does not accept the output before it, or None where the chain fits."""
    current = source
    for name, stage in variant.stages.items():
        if current not in stage.accepts:
            return name
        current = stage.produces
    return None


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


def place_run(variant: Variant, formats: Sequence[Format], backend: Backend) -> int:
    """The place in a chain of the model that a runtime runs, 0 for the model that the chain starts from; raises Skipped
    where there is none. ``formats`` has the format of the first model and of each stage's.

    A PyTorch target runs the last PyTorch model of the chain, as long as nothing but the export comes after it: with
    a later stage it would be another model than the variant.
    """
    stages = list(variant.stages.items())
    for place in reversed(range(len(formats))):
        if formats[place] in backend.runs:
            changed = [name for name, stage in stages[place:] if not is_export(stage)]
            if changed and formats[-1] == "openvino":
                raise Skipped(
                    f"{backend.name} can't run OpenVINO's own format, which {changed[-1]} writes: "
                    "type target=[openvino_cpu]"
                )
            if changed:
                raise Skipped(f"{backend.name} can't run what {changed[0]} makes; it would run another model")
            return place
    raise Skipped(f"{variant.name} has no {' or '.join(sorted(backend.runs))} model for {backend.name}")
