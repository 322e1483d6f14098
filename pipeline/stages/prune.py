"""Structured pruning: take out whole channels and heads, with all that depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pipeline.artifact import Artifact, Format
from pipeline.artifact.count import count_module
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.torch_layers import layers_of
from pipeline.artifact.torch_module import ModelSpec, save_module, spec_of_pruned
from pipeline.bounds import Count, Part, ShareBelowOne
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped
from pipeline.machine.instruction_sets import vector_floats
from pipeline.patterns import check_matches
from pipeline.plan import Context
from pipeline.plan.roles import Role
from pipeline.stages.pruning.importance import CALIBRATED, Importance
from pipeline.stages.pruning.pruner import ROUNDED, Pruner, Recipe
from pipeline.stages.pruning.rank import Scope
from pipeline.stages.pruning.sensitivity import sensitivity
from pipeline.stages.pruning.target import Search, check_target

if TYPE_CHECKING:
    from torch import nn

UNKNOWN_VECTOR = 8


class _Reads:
    """The splits that a stage reads: ``taylor`` and ``reconstruction`` look at calibration examples, ``sensitivity`` is
    judged on validation examples."""

    def __get__(self, stage: Prune | None, owner: type[Prune]) -> frozenset[SplitName]:
        if stage is None:
            return frozenset()
        reads: dict[SplitName, bool] = {
            "calibration": stage.importance in CALIBRATED,
            "validation": bool(stage.sensitivity),
        }
        return frozenset(split for split, is_read in reads.items() if is_read)


class _Measures:
    """Whether a stage measures: a target of latency is reached on this machine."""

    def __get__(self, stage: Prune | None, owner: type[Prune]) -> bool:
        return stage is not None and "latency" in (stage.target or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Take the least important channels and attention heads out of a PyTorch model.

    torch-pruning follows which channels depend on each other (Fang et al. 2023, arXiv:2301.12900). Heads go as a whole.
    The hidden width of a transformer stays, and so do recurrent layers and the layers that make the outputs; the note
    ``left_alone`` says why, layer by layer. Weights that are computed at each call (weight_norm, spectral_norm) become
    plain ones first; ``made_plain`` names them. Before channels of a group go, the model without them is compared with
    the model whose weights for them are 0; a group for which the two differ is left alone, too.
    """

    pruning_ratio: Part | None = 0.5
    """The share of the channels that goes; null where there is a ``target``."""
    target: Mapping[str, float] | None = None
    """A target instead of a ratio; the mildest ratio that reaches it is searched for. ``{macs: 0.5}`` and
    ``{parameters: 0.5}`` are shares of the whole model's, ``{size_mb: 4}`` is millions of bytes of weights.
    ``{latency: 0.6}`` is a share of the whole model's time. It is measured as the run's own rows are, on the first
    target that runs ONNX on the CPU, and reached where the upper end of the interval is."""
    importance: Importance = "l2"
    """The rank of a channel: the norm of its weights (l1, l2), the scale of its batch normalization (bn_scale,
    arXiv:1708.06519), layer-adaptive magnitude (lamp, arXiv:2010.07611), the change of the loss to first order (taylor;
    Molchanov et al. 2019), what the outputs lose where ``Compensate`` makes up for it (reconstruction;
    ``pipeline.stages.pruning.reconstruction``), or random, to compare with."""
    importance_examples: Count = 128
    """How many calibration examples taylor and reconstruction take."""
    scope: Scope = "local"
    """The channels that are ranked together: each group of layers by itself (local), all groups, and all heads
    (global), or groups that are built alike (isomorphic, arXiv:2407.04616). ``macs`` ranks all channels and heads
    together, by score for each MAC of the layers that make and read them (Kwon et al. 2022, arXiv:2204.09656), and the
    ratio is then a share of these MACs; taylor and reconstruction have scores that compare so."""
    round_to: Count | None = None
    """The number of channels left is a multiple of this, rounded down, as fast kernels like. null: as many as this
    processor's vectors hold numbers, or half as many, and so on, where no layer is wide enough. 1: any number."""
    ignored_layers: tuple[str, ...] = ()
    """Names or patterns of layers to leave whole."""
    layer_ratios: Mapping[str, ShareBelowOne] = field(default_factory=dict)
    """Ratios of their own, by a layer's name or a pattern; 0 leaves a layer whole."""
    iterative_steps: Count = 1
    """In how many steps the ratio is reached; each step ranks anew."""
    sensitivity: tuple[Part, ...] = ()
    """Ratios by which each group of layers is pruned by itself, before any training. The accuracy of each such model on
    the validation split is noted and drawn, and tells which layers to spare by ``layer_ratios``."""

    role: ClassVar[Role] = "architecture"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 3
    reads: ClassVar[frozenset[SplitName]] = cast("frozenset[SplitName]", _Reads())  # by the fields, as a property
    measures: ClassVar[bool] = cast("bool", _Measures())
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torch-pruning")
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if (self.pruning_ratio is None) == (self.target is None):
            raise ValueError(
                "pruning_ratio and target exclude each other: set one of them, and the other to null "
                f"(got pruning_ratio {self.pruning_ratio} and target {self.target})"
            )
        if self.target is not None:
            check_target(self.target)

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"round_to": self._multiple(isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the pruned model; raises Skipped where nothing can be pruned, or nothing here can be timed, and
        StageFailed where the target can't be reached."""
        whole, spec, merged = load_plain(source.path)
        names = [name for name, _ in whole.named_modules() if name]
        check_matches("ignored_layers", "layer", self.ignored_layers, names)
        check_matches("layer_ratios", "layer", self.layer_ratios, names)
        if self.sensitivity:
            context.note("pruned_alone", self._sensitivity(whole, spec, source, context))
        ratio = self._ratio(whole, spec, source, context)
        pruner = self._pruned(ratio, whole, spec, source, context)
        module = pruner.module
        before, after = _widths(whole), _widths(module)
        changed = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
        alone = {
            name: pruner.reasons[name]
            for name, _ in module.named_modules()
            if name in pruner.reasons and name not in changed
        }
        if not changed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in alone.items()) or "it has no layers to prune"
            raise Skipped(f"no channel could be pruned ({reasons})")
        save_module(module, spec_of_pruned(module, replace(spec, kept=pruner.kept)), out)
        before_after = count_module(whole, spec), count_module(module, spec)
        for fact, old, new in zip(("parameters", "macs"), *before_after, strict=True):
            context.note(fact, {"before": old, "after": new})
        context.note("pruning_ratio", ratio)
        context.note("round_to", pruner.recipe.round_to)
        context.note("channels", changed)
        if pruner.heads:
            context.note("heads", {name or "model": list(counts) for name, counts in pruner.heads.items()})
        context.note("left_alone", alone)
        if merged:
            context.note("made_plain", merged)

    def _pruned(self, ratio: float, whole: nn.Module, spec: ModelSpec, source: Artifact, context: Context) -> Pruner:
        """The pruner after its work. Where the processor's multiple is too large for every group, half of it is tried,
        and so on: nobody asked for that multiple."""
        pruner = self._pruner(source, spec, context)
        while True:
            pruner.prune(ratio, context.progress if self.target is None else _quiet)
            multiple = pruner.recipe.round_to
            too_large = any(ROUNDED in reason for reason in pruner.reasons.values())
            asked = self.round_to is not None or self.target is not None
            if asked or multiple == 1 or not too_large or _widths(pruner.module) != _widths(whole):
                return pruner
            pruner = self._pruner(source, spec, context, multiple // 2)

    def _ratio(self, whole: nn.Module, spec: ModelSpec, source: Artifact, context: Context) -> float:
        if self.target is None:
            assert self.pruning_ratio is not None
            return self.pruning_ratio

        def make(ratio: float) -> nn.Module:
            pruner = self._pruner(source, spec, context)
            pruner.prune(ratio, _quiet)
            return pruner.module

        search = Search(make=make, whole=whole, spec=spec, source=source, context=context)
        return search.ratio_for(self.target)

    def _sensitivity(self, whole: nn.Module, spec: ModelSpec, source: Artifact, context: Context) -> dict[str, Any]:
        def make(ratios: Mapping[str, float]) -> nn.Module:
            alone = replace(self._recipe(context.isa), layer_ratios=ratios)
            pruner = Pruner(module=load_plain(source.path)[0], spec=spec, recipe=alone, context=context)
            pruner.prune(0.0, _quiet)
            return pruner.module

        groups = self._pruner(source, spec, context).groups()
        return sensitivity(make, whole, groups, self.sensitivity, spec, context)

    def _pruner(self, source: Artifact, spec: ModelSpec, context: Context, multiple: int | None = None) -> Pruner:
        module, _, _ = load_plain(source.path)
        recipe = self._recipe(context.isa)
        if multiple is not None:
            recipe = replace(recipe, round_to=multiple)
        return Pruner(module=module, spec=spec, recipe=recipe, context=context, kept=dict(spec.kept or {}))

    def _multiple(self, isa: frozenset[str]) -> int:
        return self.round_to or vector_floats(isa) or UNKNOWN_VECTOR

    def _recipe(self, isa: frozenset[str]) -> Recipe:
        return Recipe(
            importance=self.importance,
            importance_examples=self.importance_examples,
            scope=self.scope,
            round_to=self._multiple(isa),
            ignored_layers=tuple(self.ignored_layers),
            layer_ratios=self.layer_ratios,
            steps=self.iterative_steps,
        )


def _quiet(done: float, text: str) -> None:
    """A trial's own progress is not told."""


def _widths(module: nn.Module) -> dict[str, int]:
    """Output channels of the convolutions and linear layers, by name."""
    layers: Mapping[str, Any] = layers_of(module)
    return {name: int(getattr(layer, "out_channels", 0) or layer.out_features) for name, layer in layers.items()}
