"""Low-rank factorization: a large layer becomes two small ones, by the singular values of its weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.artifact.count import count_module
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.torch_layers import layers_of, named_in
from pipeline.artifact.torch_module import ModelSpec, example_inputs, save_module, spec_of_pruned
from pipeline.bounds import Count, Part
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, first_line
from pipeline.patterns import check_matches
from pipeline.plan import Context
from pipeline.plan.roles import Role

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """Replace linear layers by two of a smaller rank, and convolutions by one with fewer outputs and a 1 x 1 one.

    A layer's weights, as a matrix [outputs, inputs x kernel], are cut to their largest singular values, which is the
    nearest matrix of that rank (Zhang et al. 2015, arXiv:1505.06798). A layer is replaced only where that takes fewer
    operations.
    """

    energy: Part | None = 0.9
    """The share of the sum of squared singular values to keep in each layer; null where ``rank_ratio`` is set."""
    rank_ratio: Part | None = None
    """The share of the number of singular values to keep, instead of ``energy``."""
    min_features: Count = 64
    """The fewest rows and columns of a layer's matrix; smaller layers stay."""
    round_to: Count | None = 8
    """Ranks are rounded up to a multiple of this, as fast kernels like; null or 1: any number."""
    ignored_layers: tuple[str, ...] = ()
    """Names or glob patterns of layers to leave whole."""

    role: ClassVar[Role] = "architecture"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if (self.energy is None) == (self.rank_ratio is None):
            raise ValueError("set either energy or rank_ratio, and the other to null")

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the factorized model; raises Skipped where no layer becomes cheaper."""
        import torch

        module, spec, merged = load_plain(source.path)
        check_matches(
            "ignored_layers", "layer", self.ignored_layers, [name for name, _ in module.named_modules() if name]
        )
        before = count_module(module, spec)
        with torch.no_grad():
            ranks, alone = self._factorize(module, spec, context)
        if not ranks:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in alone.items()) or "it has no such layers"
            raise Skipped(f"no layer becomes cheaper by a lower rank ({reasons})")
        rewrite = {"_target_": _REWRITE, "ranks": {name: rank for name, (rank, _) in ranks.items()}}
        save_module(module, spec_of_pruned(module, replace(spec, rewrites=(*spec.rewrites, rewrite))), out)
        for fact, old, new in zip(("parameters", "macs"), before, count_module(module, spec), strict=True):
            context.note(fact, {"before": old, "after": new})
        context.note("ranks", {name: list(pair) for name, pair in ranks.items()})
        context.note("left_alone", alone)
        if merged:
            context.note("made_plain", merged)

    def _factorize(
        self, module: nn.Module, spec: ModelSpec, context: Context
    ) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
        """Factorize in place; returns new and full rank by layer, and why other layers are left alone."""
        layers = layers_of(module)
        shared = _shared(module)
        ranks, alone = {}, {}
        for index, (name, layer) in enumerate(layers.items()):
            context.progress(index / len(layers), f"layer {index + 1} of {len(layers)}")
            found = self._rank(name, layer, shared)
            reason = found if isinstance(found, str) else _try(module, name, layer, found, spec)
            if reason is not None:
                alone[name] = reason
            elif isinstance(found, int):
                ranks[name] = found, min(_matrix(layer).shape)
        return ranks, alone

    def _rank(self, name: str, layer: nn.Module, shared: set[str]) -> int | str:
        """The rank to cut a layer to, or why it is left alone."""
        reason = self._why_whole(name, layer, shared)
        if reason is not None:
            return reason
        rows, columns = _matrix(layer).shape
        full = min(rows, columns)
        if full < self.min_features:
            return f"too small: {full} features, min_features={self.min_features}"
        rank = self._least_rank(layer, full)
        step = self.round_to or 1
        rank = math.ceil(rank / step) * step
        if rank * (rows + columns) >= rows * columns:
            return f"rank {rank} of {full} would take as many operations or more"
        return rank

    def _least_rank(self, layer: nn.Module, full: int) -> int:
        """Before rounding."""
        import torch

        if self.energy is None:
            assert self.rank_ratio is not None
            return max(1, round(self.rank_ratio * full))
        energies = torch.linalg.svdvals(_matrix(layer)).square().cumsum(0)
        return int((energies < self.energy * energies[-1]).sum()) + 1

    def _why_whole(self, name: str, layer: nn.Module, shared: set[str]) -> str | None:
        from torch import nn

        if named_in(name, self.ignored_layers):
            return "named in ignored_layers"
        if name in shared:
            return "shares its weights with another layer"
        if type(layer) not in (nn.Linear, nn.Conv2d):
            return f"is a {type(layer).__name__}, not nn.Linear or nn.Conv2d itself"
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            return f"has {layer.groups} groups"
        if layer._forward_hooks or layer._forward_pre_hooks:
            return "has hooks"
        return None


def factorize(module: nn.Module, ranks: Mapping[str, int]) -> None:
    """Put two layers of these ranks in place of each named one; their weights are not set. Loading a model uses this
    function."""
    for name, rank in ranks.items():
        module.set_submodule(name, _pair(module.get_submodule(name), rank))


_REWRITE = f"{__name__}.{factorize.__name__}"


def _pair(layer: nn.Module, rank: int) -> nn.Sequential:
    """Two layers with the shapes of a layer's factors, of random weights."""
    from torch import nn

    bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        first: nn.Module = nn.Conv2d(
            layer.in_channels,
            rank,
            layer.kernel_size,  # type: ignore[arg-type]  # pairs, once a layer is made
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            bias=False,
            padding_mode=layer.padding_mode,
        )
        second: nn.Module = nn.Conv2d(rank, layer.out_channels, 1, bias=bias)
    else:
        assert isinstance(layer, nn.Linear)
        first = nn.Linear(layer.in_features, rank, bias=False)
        second = nn.Linear(rank, layer.out_features, bias=bias)
    weight = layer.get_parameter("weight")
    return nn.Sequential(first, second).to(weight.device, weight.dtype).train(layer.training)


def _try(module: nn.Module, name: str, layer: nn.Module, rank: int, spec: ModelSpec) -> str | None:
    """Put a layer's factors in its place, unless the model can't do without the layer: then says why."""
    pair = _pair(layer, rank)
    for position, factor in enumerate(_factors(_matrix(layer), rank)):
        weight = pair.get_parameter(f"{position}.weight")
        weight.copy_(factor.view_as(weight))
    if layer.bias is not None:
        pair.get_parameter("1.bias").copy_(layer.get_parameter("bias"))
    module.set_submodule(name, pair)
    try:
        module(*example_inputs(spec))
    except (AttributeError, TypeError, RuntimeError) as error:
        module.set_submodule(name, layer)
        return f"the model reaches into it: {first_line(error)}"
    return None


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two factors of the nearest matrix of that rank, in the order of their use; as large as each other."""
    import torch

    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


def _matrix(layer: nn.Module) -> Tensor:
    """The weights as outputs x (inputs x kernel), in double precision."""
    weight: Tensor = layer.get_parameter("weight")
    return weight.detach().double().flatten(1)


def _shared(module: nn.Module) -> set[str]:
    """The names of modules that stand in several places, or one of whose parameters does."""
    places = [
        (name, id(value))
        for name, layer in module.named_modules(remove_duplicate=False)
        for value in layer._parameters.values()
        if value is not None
    ]
    counts = Counter(identity for _, identity in places)
    return {name for name, identity in places if counts[identity] > 1}
