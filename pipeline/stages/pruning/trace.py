"""torch-pruning's graph of a module: which layer reads which one's channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_module import ModelSpec, as_tensors, example_inputs

if TYPE_CHECKING:
    from torch import nn


def trace(module: nn.Module, spec: ModelSpec) -> tuple[Any, set[Any]]:
    """The graph, and the layers whose channels are an output's channels.

    They are found by going back from the outputs, up to the first layer that makes channels of its own; if they were
    pruned, the outputs would change shape.
    """
    from torch import nn
    from torch_pruning import DependencyGraph
    from torch_pruning.ops import OPTYPE
    from torch_pruning.pruner.function import LSTMPruner

    makers: list[Any] = []

    def remember_makers(outputs: Any) -> Any:
        makers.extend(output.grad_fn for output in as_tensors(outputs))
        return outputs

    with _recurrent_layers_as_one(module):
        graph = DependencyGraph().build_dependency(
            module,
            example_inputs(spec),
            output_transform=remember_makers,
            customized_pruners={nn.GRU: LSTMPruner(), nn.RNN: LSTMPruner()},  # never pruned, but seen as layers
            verbose=False,
        )
    own_channels = (
        OPTYPE.CONV, OPTYPE.LINEAR, OPTYPE.EMBED, OPTYPE.LSTM, OPTYPE.MHA, OPTYPE.PARAMETER, OPTYPE.CUSTOMIZED
    )  # fmt: skip
    waiting = [node for node in graph.module2node.values() if node.grad_fn in makers]
    seen = set()
    found = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.type in own_channels:
            found.add(node.module)
            continue
        waiting.extend(node.inputs)
    return graph, found


@contextmanager
def _recurrent_layers_as_one(module: nn.Module) -> Iterator[None]:
    """Make each recurrent layer a single step on the way back; else its many inner ones are taken for layers."""
    from torch import Tensor, nn
    from torch.autograd import Function

    class OneStep(Function):
        """Hands the results on, as made of the inputs."""

        @staticmethod
        def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(tensor.clone() for tensor in tensors[:count])

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            raise NotImplementedError("only followed, never run")

    def one_step(layer: nn.RNNBase) -> Any:
        import torch

        def forward(inputs: Any, state: Any = None) -> Any:
            if not isinstance(inputs, Tensor):
                return type(layer).forward(layer, inputs, state)  # packed sequences keep their own form
            with torch.no_grad():
                states, last = type(layer).forward(layer, inputs, state)
            made = (states, *as_tensors(last))
            weight = next(layer.parameters())  # so that there is a way on, even where the inputs are the model's
            states, *rest = OneStep.apply(len(made), *made, inputs, weight)  # type: ignore[no-untyped-call]
            return states, (rest[0] if isinstance(last, Tensor) else tuple(rest))

        return forward

    layers = [layer for layer in module.modules() if isinstance(layer, nn.RNNBase)]
    try:
        for layer in layers:
            layer.forward = one_step(layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
