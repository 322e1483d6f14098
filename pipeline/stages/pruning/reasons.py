"""Gives the reasons why layers are left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_layers import layer_types, layers_of, named_in

if TYPE_CHECKING:
    from torch import nn

NOT_REACHED = "not on a way from the inputs to the outputs that can be followed"
IGNORED = "named in ignored_layers"
_OUTPUT = "makes an output"


@dataclass(frozen=True, slots=True)
class Judge:
    """Says why the layers of one group are left alone."""

    graph: Any
    group: Any
    names: Mapping[nn.Module, str]
    outputs: set[Any]
    ignored: Sequence[str]

    def why_alone(self, layer: str) -> str | None:
        """The reason for leaving a layer alone; None where there is none."""
        own = self.graph.model.get_submodule(layer)
        reasons = sorted(self._reasons(), key=lambda entry: not isinstance(entry[0], layer_types()))
        for target, reason in reasons:
            if target is own:
                return reason
        for target, reason in reasons:
            name = self.names.get(target)
            if name is None:
                return reason
            if reason is _OUTPUT or reason is IGNORED:
                return f"tied to a layer that is left alone: '{name}', which is {reason}"
            return reason
        return None

    def _reasons(self) -> Iterator[tuple[Any, str]]:
        """Each module or parameter that forbids pruning, with what it is."""
        from torch import nn

        shared = _shared_weights(self.graph.model)
        recurrent = [layer for layer in self.names if isinstance(layer, nn.RNNBase)]
        for dep, _ in self.group:
            target = dep.target.module
            name = self.names.get(target)
            out = self.graph.is_out_channel_pruning_fn(dep.handler)
            if out and name is not None and named_in(name, self.ignored):
                yield target, IGNORED
            elif out and target in self.outputs:
                yield target, _OUTPUT
            elif isinstance(target, nn.RNNBase):
                yield target, f"tied to the recurrent layer '{name}', which is left alone"
            elif isinstance(target, nn.Parameter):
                owner = next((layer for layer in recurrent if any(target is own for own in layer.parameters())), None)
                if owner is not None:
                    yield target, f"tied to the recurrent layer '{self.names[owner]}', which is left alone"
            elif isinstance(target, nn.MultiheadAttention):
                yield target, f"of the hidden width, which the attention '{name}' has for its inputs and outputs"
            elif isinstance(target, (nn.Embedding, nn.EmbeddingBag)):
                yield target, f"of the hidden width, which the embedding '{name}' has too"
            elif isinstance(target, (nn.LayerNorm, nn.RMSNorm)):
                yield target, f"of the hidden width, which '{name}' normalizes as a whole"
            if target in shared:
                yield target, f"shares its weights with '{shared[target]}'"


def _shared_weights(module: nn.Module) -> dict[nn.Module, str]:
    """Modules that hold a parameter of another one's, with that one's name."""
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, layer))
    shared = {}
    for holders in owners.values():
        for _, layer in holders:
            others = [other for other, held in holders if held is not layer]
            if others:
                shared[layer] = others[0]
    return shared


def unreached(module: nn.Module, known: set[str]) -> dict[str, str]:
    """Layers that no group holds, and layers of kinds that are never pruned."""
    from torch import nn

    reasons = {}
    attention = {name: own for name, own in module.named_modules() if isinstance(own, nn.MultiheadAttention)}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase):
            reasons[name] = "a recurrent layer: its state has the same width in every step"
        elif name in attention:
            reasons[name] = "torch.nn.MultiheadAttention has one width for its inputs and all its heads together"
        elif isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
            reasons[name] = "an embedding: its width is the hidden width"
    for name in layers_of(module):
        if name not in known:
            inside = next((outer for outer in attention if name.startswith(f"{outer}.")), None)
            reasons[name] = NOT_REACHED if inside is None else f"part of the attention '{inside}', which is left alone"
    return reasons
