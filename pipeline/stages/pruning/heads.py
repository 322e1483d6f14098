"""Finds attention by names, and takes its heads out as a whole.

Inside a head queries meet keys channel by channel, and layers split their width by a number of heads that they
remember. So channels can't go one by one, and the number has to follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.stages.pruning.cut import Change, Place, disagreement

if TYPE_CHECKING:
    import torch
    from torch import nn

HEADS = ("heads", "num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "num_head", "nheads")
WIDTHS = ("all_head_size", "inner_dim", "attention_size", "attn_dim", "qkv_dim")
"""Attributes that hold heads times the size of a head."""
SEPARATE = (
    ("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"), ("to_q", "to_k", "to_v"),
    ("q_lin", "k_lin", "v_lin"), ("wq", "wk", "wv"), ("q_linear", "k_linear", "v_linear"), ("Wq", "Wk", "Wv"),
    ("query_proj", "key_proj", "value_proj"), ("linear_q", "linear_k", "linear_v"),
)  # fmt: skip
FUSED = ("qkv", "to_qkv", "qkv_proj", "in_proj", "query_key_value", "Wqkv", "c_attn", "attn_qkv", "qkv_linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One attention module: the layers that make queries, keys and values, and the one that reads the result."""

    name: str
    """The module that remembers the number of heads, or the softmax where the model was made of a graph."""
    heads: int
    layers: tuple[str, ...]
    """The three layers of queries, keys and values, or one that makes all three."""
    width: int
    """The number of channels of the queries: heads times the size of a head."""
    reader: str | None
    """The linear layer that reads the result; None where it was not found."""
    parameters: tuple[str, ...] = ()
    """The parameters that may have an entry for each head."""
    interleaved: bool = False
    """Whether a fused layer has the queries, keys and values of the first head first, then those of the second, and so
    on. If not, all queries come first, then all keys, then all values."""
    any_width: bool = False
    """Whether every integer of the module that equals ``width`` follows; if not, only integers with the usual names
    do."""

    @property
    def head_size(self) -> int:
        """The number of channels of a head."""
        return self.width // self.heads

    def channels(self, heads: Iterable[int]) -> list[int]:
        """The heads' channels at the reader."""
        return [channel for head in heads for channel in range(head * self.head_size, (head + 1) * self.head_size)]

    def rows(self, layer: str) -> list[int]:
        """The channel at the reader that each output of one of ``layers`` belongs to."""
        if len(self.layers) == 3:
            return list(range(self.width))
        if self.interleaved:
            return [channel for head in range(self.heads) for channel in 3 * self.channels([head])]
        return 3 * list(range(self.width))

    def without(self, module: nn.Module, heads: Sequence[int]) -> Change:
        """The change to the module when these heads go."""
        assert self.reader is not None
        gone = set(self.channels(heads))
        change = Change({Place(self.reader, "in"): set(gone)})
        for layer in self.layers:
            change.cuts[Place(layer, "out")] = {row for row, channel in enumerate(self.rows(layer)) if channel in gone}
        for name in self.parameters:
            axes = [axis for axis, size in enumerate(module.get_parameter(name).shape) if size == self.heads]
            if len(axes) == 1:
                change.cuts[Place(name, "parameter", axes[0])] = set(heads)
        left = self.heads - len(heads)
        for attribute, value in vars(module.get_submodule(self.name)).items():
            if type(value) is not int:
                continue
            if attribute in HEADS and value == self.heads:
                change.attributes[self.name, attribute] = left
            elif value == self.width and (attribute in WIDTHS or self.any_width):
                change.attributes[self.name, attribute] = left * self.head_size
        return change


def find_attention(module: nn.Module) -> Iterator[Attention]:
    """Each module that has a number of heads and linear layers for queries, keys and values."""
    from torch import nn

    for name, own in module.named_modules():
        heads = next((vars(own)[known] for known in HEADS if type(vars(own).get(known)) is int), None)
        if heads is None or isinstance(own, nn.MultiheadAttention):
            continue
        linear = {child: layer for child, layer in own.named_children() if isinstance(layer, nn.Linear)}
        layers = next((names for names in SEPARATE if set(names) <= set(linear)), None)
        fused = next((known for known in FUSED if known in linear), None)
        if layers is None and fused is None:
            continue
        chosen: tuple[str, ...] = layers or (str(fused),)
        width = linear[chosen[0]].out_features // (3 if layers is None else 1)
        prefix = f"{name}." if name else ""
        readers = [
            f"{prefix}{child}"
            for child, layer in own.named_modules()
            if isinstance(layer, nn.Linear) and child not in chosen and layer.in_features == width
        ]
        yield Attention(
            name=name,
            heads=heads,
            layers=tuple(f"{prefix}{layer}" for layer in chosen),
            width=width,
            reader=readers[0] if len(readers) == 1 else None,
            parameters=tuple(f"{prefix}{parameter}" for parameter, _ in own.named_parameters(recurse=False)),
        )


def understood(
    attention: Attention, module: nn.Module, readers: Sequence[str], inputs: Sequence[torch.Tensor]
) -> tuple[Attention, str | None]:
    """The attention as it works when a head is taken out, or the reason why none can be.

    ``readers`` are the linear layers that read the results of the attention's layers, as the graph tells.
    """
    if attention.heads < 2:
        return attention, "has a single head"
    outputs = {module.get_submodule(layer).out_features for layer in attention.layers}
    if len(outputs) > 1:
        return attention, "has fewer heads for keys and values than for queries, or other widths"
    if attention.width % attention.heads or attention.width * (1 if len(attention.layers) == 3 else 3) not in outputs:
        return attention, f"its width is no multiple of its {attention.heads} heads"
    if attention.reader is None:
        if len(readers) != 1:
            return attention, "the linear layer that reads its result could not be told"
        attention = replace(attention, reader=readers[0])
    reason = None
    for interleaved in (False, True) if len(attention.layers) == 1 else (False,):
        for any_width in (False, True):
            trial = replace(attention, interleaved=interleaved, any_width=any_width)
            reason = disagreement(module, trial.without(module, [0]), inputs)
            if reason is None:
                return trial, None
    return attention, f"its heads can't be taken out: {reason}"


def group_of(attention: Attention, graph: Any) -> Any:
    """A group in torch-pruning's form, to rank the attention's channels with."""
    from torch_pruning import prune_linear_in_channels, prune_linear_out_channels
    from torch_pruning.dependency import Dependency, Group

    assert attention.reader is not None
    group = Group()
    every = list(range(attention.width))
    for name, prune, roots in (
        (attention.reader, prune_linear_in_channels, every),
        *((layer, prune_linear_out_channels, attention.rows(layer)) for layer in attention.layers),
    ):
        node = graph.module2node[graph.model.get_submodule(name)]
        group.add_dep(Dependency(prune, prune, source=node, target=node), list(range(len(roots))))
        group[len(group) - 1].root_idxs = roots
    return group
