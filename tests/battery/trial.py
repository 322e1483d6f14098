"""Builds one model's variants and runs them on every target, as a run would, without timing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from hydra import compose, initialize_config_module
from numpy.typing import NDArray

from pipeline.analyse.accuracy import runtime_remarks
from pipeline.artifact import Artifact
from pipeline.artifact.agreement import difference
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.proof import rounding_of
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.torch import Torch
from pipeline.config import build as plan_of
from pipeline.config import register
from pipeline.data.batches import Axes, Inputs, axes_of
from pipeline.data.dataset import Split, SplitName, preprocess
from pipeline.data.fitted import Wanted
from pipeline.data.noise import Drawn, Noise
from pipeline.errors import SlimlineError
from pipeline.isolated import Limits, run
from pipeline.isolated.template import Template
from pipeline.measure.likeness import likenesses
from pipeline.measure.look import Look, look
from pipeline.measure.outputs import Kept
from pipeline.plan import BASELINE, ModelSource, Plan, Target
from pipeline.run.accuracy import samples_of
from pipeline.run.build import Builder
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.rows import Row, rows
from pipeline.store import StorePlace
from pipeline.zoo.source import OnnxModel, TorchModel
from tests.battery import graphs, interfaces, networks, operators
from tests.battery.making import Make

IMPORTED = (
    "torch", "onnx", "onnxruntime.quantization", "openvino", "pipeline.run.building", "pipeline.measure.look",
)  # fmt: skip
"""What the processes that models are built and run in have imported."""
ROUNDING = 2e-3
"""The share of the largest value that rounding explains."""
UNLIKE_DB, WORSE_DB = 8.0, 6.0
"""Two runtimes' integer kernels differ in their results by less than the first, and in their errors by the second."""
WORDLESS = re.compile(
    r"(?:^|: )(?:Assertion|Attribute|Import|Index|Key|Name|NotImplemented|Recursion|Type|ZeroDivision)Error\b"
)
"""The errors of a program that did not foresee something, which tell a user nothing."""
SIZES = (
    "data=random", "data._target_=tests.battery.trial.LabelledNoise", "data.length=6", "data.size=16", "metric=cosine",
    "data.examples={test:24,calibration:16,train:24,validation:16}",
)  # fmt: skip


class LabelledNoise(Noise):
    """Noise with labels of three classes, which some stages train on."""

    def drawn_for(self, wanted: Mapping[str, Wanted], axes: Axes) -> Drawn:
        drawn = super().drawn_for(wanted, axes)
        return Labelled(data=drawn.data, inputs=drawn.inputs)


class Labelled(Drawn):
    """What ``LabelledNoise`` draws for one model."""

    def split(self, name: SplitName) -> Split:
        split = super().split(name)
        return replace(split, labels=np.arange(len(split)) % 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What became of one variant on one target."""

    variant: str
    target: str
    reason: str | None = None
    """Why there is no result; None where there is one that agrees."""
    skipped: bool = False
    """Whether the reason is that the variant does not apply, or has nothing to do."""
    remark: str | None = None
    """What a report says of its outputs."""
    fault: str | None = None
    """What is wrong with it that nobody was told, or told without words."""


def traps() -> dict[str, str]:
    """The names of all models of the battery, with what each is a trap by."""
    return {name: inspect.getdoc(thing) or "" for name, thing in [*_files().items(), *_networks().items()]}


def made(name: str, folder: Path) -> ModelSource:
    """Write a model of the battery below ``folder``."""
    folder.mkdir(parents=True)
    if name in _networks():
        network = _networks()[name]
        factory = f"{network.__module__}.{network.__qualname__}"
        return TorchModel(name=name, factory=factory, weights=None, inputs=network.inputs, outputs=network.outputs)
    make = Make(folder)
    _files()[name](make)
    return OnnxModel(path=make.path)


def planned(format: str, variants: Sequence[str], targets: Sequence[str], *overrides: str) -> Plan:
    """A plan of the variants and targets, for models of one format; ``trial`` puts the model in."""
    register(make_folders=False)
    model = {
        "onnx": ("model=onnx", "model.path=-"),
        "torch": (
            "model=torch",
            "model.factory=-",
            "model.weights=null",
            "data.below=20",
            "model.inputs={x: {shape: [1]}}",
        ),
    }
    chosen = (f"variant=[{','.join(variants)}]", f"target=[{','.join(targets)}]")
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        return plan_of(compose("config", [*model[format], *SIZES, *chosen, *overrides]), Path("-"), "battery")


def trial(plan: Plan, model: ModelSource, folder: Path, template: Template) -> list[Cell]:
    """Build every variant and run it on every target; a refused model has a single cell, without a variant."""
    plan = replace(plan, model=model, store=StorePlace(folder=folder / "store"), output=folder / "run")
    try:
        return list(_Trial.of(plan, template).cells())
    except SlimlineError as error:
        return [Cell(variant="", target="", reason=str(error), fault=_wordless(str(error)))]


def gives_scores(cell: Cell) -> bool:
    """Whether quantization-aware training took the model for a classifier, and refused it only because the cosine, by
    which the battery judges, is no metric for classes."""
    return "metric cosine is for models without classes" in (cell.reason or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    plan: Plan
    builder: Builder
    inputs: Inputs
    template: Template

    @classmethod
    def of(cls, plan: Plan, template: Template) -> _Trial:
        """Do what a run does before it builds; raises SlimlineError where it refuses the model."""
        plan = with_fitted_data(plan)
        splits = preflight(plan)
        builder = Builder(plan, lambda *_: None, template)
        source = builder.source().artifact
        plan = acquainted(plan, source, splits, template).plan
        fixed = fixed_batch_of(source, axes_of(plan.data.split("test").inputs))
        plan = builder.plan = replace(plan, batch_sizes=(fixed or 1,))
        inputs = preprocess(plan.data.split("test").inputs, plan.model.preprocessing)
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return cls(plan=plan, builder=builder, inputs=Inputs(arrays, inputs.axes), template=template)

    def cells(self) -> Iterator[Cell]:
        built = {name: self.builder.build(variant) for name, variant in self.plan.variants.items()}
        if built[BASELINE].record.status != "ok":
            raise SlimlineError(f"the baseline could not be built: {built[BASELINE].record.reason}")
        table = rows(self.plan, built)
        ran = {_place(row): self._look(row.artifact, row.target) for row in table if row.artifact is not None}
        looks = {place: found for place, found in ran.items() if isinstance(found, Look)}
        told, truth, first = self._remarks(looks), self._truth(), _first(looks)
        for row in table:
            place = _place(row)
            said = row.record.reason or (str(ran[place]) if place not in looks else None)
            cell = Cell(
                variant=row.record.variant,
                target=row.record.target,
                reason=said,
                skipped=row.record.status == "skipped",
                remark=told.get(place),
                fault=_wordless(said) if said is not None else None,
            )
            if said is None and cell.remark is None and row.artifact is not None:
                exact = all(stage.lossless for stage in built[cell.variant].record.stages)
                allowed = max(ROUNDING, rounding_of(row.artifact)) if exact else None
                fault = _disagreement(truth, first[cell.variant], looks[place], allowed)
                if fault and allowed is not None and fixed_batch_of(row.artifact, axes_of(self.inputs)) == 1:
                    fault = self._apart_alone(looks[place], allowed)
                cell = replace(cell, fault=fault)
            yield cell

    def _remarks(self, looks: Mapping[str, Look]) -> Mapping[str, str]:
        """What a report says of rows whose outputs depend on the runtime."""
        folders = {place: self.plan.output / "kept" / place for place in looks}
        for place, found in looks.items():
            pairs = zip(found.axes, found.outputs, strict=True)
            Kept([[None if axis is None else np.asarray(output) for axis, output in pairs]]).save(folders[place])
        return runtime_remarks(replace(samples_of(self.plan), likeness=likenesses(folders, self.plan.measure)))

    def _truth(self) -> Look | str:
        """The outputs of the file as it is, with no optimization, or of the PyTorch model."""
        source, model = self.builder.source().artifact, self.plan.model
        if not isinstance(model, OnnxModel):
            return self._look(source, Target(name="eager", backend=Torch()))
        plain = Target(name="plain", backend=OnnxRuntime(), session={"graph_level": "disable"})
        found = self._look(Artifact(model.path.parent, "onnx", ""), plain)
        return found if isinstance(found, Look) else self._look(source, plain)

    def _apart_alone(self, found: Look, allowed: float) -> str | None:
        """How the first example's outputs differ where it is alone in its call: a model may compute with all examples
        of a call together, and a variant of a fixed batch gets fewer of them."""
        one = replace(self, inputs=Inputs({name: array[:1] for name, array in self.inputs.items()}, self.inputs.axes))
        pairs = zip(found.outputs, found.axes, strict=True)
        first = replace(found, outputs=[output if axis is None else output[:1] for output, axis in pairs])
        return _disagreement(one._truth(), first, first, allowed)

    def _look(self, artifact: Artifact, target: Target) -> Look | str:
        try:
            return run(look, artifact, target, self.inputs, limits=Limits(seconds=120.0), start=self.template)
        except SlimlineError as error:
            return str(error)


def _place(row: Row) -> str:
    return f"{row.record.variant}@{row.record.target}"


def _first(looks: Mapping[str, Look]) -> Mapping[str, Look]:
    """Each variant's outputs on the first target that ran it."""
    found: dict[str, Look] = {}
    for place, seen in looks.items():
        found.setdefault(place.partition("@")[0], seen)
    return found


def _disagreement(truth: Look | str, first: Look, found: Look, allowed: float | None) -> str | None:
    """How a variant's outputs are not what they should be; ``allowed`` is the share of the largest value that an exact
    variant may differ by, None: it is lossy."""
    if isinstance(truth, str):
        return f"the file itself: {truth}"
    return _astray(truth, first, found) if allowed is None else _apart(truth, found, allowed)


def _apart(expected: Look, found: Look, allowed: float) -> str | None:
    """How outputs of one name differ by more than the allowed share of the largest value."""
    wanted, given = expected.by_name(), found.by_name()
    counted = dict(zip(found.names, found.axes, strict=True))
    for name, output in given.items():
        if name not in wanted:
            return f"there is an output '{name}', and there should be {', '.join(wanted)}"
        if counted[name] is None:
            continue  # what it holds may follow from the whole batch
        said = difference(np.asarray(wanted[name]), np.asarray(output), allowed)
        if said is not None:
            return f"output '{name}' {said}"
    return None


def _astray(truth: Look, first: Look, found: Look) -> str | None:
    """How a lossy variant does far worse on one target than on the first."""
    for name, output in found.by_name().items():
        exact, before, after = (np.asarray(part) for part in (truth.by_name()[name], first.by_name()[name], output))
        if before.shape != after.shape:
            return f"output '{name}' {difference(before, after, 0.0)}"
        if exact.dtype.kind != "f" or exact.shape != after.shape:
            continue
        here, there, between = _decibel(exact, after), _decibel(exact, before), _decibel(before, after)
        if between < UNLIKE_DB and there - here > WORSE_DB:
            return f"output '{name}' lies {here:.1f} dB above its error, and {there:.1f} dB on the first target"
    return None


def _decibel(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Signal to noise."""
    exact, found = (np.nan_to_num(part.astype(float), posinf=0.0, neginf=0.0) for part in (before, after))
    signal, noise = float(np.square(exact).sum()), float(np.square(exact - found).sum())
    return 10 * float(np.log10(signal / noise)) if noise and signal else np.inf


def _wordless(reason: str) -> str | None:
    return f"no words: {reason}" if WORDLESS.search(reason) or not reason.strip() else None


def _files() -> Mapping[str, Callable[[Make], None]]:
    """The functions that write ONNX files."""
    modules = (interfaces, graphs, operators)
    return {name: thing for module in modules for name, thing in _own(module) if inspect.isfunction(thing)}


def _networks() -> Mapping[str, type[networks.Trap]]:
    return {name: thing for name, thing in _own(networks) if hasattr(thing, "forward")}


def _own(module: ModuleType) -> list[tuple[str, Any]]:
    """What a module defines and describes."""
    return [
        (name, thing)
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__ and thing.__doc__
    ]
