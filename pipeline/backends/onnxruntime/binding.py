"""ONNX Runtime through IO binding: a shape's outputs are allocated once, and not in every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.run import typed
from pipeline.data.batches import Feed, Inputs, axes_of
from pipeline.plan import Device

if TYPE_CHECKING:
    import onnxruntime

_NO_GRAPH = -1
_FLOATS = ("tensor(float16)", "tensor(float)", "tensor(double)")
Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """The places bound for one shape of the inputs."""

    binding: onnxruntime.IOBinding
    inputs: dict[str, onnxruntime.OrtValue]
    """The inputs' places in an accelerator's memory, which keep their addresses (CUDA graphs need that)."""
    outputs: list[onnxruntime.OrtValue]
    options: onnxruntime.RunOptions
    """The options of a run: they name the CUDA graph of this shape, where there is one. The second run captures it, and
    later runs launch it."""


@dataclass(frozen=True, slots=True)
class BoundSession:
    """A loaded model whose inputs and outputs lie where it computes. The outputs of a call are handed over as copies,
    since the next call writes to the same places."""

    session: onnxruntime.InferenceSession
    device: Device
    device_id: int
    graph: bool = False
    """Whether the provider captures CUDA graphs."""
    bound: dict[Shapes, Bound] = field(default_factory=dict)
    graphs: Iterator[int] = field(default_factory=count)
    """The numbers of the CUDA graphs to come."""

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch."""
        shapes = tuple(array.shape for array in feed.values())
        found = self.bound.get(shapes)
        if found is None:
            found = self.bound[shapes] = self._bind(feed)
        for name, array in feed.items():
            if self.device == "cpu":
                found.binding.bind_cpu_input(name, np.require(array, requirements="C"))
            else:
                found.inputs[name].update_inplace(np.require(array, requirements="C"))
        self.session.run_with_iobinding(found.binding, found.options)
        return [np.array(output.numpy()) for output in found.outputs]

    def as_read(self, feed: Feed) -> Feed:
        """The batch in the types that the model reads."""
        return as_read(self.session, feed)

    def resident(self, feed: Feed) -> BoundBatch:
        """Copy a batch to the device."""
        found = self._bind(feed)
        found.options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return BoundBatch(self.session, found)

    def _bind(self, feed: Feed) -> Bound:
        """Let a first call find out how large the outputs are, and keep their places."""
        import onnxruntime

        binding = self.session.io_binding()
        inputs = {}
        for name, array in feed.items():
            place = onnxruntime.OrtValue.ortvalue_from_numpy(
                np.require(array, requirements="C"), self.device, self.device_id
            )
            binding.bind_ortvalue_input(name, place)
            inputs[name] = place
        names = [output.name for output in self.session.get_outputs()]
        for name in names:
            binding.bind_output(name, self.device, self.device_id)
        # Not to be captured: its outputs lie where the binding has put them, and not where they are kept.
        self.session.run_with_iobinding(binding, _run_options(_NO_GRAPH if self.graph else None))
        outputs = list(binding.get_outputs())
        for name, place in zip(names, outputs, strict=True):
            binding.bind_ortvalue_output(name, place)
        options = _run_options(next(self.graphs) if self.graph else None)
        return Bound(binding, {} if self.device == "cpu" else inputs, outputs, options)


@dataclass(frozen=True, slots=True)
class BoundBatch:
    """A batch that lies where the session computes."""

    session: onnxruntime.InferenceSession
    bound: Bound

    def enqueue(self) -> None:
        """Ask for one run."""
        self.session.run_with_iobinding(self.bound.binding, self.bound.options)

    def wait(self) -> None:
        """Return once the outputs are there."""
        self.bound.binding.synchronize_outputs()


def as_read(session: onnxruntime.InferenceSession, feed: Feed) -> Feed:
    """The batch with its floating-point arrays in the widths that a session reads: float16 after a conversion that
    keeps no fp32 inputs."""
    floats = {value.name for value in session.get_inputs() if value.type in _FLOATS}
    given = {name: array for name, array in feed.items() if name in floats and array.dtype.kind == "f"}
    read = typed(given, session)
    if all(read[name] is array for name, array in given.items()):
        return feed
    return Inputs({**feed, **read}, axes_of(feed))


def _run_options(graph: int | None) -> onnxruntime.RunOptions:
    import onnxruntime

    options = onnxruntime.RunOptions()
    if graph is not None:
        options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
