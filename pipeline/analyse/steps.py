"""What each step of a chain contributes: every row is compared with the row one step before it in the same run.

A chain's beginnings are rows too where the run has them (``steps`` of the configuration adds them). A step is then one
stage, or several where the rows between are missing; its speed-up comes from the rounds that both rows were timed in,
and its accuracy from the same examples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.analyse.cells import Cells
from pipeline.analyse.speed import ratio_by_blocks
from pipeline.metrics import judging_of, recorded_metric
from pipeline.plan import BASELINE, MeasureSettings, Metric
from pipeline.results.intervals import Ratio
from pipeline.results.record import AccuracySamples, Record, StageRecord, VariantRecord, subject_key
from pipeline.results.report import Change, Result, Step

Path = list[tuple[list[str], str]]
"""The stages of each step, and the variant whose chain ends with them."""


def with_steps(
    record: Record, rows: Mapping[str, list[Result]], cells: Mapping[str, Cells], measure: MeasureSettings
) -> dict[str, list[Result]]:
    """The rows with their steps; none for those whose chain is a single step from the baseline, and none where a search
    chose the rows: they are the best of their kind, and not the steps to one of them."""
    if record.search is not None:
        return dict(rows)
    found = paths(record.variants)
    metric = recorded_metric(record.accuracy) if found else None
    return {
        name: [replace(row, steps=_steps(row, found[name], record.accuracy, metric, cells, measure)) for row in mine]
        if name in found
        else mine
        for name, mine in rows.items()
    }


def paths(variants: Sequence[VariantRecord]) -> dict[str, Path]:
    """The way from the baseline to each variant, by its name, over every variant that is a beginning of its chain."""
    built = {variant.name: variant for variant in variants if variant.status == "ok"}
    if BASELINE not in built:
        return {}
    by_chain: dict[tuple[str, ...], str] = {}
    for variant in built.values():
        by_chain.setdefault(_chain(variant.stages), variant.name)
    ways = {name: _path(variant, built[BASELINE], by_chain) for name, variant in built.items()}
    return {name: path for name, path in ways.items() if len(path) > 1}


def _path(variant: VariantRecord, baseline: VariantRecord, by_chain: Mapping[tuple[str, ...], str]) -> Path:
    exported = _export(baseline)
    own = _export(variant) or exported
    path: Path = []
    waiting: list[str] = []
    for count, stage in enumerate(variant.stages, start=1):
        begun = _chain(variant.stages[:count])
        waiting += [] if (_identity(stage),) == exported else [stage.name]
        name = variant.name if count == len(variant.stages) else by_chain.get(begun) or by_chain.get(begun + own)
        if name is not None and waiting and name not in (BASELINE, *(passed for _, passed in path)):
            path.append((waiting, name))
            waiting = []
    return path


def _export(variant: VariantRecord) -> tuple[str, ...]:
    """The stage that made ONNX of the model, where the chain has it: as it is, nothing else changed."""
    return tuple(_identity(stage) for stage in variant.stages if stage.role == "export")


def _chain(stages: Sequence[StageRecord]) -> tuple[str, ...]:
    return tuple(map(_identity, stages))


def _identity(stage: StageRecord) -> str:
    return json.dumps([stage.kind, stage.fields], sort_keys=True)


def _steps(
    row: Result,
    path: Path,
    accuracy: AccuracySamples,
    metric: Metric | None,
    cells: Mapping[str, Cells],
    measure: MeasureSettings,
) -> list[Step]:
    if row.status != "ok":
        return []
    before = BASELINE
    steps = []
    for stages, name in path:
        steps.append(
            Step(
                stages=stages,
                variant=name,
                speedup=_speedup(row, name, before, cells, measure),
                accuracy=_accuracy(row, name, before, accuracy, metric),
            )
        )
        before = name
    return steps


def _speedup(row: Result, name: str, before: str, cells: Mapping[str, Cells], measure: MeasureSettings) -> Ratio | None:
    mine, other = (cells.get(subject_key(variant, row.target, row.batch_size)) for variant in (name, before))
    if mine is None or other is None:
        return None
    return ratio_by_blocks(mine, other, measure.look_alpha)


def _accuracy(row: Result, name: str, before: str, samples: AccuracySamples, metric: Metric | None) -> Change | None:
    """The change of the metric's figure."""
    mine, other, baseline = (samples.predictions.get(f"{each}@{row.target}") for each in (name, before, BASELINE))
    if mine is None or other is None:
        return None
    judging = judging_of(metric, mine)
    labels = judging.labels(mine, samples.labels)
    truth = baseline if labels is None else labels
    if truth is None:
        return None
    change = judging.change(mine, other, truth)
    return Change(value=change.value, low=change.low, high=change.high)
