"""Maps each variant's graph beside the baseline's, in a process of its own. Nothing is timed there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pipeline.artifact import Artifact, Format
from pipeline.data.dataset import Split, preprocess
from pipeline.errors import SlimlineError, reasoned
from pipeline.isolated import run
from pipeline.isolated.run import Starter, fresh
from pipeline.machine.environment import available_memory_bytes
from pipeline.measure.map.mapping import MapTask, Step, mapped
from pipeline.plan import BASELINE, Plan, Variant, is_export
from pipeline.results import numbers as show
from pipeline.results.map import VariantMap
from pipeline.run.building import limits_for
from pipeline.run.built import Built

EXAMPLES = 8
MOST_BYTES = 500_000_000
"""A larger file is not mapped: several copies of it, and of its values, are in memory together."""
HELD = 13
"""A map holds so many times the file's size: 4.5 GB for ViT-Base's 346 MB."""
LIMIT_S = 60.0
"""No further variant is mapped once all together have taken so long."""
SHARE = 0.05
"""The share of a search's budget that they may take."""
CALLS, START_S = 50, 2.0
"""About how many calls of the baseline a map takes, and the seconds beside them: seen with ViT-Base, 24 to 28 s where a
call takes 0.54 s, and with EfficientNet-Lite0, 2.6 s where it takes 0.01 s."""
_MOST_MB = show.megabytes(MOST_BYTES)
LABEL = "map"
_DRAWN: frozenset[Format] = frozenset({"onnx", "openvino"})
_OTHER_FORMAT = "its model is in the format {}, and a map is drawn of graphs in ONNX and in OpenVINO's own format"


def map_variants(
    plan: Plan,
    built: Mapping[str, Built],
    test: Split,
    progress: Callable[[str, float, str], None],
    start: Starter = fresh,
) -> list[VariantMap]:
    """The map of every variant that was built but the baseline, or why it has none; empty where none is asked for
    (``measure.map``) or nothing can be beside the baseline."""
    names = [name for name, one in built.items() if name != BASELINE and one.record.status == "ok"]
    if not is_wanted(plan) or not names:
        return []
    baseline = _last_onnx(built[BASELINE])
    found: list[VariantMap] = []
    began, limit_s = time.monotonic(), _limit_s(plan)
    for number, name in enumerate(names):
        progress(LABEL, number / len(names), name)
        if time.monotonic() - began > limit_s:
            reason = f"the maps before it took {limit_s:g} s, and that is all they may take together"
            found.append(VariantMap(variant=name, reason=reason))
            continue
        found.append(_mapped(plan, plan.variants[name], built[name], baseline, test, start))
    drawn = sum(one.reason is None for one in found)
    missing = "" if drawn == len(found) else f", the report says why not of {len(found) - drawn} more"
    progress(LABEL, 1.0, f"{drawn} graph{'' if drawn == 1 else 's'} beside the baseline's{missing}")
    return found


def expected_s(plan: Plan, variants: int, call_ms: float) -> float:
    """About how long the maps of so many variants take, where a call of the baseline takes ``call_ms``."""
    return min(_limit_s(plan), variants * (START_S + CALLS * call_ms / 1e3)) if is_wanted(plan) else 0.0


def is_wanted(plan: Plan) -> bool:
    """Whether maps are asked for."""
    return plan.measure.map and plan.measure.explain != "none"


def _limit_s(plan: Plan) -> float:
    """How long all maps may take; in a search a small part of its budget at most."""
    return LIMIT_S if plan.search is None else min(LIMIT_S, SHARE * plan.search.budget_s)


def _mapped(
    plan: Plan, variant: Variant, built: Built, baseline: Artifact | None, test: Split, start: Starter
) -> VariantMap:
    reason = _obstacle(built, baseline)
    if reason is not None or baseline is None:
        return VariantMap(variant=variant.name, reason=reason)
    chain = chain_of(variant, built)
    task = MapTask(
        variant=variant.name,
        baseline=baseline,
        chain=chain,
        reference=reference_in(variant, chain, baseline),
        examples=preprocess(test.take(0, EXAMPLES).inputs, plan.model.preprocessing),
    )
    failures: list[SlimlineError] = []
    with reasoned(failures.append):
        return run(mapped, task, limits=limits_for(plan), start=start)
    return VariantMap(variant=variant.name, reason=str(failures[0]))


def _obstacle(built: Built, baseline: Artifact | None) -> str | None:
    """Why a variant can't have a map; None where it may have one."""
    if baseline is None:
        return "the baseline was not exported to ONNX"
    if built.artifact.format not in _DRAWN:
        return _OTHER_FORMAT.format(built.artifact.format)
    size = max(built.artifact.size_bytes, baseline.size_bytes)
    if size > MOST_BYTES:
        return f"its file, or the baseline's, has {show.megabytes(size)} MB, and a map is made of {_MOST_MB} MB at most"
    free = available_memory_bytes()
    if free is not None and HELD * size > free:
        return f"it would hold about {show.megabytes(HELD * size)} MB of memory, and {show.megabytes(free)} MB are free"
    held = built.record.activation_bytes or 0
    if held > MOST_BYTES:
        return f"its values take {show.megabytes(held)} MB for one example, and {_MOST_MB} MB are held at most"
    return None


def _last_onnx(built: Built) -> Artifact | None:
    return next((artifact for artifact in reversed(built.artifacts) if artifact.format == "onnx"), None)


def chain_of(variant: Variant, built: Built) -> list[Step]:
    """The models at the end of a chain that are graphs. The stages before the first of them are told together, exports
    only where there is nothing else."""
    formats = [artifact.format for artifact in built.artifacts]
    first = max((place + 1 for place, format in enumerate(formats) if format not in _DRAWN), default=0)
    stages = list(variant.stages.items())
    before = [name for name, stage in stages[:first] if not is_export(stage)]
    label = " + ".join(before or [name for name, _ in stages[:first]])
    steps = [Step(artifact=built.artifacts[first], stage=label)]
    for (name, _), artifact in zip(stages[first:], built.artifacts[first + 1 :], strict=True):
        steps.append(Step(artifact=artifact, stage=name))
    return steps


def reference_in(variant: Variant, chain: list[Step], baseline: Artifact) -> int | None:
    """The model of a chain that errors are taken against: the last one before a stage that loses precision. None, for
    the baseline, where that is the same model, or no stage of an ONNX model does.

    Layers of other sizes, and values that are scaled for what comes, have no other model to be compared with.
    """
    lossy = [getattr(variant.stages.get(step.stage), "tolerance", 0.0) is None for step in chain[1:]]
    if True not in lossy:
        return None
    before = lossy.index(True)
    return None if chain[before].artifact.digest == baseline.digest else before
