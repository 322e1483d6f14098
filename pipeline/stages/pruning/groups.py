"""Finds the groups of channels that depend on each other, and for each the reason why it is left alone, if it is.

A worked example is in docs/pruning.md, "What a group is".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_layers import layer_types, named_in
from pipeline.artifact.torch_module import ModelSpec
from pipeline.errors import first_line
from pipeline.stages.pruning.cut import FAILURES, Change, Place
from pipeline.stages.pruning.graph_heads import find_attention_in_graph
from pipeline.stages.pruning.heads import Attention, find_attention, group_of, understood
from pipeline.stages.pruning.reasons import IGNORED, NOT_REACHED, Judge, unreached
from pipeline.stages.pruning.trace import trace

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """A group that can be made narrower: its ``units`` go or stay, and each holds some channels of the group's first
    layer."""

    group: Any
    """torch-pruning's group, with all channels."""
    layers: tuple[str, ...]
    """The convolutions and linear layers whose outputs it holds."""
    units: Sequence[Sequence[int]]
    attention: Attention | None = None
    """The attention whose heads the units are; None where the units are channels."""

    @property
    def kind(self) -> tuple[str, ...]:
        """Groups of the same kind are built alike (Fang et al. 2024, arXiv:2407.04616)."""
        return tuple(f"{type(dep.target.module).__name__} {dep.handler.__name__}" for dep, _ in self.group)

    def without(self, module: nn.Module, units: Sequence[int]) -> Change:
        """The change to the module when these units go."""
        if self.attention is not None:
            return self.attention.without(module, units)
        graph = self.group._DG
        first = self.group[0].dep
        channels = [channel for unit in units for channel in self.units[unit]]
        return _change(graph, graph.get_pruning_group(first.target.module, first.handler, channels))


@dataclass(slots=True)
class Groups:
    """The groups of a module that can be pruned, and by layer the reason why the rest can't."""

    prunable: list[Prunable] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


def find_groups(module: nn.Module, spec: ModelSpec, ignored: Sequence[str], probe: Sequence[torch.Tensor]) -> Groups:
    """Follow the channels through the module. ``ignored`` are names or patterns of layers to leave whole; ``probe`` are
    the inputs that attention is tried on."""
    graph, outputs = trace(module, spec)
    names = {layer: name for name, layer in module.named_modules()}
    found = Groups()
    attended: set[str] = set()
    for attention in (*find_attention(module), *find_attention_in_graph(module, probe)):
        attended.update(attention.layers)
        try:
            prunable, reason = _attention_group(attention, graph, ignored, probe)
        except FAILURES as error:
            prunable, reason = None, f"its heads can't be followed ({first_line(error)})"
        if prunable is not None:
            found.prunable.append(prunable)
        found.reasons.update(dict.fromkeys(attention.layers, reason) if reason else {})
    visited: set[str] = set()
    for root in (layer for layer in graph.module2node if isinstance(layer, layer_types())):
        if names[root] in visited:
            continue
        visited.add(names[root])
        try:
            group = _group_of(graph, root)
            layers = tuple(names[layer] for layer in _producers(graph, group))
            visited.update(layers)
            if not attended & set(layers):
                _judge(found, layers, group, Judge(graph, group, names, outputs, ignored))
        except FAILURES as error:
            found.reasons[names[root]] = unfollowed(error)
    found.reasons.update(unreached(module, {*found.reasons, *attended, *_all_layers(found)}))
    return found


def unfollowed(error: Exception) -> str:
    """The reason of a group that torch-pruning can't follow."""
    return f"its channels can't be followed ({first_line(error)})"


def _group_of(graph: Any, root: nn.Module) -> Any:
    """The group of all output channels of a layer."""
    pruner = graph.get_pruner_of_module(root)
    return graph.get_pruning_group(root, pruner.prune_out_channels, list(range(pruner.get_out_channels(root))))


def _judge(found: Groups, layers: tuple[str, ...], group: Any, judge: Judge) -> None:
    units, reason = _units(judge.graph, group)
    reasons = {layer: judge.why_alone(layer) or reason for layer in layers}
    if not any(reasons.values()):
        found.prunable.append(Prunable(group=group, layers=layers, units=units))
    found.reasons.update({layer: reason for layer, reason in reasons.items() if reason})


def _all_layers(groups: Groups) -> set[str]:
    return {layer for prunable in groups.prunable for layer in prunable.layers}


def _producers(graph: Any, group: Any) -> Iterator[nn.Module]:
    """The convolutions and linear layers that make the group's channels."""
    seen = set()
    for dep, _ in group:
        layer = dep.target.module
        out = graph.is_out_channel_pruning_fn(dep.handler)
        if out and isinstance(layer, layer_types()) and layer not in seen:
            seen.add(layer)
            yield layer


def _change(graph: Any, group: Any) -> Change:
    """A group's cuts by the names of its layers."""
    from torch import nn

    change = Change()
    for dep, channels in group:
        target = dep.target.module
        if isinstance(target, nn.Parameter):
            place = Place(graph._param_to_name[target], "parameter", dep.target.pruning_dim)
        elif target in graph._module2name:
            place = Place(graph._module2name[target], "out" if graph.is_out_channel_pruning_fn(dep.handler) else "in")
        else:
            continue  # an operation without weights
        change.add(Change({place: set(channels)}))
    return change


def _units(graph: Any, group: Any) -> tuple[list[list[int]], str | None]:
    """The channels that go together: one each, or one of each group where a layer works in groups of channels."""
    from torch import nn

    count = len(group[0].idxs)
    splits = {1}
    for dep, _ in group:
        layer = dep.target.module
        if isinstance(layer, nn.GroupNorm):
            splits.add(layer.num_groups)
        elif isinstance(layer, layer_types()[0]) and not layer.groups == layer.out_channels == layer.in_channels:
            splits.add(layer.groups)
    most = max(splits)
    if any(most % other for other in splits) or count % most:
        return [], f"its {count} channels are divided into groups in several ways"
    size = count // most
    return [[start + part * size for part in range(most)] for start in range(size)], None


def _attention_group(
    attention: Attention, graph: Any, ignored: Sequence[str], probe: Sequence[torch.Tensor]
) -> tuple[Prunable | None, str | None]:
    from torch_pruning import prune_linear_in_channels, prune_linear_out_channels

    module = graph.model
    if any(named_in(layer, ignored) for layer in attention.layers):
        return None, IGNORED
    layer = module.get_submodule(attention.layers[-1])
    if layer not in graph.module2node:
        return None, NOT_REACHED
    group = graph.get_pruning_group(layer, prune_linear_out_channels, list(range(layer.out_features)))
    readers = [
        graph._module2name[dep.target.module]
        for dep, _ in group
        if dep.handler == prune_linear_in_channels and dep.target.module.in_features == attention.width
    ]
    attention, reason = understood(attention, module, list(dict.fromkeys(readers)), probe)
    if reason is not None:
        return None, reason
    units = [attention.channels([head]) for head in range(attention.heads)]
    return Prunable(group=group_of(attention, graph), layers=attention.layers, units=units, attention=attention), None
