"""``python -m pipeline inspect``: what a model is, and what could be done with it on this machine.

The model is imported and exported in processes of its own, as a run would do it. The store that they write into goes
with the command.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.data.batches import batch_of
from pipeline.data.dataset import Split, SplitName, preprocess
from pipeline.errors import WorkerFailed, keeping
from pipeline.inspection.graph import Graph, read_file, read_graph
from pipeline.inspection.inspection import Inspection, ModelFile, ModelInput, Next, Sizes, Suggested
from pipeline.inspection.outputs import outputs_of
from pipeline.inspection.states import advice, next_states
from pipeline.inspection.verdicts import chains, runtimes
from pipeline.isolated import run
from pipeline.measure.look import Look
from pipeline.plan import BASELINE, InputSignature, Plan, state_of
from pipeline.run.build import Builder
from pipeline.run.build import builder as making
from pipeline.run.building import limits_for, size_of
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.progress import ProgressDisplay
from pipeline.run.sifting import learnt
from pipeline.search.facts import Facts
from pipeline.store import StorePlace
from pipeline.zoo.source import OnnxModel, ProgramModel, ScriptModel

_EXAMPLES = 8
"""How many examples the model is run on."""


def inspect(plan: Plan, suggested: Suggested, console: Console) -> Inspection:
    """Look at the model of a plan whose variants and targets are those to be judged.

    Nothing is stored or timed. Raises UserError where the model can't be read or made, and where the data does not fit
    it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="slimline-inspect-") as folder,
        ProgressDisplay(console) as display,
    ):
        apart = StorePlace(folder=Path(folder) / "store")
        plan = with_fitted_data(replace(plan, store=apart, output=Path(folder) / "output"))
        splits = preflight(plan)
        display.step("looking", 0.0, "at the model")
        alone = replace(plan, variants={BASELINE: plan.variants[BASELINE]})
        with making(alone, lambda label, done, text: display.step("looking", 0.2, label)) as builder:
            seen = _look(builder, plan, splits)
        display.step("looking", 0.9, "at the chains and the targets")
        found = _put_together(plan, seen, suggested)
        display.step("looking", 1.0, "at the model, the chains and the targets")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the model's processes told."""

    file: ModelFile
    graph: Graph | None
    parameters: int | None
    macs: int | None
    look: Look | None
    sample: Mapping[str, np.ndarray[Any, Any]]
    """One example of each input, the examples first."""
    facts: Facts
    notes: Mapping[str, Any]
    warnings: Sequence[str]
    problems: Sequence[str]


def _look(builder: Builder, plan: Plan, splits: Mapping[SplitName, Split]) -> _Seen:
    source = builder.source()
    few = {**splits, "test": splits["test"].take(0, _EXAMPLES)}
    problems: list[str] = []
    look, notes = None, []
    with keeping(problems):
        known = acquainted(plan, source.artifact, few, builder.start)
        look, notes = known.look, list(known.notes)
    sample = preprocess(splits["test"].take(0, 1).inputs, plan.model.preprocessing)
    built = builder.build(plan.variants[BASELINE])
    of_data = [note for split in splits.values() for note in split.notes]
    warnings = [*source.facts["notes"].get("warnings", []), *of_data]
    if built.record.reason is not None:
        problems.append(f"the baseline can't be built: {built.record.reason}")
    baseline = built.artifact if built.artifacts else source.artifact
    shapes = {name: array.shape for name, array in batch_of(sample, 1).items()}
    graph = _graph(builder, baseline, shapes) if baseline.format == "onnx" else None
    size = None if graph is not None else _size(builder, source.artifact)
    return _Seen(
        file=_file(builder),
        graph=graph,
        parameters=size[0] if size else graph.parameters if graph else None,
        macs=size[1] if size else graph.macs if graph else None,
        look=look,
        sample=sample,
        facts=learnt(plan, baseline, sample, builder.start),
        notes=source.facts["notes"],
        warnings=[*dict.fromkeys([*warnings, *notes])],
        problems=problems,
    )


def _graph(builder: Builder, baseline: Artifact, shapes: Mapping[str, Sequence[int]]) -> Graph:
    return run(read_graph, baseline, shapes, limits=limits_for(builder.plan), start=builder.start)


def _size(builder: Builder, artifact: Artifact) -> tuple[int | None, int | None]:
    try:
        size = run(size_of, artifact, limits=limits_for(builder.plan), start=builder.start)
    except WorkerFailed:
        return None, None
    return size.parameters, size.macs


def _file(builder: Builder) -> ModelFile:
    model = builder.plan.model
    if isinstance(model, OnnxModel):
        return run(read_file, model.path, limits=limits_for(builder.plan), start=builder.start)
    if isinstance(model, (ProgramModel, ScriptModel)):
        return ModelFile(format="torch", path=str(model.path), size_bytes=model.path.stat().st_size)
    weights: Path | None = getattr(model, "weights", None)
    return ModelFile(
        format=model.format,
        path=None if weights is None else str(weights),
        factory=getattr(model, "factory", None),
        size_bytes=None if weights is None else weights.stat().st_size,
    )


def _put_together(plan: Plan, seen: _Seen, suggested: Suggested) -> Inspection:
    graph = seen.graph
    inputs = [_input(name, one, graph) for name, one in plan.model.signature().items()]
    outputs = outputs_of(graph, seen.look, seen.sample)
    states = {} if state_of(plan.model) else next_states(inputs, outputs)
    verdicts = chains(plan, seen.facts, suggested.about)
    worth = [chain.name for chain in verdicts if chain.verdict == "try"]
    return Inspection(
        model=plan.model.name,
        data=plan.data.name,
        file=seen.file,
        inputs=inputs,
        outputs=outputs,
        parameters=seen.parameters,
        macs=seen.macs,
        macs_at={} if graph is None else _without_batch(graph.macs_at, inputs),
        weights={} if graph is None else dict(graph.weights),
        operators={} if graph is None else dict(graph.operators),
        graph_opset=None if graph is None else graph.opset,
        quantized=None if graph is None else graph.quantized,
        cleaned=[*filter(None, [seen.notes.get("external_data")]), *seen.notes.get("import", [])],
        warnings=[*seen.warnings, *([advice(states)] if states else [])],
        problems=list(seen.problems),
        variants=verdicts,
        targets=runtimes(plan, seen.facts),
        next=Next(optimize=None, run=None) if seen.problems else _next(suggested, worth),
    )


def _without_batch(sizes: Mapping[str, int], inputs: Sequence[ModelInput]) -> dict[str, int]:
    """The sizes without the axes that count the examples."""
    shaped = [(one.shape, one.batch_axis) for one in inputs if one.shape and one.batch_axis is not None]
    examples = {shape[axis] for shape, axis in shaped if axis < len(shape)}
    return {name: size for name, size in sizes.items() if name not in examples}


def _input(name: str, signature: InputSignature, graph: Graph | None) -> ModelInput:
    declared = None if graph is None else graph.shapes.get(name)
    sizes: Sizes | None = None if signature.shape is None else list(signature.shape)
    if sizes is not None and declared is not None and len(declared) == len(sizes):
        named = zip(sizes, declared, strict=True)
        sizes = [symbol if size is None and isinstance(symbol, str) else size for size, symbol in named]
    return ModelInput(
        name=name,
        dtype=signature.dtype,
        shape=sizes,
        batch_axis=signature.batch_axis,
        below=signature.below,
    )


def _next(suggested: Suggested, worth: Sequence[str]) -> Next:
    """The search, and a run of the usual chains that are worth a try, or else of the first ones that are."""
    others = [name for name in worth if name != BASELINE]
    usual = [name for name in suggested.usual if name in others] or others[:3]
    variants = [] if suggested.chosen else [f"variant=[{','.join([BASELINE, *usual])}]"]
    return Next(optimize=suggested.optimize, run=shlex.join(["python", "-m", "pipeline", *variants, *suggested.run]))
