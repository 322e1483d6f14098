"""The stages that made each variant."""

from __future__ import annotations

from pipeline.report import describe
from pipeline.report.sections.section import Facts, Part, Section, lines
from pipeline.results import numbers as show
from pipeline.results.record import StageRecord
from pipeline.results.report import Report, VariantResult

TITLE = "Chains of stages"
_NOTE = (
    "Of each stage the fields that are not at their defaults, and what it noted. Drift: how far the outputs are from "
    "those of the model before the stage: a higher sqnr_db (signal over noise) is nearer, a cosine of 1 is the same."
)


def chains(report: Report) -> Section | None:
    """Each variant with its stages, what was set in them, and their notes."""
    if not report.variants:
        return None
    return Section(title=TITLE, notes=[_NOTE], parts=[_chain(variant) for variant in report.variants], folded=True)


def _chain(variant: VariantResult) -> Part:
    failed = variant.status != "ok"
    said = lines([f"{variant.status}: {variant.reason or 'no reason was recorded'}"] if failed else [], "bad")
    stages = [_stage(number, stage) for number, stage in enumerate(variant.stages, start=1)]
    none = lines([] if stages else ["No stages: the model as it is."])
    return Part(
        title=variant.name,
        lines=[*said, *none, *lines([_sizes(variant), *describe.digest_lines(variant)], "quiet")],
        parts=stages,
    )


def _sizes(variant: VariantResult) -> str:
    parts: list[str] = [variant.format or "no artifact"]
    if variant.size_bytes is not None:
        parts.append(f"{show.megabytes(variant.size_bytes)} MB")
    for figure, unit in ((variant.parameters, "parameters"), (variant.macs, "MACs")):
        if figure is not None:
            parts.append(f"{show.magnitude(figure)} {unit}")
    return ", ".join(parts)


def _stage(number: int, stage: StageRecord) -> Part:
    how = "reused from the store" if stage.reused else f"built in {show.duration(stage.seconds)}"
    changed = stage.fields if stage.changed is None else {name: stage.fields[name] for name in stage.changed}
    recorded = {"Fields": changed, "Notes": stage.notes}
    return Part(
        title=f"{number}. {stage.name} ({stage.kind})",
        lines=lines([f"{how}{f', digest {stage.digest[:12]}' if stage.digest else ''}"], "quiet"),
        facts=[Facts(title=title, pairs=describe.facts(found)) for title, found in recorded.items() if found],
    )
