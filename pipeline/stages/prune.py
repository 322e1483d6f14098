"""Structured pruning: take out whole channels, with all that depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pipeline.artifact import Artifact, Format
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.plan import Context
from pipeline.stages.count import torch_macs
from pipeline.stages.patterns import check_matches, matches
from pipeline.torch_artifact import ModelSpec, as_tensors, example_inputs, load_module, load_spec, save_module

if TYPE_CHECKING:
    from torch import nn

Importance = Literal["l1", "l2", "bn_scale", "lamp", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Take the least important channels out of a PyTorch model (torch-pruning; Fang et al. 2023, arXiv:2301.12900).

    ``pruning_ratio`` is the share of channels taken out of each layer, or with ``global_pruning`` of all layers
    together. ``round_to`` keeps the channels left at a multiple of it, rounded down, as fast kernels like; null or 1:
    any number. ``importance`` ranks channels by the norm of their weights (l1, l2), the scale of their batch
    normalization (bn_scale, arXiv:1708.06519), layer-adaptive magnitude (lamp, arXiv:2010.07611), or at random, to
    compare with. ``ignored_layers`` are names or glob patterns of layers to leave whole; the layers that make the
    outputs always are. With ``iterative_steps`` the ratio is reached in so many steps, ranking anew in each.
    """

    pruning_ratio: float = 0.5
    importance: Importance = "l2"
    global_pruning: bool = False
    round_to: int | None = 8
    ignored_layers: tuple[str, ...] = ()
    iterative_steps: int = 1

    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torch-pruning")
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if not 0 < self.pruning_ratio < 1:
            raise ValueError(
                f"pruning_ratio must lie between 0 and 1: 0.5 takes out half of the channels (got {self.pruning_ratio})"
            )
        if self.importance not in get_args(Importance):
            raise ValueError(f"importance must be one of {', '.join(get_args(Importance))} (got {self.importance!r})")
        if self.round_to is not None and self.round_to < 1:
            raise ValueError(f"round_to must be at least 1 (got {self.round_to})")
        if self.iterative_steps < 1:
            raise ValueError(f"iterative_steps must be at least 1 (got {self.iterative_steps})")

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the pruned model; raises StageFailed where nothing can be pruned."""
        import torch

        spec = load_spec(source.path)
        module = load_module(source.path)
        layers = _layers(module)
        check_matches(
            "ignored_layers", "layer", self.ignored_layers, [name for name, _ in module.named_modules() if name]
        )
        before = {name: _channels(layer) for name, layer in layers.items()}
        size_before = _size(module, spec)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            history, outputs = self._prune(module, spec, context)
        after = {name: _channels(layer) for name, layer in layers.items()}
        alone = {name: self._why_alone(name, outputs) for name in layers if before[name] == after[name]}
        if not history:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in alone.items()) or "it has no layers to prune"
            raise StageFailed(f"no channel could be pruned ({reasons})")
        save_module(module, replace(spec, pruning_history=(*(spec.pruning_history or ()), tuple(history))), out)
        for fact, old, new in zip(("parameters", "macs"), size_before, _size(module, spec), strict=True):
            context.note(fact, {"before": old, "after": new})
        context.note("channels", {name: [before[name], after[name]] for name in layers if before[name] != after[name]})
        context.note("left_alone", alone)

    def _prune(self, module: nn.Module, spec: ModelSpec, context: Context) -> tuple[list[Any], set[str]]:
        """Prune in place; returns torch-pruning's history and the names of the layers that make the outputs."""
        import torch
        import torch_pruning

        names = {layer: name for name, layer in module.named_modules()}
        try:
            with torch.enable_grad():
                outputs = _output_layers(module, spec)
                ignored = [layer for layer, name in names.items() if name and matches(name, self.ignored_layers)]
                pruner = torch_pruning.pruner.BasePruner(
                    module,
                    example_inputs(spec),
                    importance=_importance(self.importance),
                    global_pruning=self.global_pruning,
                    pruning_ratio=self.pruning_ratio,
                    iterative_steps=self.iterative_steps,
                    ignored_layers=[*ignored, *outputs],
                    round_to=self.round_to,
                    # The library's defaults are dicts that all its pruners share and write to.
                    in_channel_groups={},
                    out_channel_groups={},
                    num_heads={},
                )
            for step in range(self.iterative_steps):
                pruner.step()
                context.progress((step + 1) / self.iterative_steps, f"step {step + 1} of {self.iterative_steps}")
        except (RuntimeError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
            raise StageFailed(f"torch-pruning can't follow this model's structure: {first_line(error)}") from error
        history = [
            (name, bool(is_output), [int(i) for i in indices]) for name, is_output, indices in pruner.pruning_history()
        ]
        return history, {names[layer] for layer in outputs}

    def _why_alone(self, name: str, outputs: set[str]) -> str:
        if name in outputs:
            return "makes an output"
        if matches(name, self.ignored_layers) or any(matches(parent, self.ignored_layers) for parent in _parents(name)):
            return "named in ignored_layers"
        return f"too few channels to take any out (round_to={self.round_to}), or tied to a layer that is left alone"


def _importance(name: Importance) -> Any:
    from torch_pruning import importance

    choices: Mapping[str, Any] = {
        "l1": lambda: importance.GroupMagnitudeImportance(p=1),
        "l2": lambda: importance.GroupMagnitudeImportance(p=2),
        "bn_scale": importance.BNScaleImportance,
        "lamp": importance.LAMPImportance,
        "random": importance.RandomImportance,
    }
    return choices[name]()


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers by name."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return {name: layer for name, layer in module.named_modules() if isinstance(layer, (_ConvNd, nn.Linear))}


def _channels(layer: nn.Module) -> int:
    return int(getattr(layer, "out_channels", None) or getattr(layer, "out_features"))  # noqa: B009  mypy


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _size(module: nn.Module, spec: ModelSpec) -> tuple[int, int | None]:
    return sum(parameter.numel() for parameter in module.parameters()), torch_macs(module, spec)


def _output_layers(module: nn.Module, spec: ModelSpec) -> list[nn.Module]:
    """The layers whose channels are those of an output; if they were pruned, the model's outputs would change shape.

    Found by going back from the outputs, up to the first layer that makes channels of its own.
    """
    from torch_pruning import DependencyGraph
    from torch_pruning.ops import OPTYPE

    makers: list[Any] = []

    def remember_makers(outputs: Any) -> Any:
        makers.extend(output.grad_fn for output in as_tensors(outputs))
        return outputs

    graph = DependencyGraph().build_dependency(
        module, example_inputs(spec), output_transform=remember_makers, verbose=False
    )
    own_channels = (OPTYPE.CONV, OPTYPE.LINEAR, OPTYPE.EMBED, OPTYPE.LSTM, OPTYPE.MHA, OPTYPE.PARAMETER)
    waiting = [node for node in graph.module2node.values() if node.grad_fn in makers]
    seen = set()
    found = []
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.type in own_channels:
            found.append(node.module)
            continue
        waiting.extend(node.inputs)
    return found
