"""Takes the pruned channels out of a module, layer by layer, and proves that they could go.

Channels that are taken out must not be missed where they were read. So a pruned module has to give what the whole one
gives once the weights that read those channels are 0. Where it does not (a softmax over the channels, a reshape that
mixes them), the group was not what it seemed, and must be left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifact.torch_module import ModelSpec, as_tensors, example_inputs
from pipeline.errors import first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

AGREEMENT = 1e-3
"""The largest difference, relative to the largest output; rounding stays far below it in fp32."""
FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, KeyError, IndexError, AttributeError)
Side = Literal["out", "in", "parameter"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where channels are cut: a layer's outputs or inputs, or an axis of a parameter that is no layer's."""

    name: str
    side: Side
    axis: int = 0


@dataclass(slots=True)
class Change:
    """Channels to take out at each place, and integer attributes that modules need afterwards."""

    cuts: dict[Place, set[int]] = field(default_factory=dict)
    attributes: dict[tuple[str, str], int] = field(default_factory=dict)
    """The new values, by a module's name and the attribute's."""

    def add(self, other: Change) -> None:
        """Add the cuts and attributes of another change."""
        for place, channels in other.cuts.items():
            self.cuts.setdefault(place, set()).update(channels)
        self.attributes.update(other.attributes)


def union(changes: Iterable[Change]) -> Change:
    """All changes at once; each change numbers the channels as before any cut."""
    whole = Change()
    for change in changes:
        whole.add(change)
    return whole


def apply(module: nn.Module, change: Change) -> None:
    """Take the channels out, in place."""
    from torch_pruning import DependencyGraph

    graph = DependencyGraph()
    pruners = {  # looked up before anything is cut: what is left may look like another kind of layer
        place: graph.get_pruner_of_module(module.get_submodule(place.name))
        for place in change.cuts
        if place.side != "parameter"
    }
    for place, channels in change.cuts.items():
        gone = sorted(channels)
        if place.side == "parameter":
            _cut_parameter(module, place, gone)
        elif place.side == "out":
            pruners[place].prune_out_channels(module.get_submodule(place.name), gone)
        else:
            pruners[place].prune_in_channels(module.get_submodule(place.name), gone)
    for (name, attribute), value in change.attributes.items():
        setattr(module.get_submodule(name), attribute, value)


def disagreement(module: nn.Module, change: Change, inputs: Sequence[torch.Tensor]) -> str | None:
    """The reason why a change can't be made, in a few words; None where the pruned module gives what it should."""
    import torch

    try:
        silenced, pruned = copy.deepcopy(module), copy.deepcopy(module)
        _silence(silenced, change.cuts)
        with torch.no_grad():
            expected = as_tensors(silenced(*inputs))
            apply(pruned, change)
            found = as_tensors(pruned(*inputs))
    except FAILURES as error:
        return f"without some of its channels the model does not run ({first_line(error)})"
    if [value.shape for value in expected] != [value.shape for value in found]:
        return "without some of its channels the outputs have other shapes"
    if _normalizes_groups(module, change):
        return None
    for before, after in zip(expected, found, strict=True):
        before, after = before.double(), after.double()
        if bool(((before - after).abs().amax() if before.numel() else before.sum()) > AGREEMENT * before.abs().amax()):
            return "its channels are read in a way that can't be followed: taking some out changes what the others do"
    return None


def probe_inputs(module: nn.Module, spec: ModelSpec) -> tuple[torch.Tensor, ...]:
    """Example inputs for ``disagreement``. Integers are 0 or 1 at random, where the model takes both: in a batch of
    equal tokens attention has nothing to choose from."""
    import torch

    generator = torch.Generator().manual_seed(0)
    plain = example_inputs(spec)
    varied = tuple(
        value if value.is_floating_point() else torch.randint(0, 2, value.shape, generator=generator).to(value.dtype)
        for value in plain
    )
    try:
        with torch.no_grad():
            outputs = as_tensors(module(*varied))
    except FAILURES:
        return plain
    return varied if all(bool(value.isfinite().all()) for value in outputs) else plain


def _cut_parameter(module: nn.Module, place: Place, gone: Sequence[int]) -> None:
    import torch

    owner_name, _, name = place.name.rpartition(".")
    owner = module.get_submodule(owner_name)
    values = getattr(owner, name)
    kept = [index for index in range(values.shape[place.axis]) if index not in set(gone)]
    setattr(owner, name, torch.nn.Parameter(values.data.index_select(place.axis, torch.tensor(kept))))


def _silence(module: nn.Module, cuts: Mapping[Place, set[int]]) -> None:
    """Set the weights to 0 that read the channels that will be taken out."""
    import torch

    for place, channels in cuts.items():
        if place.side != "in":
            continue
        layer: Any = module.get_submodule(place.name)
        gone = sorted(channels)
        with torch.no_grad():
            if isinstance(layer, torch.nn.Linear):
                layer.weight[:, gone] = 0
            elif layer.transposed:
                layer.weight[gone] = 0
            else:
                _silence_convolution(layer, gone)


def _silence_convolution(layer: Any, gone: Sequence[int]) -> None:
    """A convolution in groups has weights [out, in / groups, ...]; each group of outputs reads its own inputs."""
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for channel in gone:
        group = channel // inputs
        layer.weight[group * outputs : (group + 1) * outputs, channel % inputs] = 0


def _normalizes_groups(module: nn.Module, change: Change) -> bool:
    """Whether a group normalization is cut: its statistics change with the channels, so nothing can be compared."""
    from torch import nn

    places = (place for place in change.cuts if place.side != "parameter")
    return any(isinstance(module.get_submodule(place.name), nn.GroupNorm) for place in places)
