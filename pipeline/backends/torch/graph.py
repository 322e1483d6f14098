"""CUDA graphs: a shape's kernels are recorded once, and launched as one from then on.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WARM_CALLS = 3
"""How many calls come before a capture, during which nothing may be allocated or chosen for the first time."""
Shapes = tuple[tuple[int, ...], ...]
Recorded = tuple[Callable[[], None], Any]
"""The function that launches a graph, and the outputs that the graph then fills."""


@dataclass(frozen=True, slots=True)
class Graphed:
    """A model that is captured for every shape of the inputs, at its first call.

    The outputs of a call are overwritten by the next call of the same shape.
    """

    run: Callable[..., Any]
    capture: Callable[[Callable[[], Any]], Recorded]
    graphs: dict[Shapes, tuple[list[torch.Tensor], Recorded]] = field(default_factory=dict)

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Copy the inputs to the places that the graph reads, and launch it."""
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        if shapes not in self.graphs:
            places = [tensor.clone() for tensor in inputs]
            self.graphs[shapes] = places, self.capture(lambda: self.run(*places))
        places, (launch, outputs) = self.graphs[shapes]
        _fill(places, inputs)
        launch()
        return outputs


def capture(call: Callable[[], Any]) -> Recorded:
    """Record a call on the GPU; raises RuntimeError where the call does something that a graph can't hold."""
    import torch

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()
    return graph.replay, outputs


def _fill(places: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> None:
    for place, tensor in zip(places, inputs, strict=True):
        place.copy_(tensor)
