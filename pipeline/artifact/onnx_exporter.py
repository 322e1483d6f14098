"""What all exports to ONNX share: PyTorch's exporters kept quiet, what they raise, and their graphs put right."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact.files import SINGLE_FILE_BYTES
from pipeline.errors import StageFailed
from pipeline.libraries.muted import errors_only

if TYPE_CHECKING:
    import torch
    from torch.onnx import ONNXProgram

_TRACES = "pkg.torch.onnx."


def save_exported(
    program: ONNXProgram | None, path: Path, names: Iterable[str], weights: Iterable[torch.Tensor]
) -> None:
    """Write what the dynamo exporter gave. ``names`` are those of the inputs and outputs. Large ``weights`` lie beside
    the file.

    Raises StageFailed where there is no program.
    """
    if program is None:
        raise StageFailed("the dynamo exporter gave no model")
    _rename_internal_values(program.model, set(names))
    _drop_traces(program.model)
    large = sum(tensor.numel() * tensor.element_size() for tensor in weights)
    program.save(path, external_data=large > SINGLE_FILE_BYTES)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporters' remarks on themselves away from the user."""
    from torch.jit._trace import TracerWarning

    registration = "torch.onnx._internal.exporter._registration"  # it warns that torchvision, not needed, is missing
    with errors_only(registration), warnings.catch_warnings():
        # torch warns of its own use of what it deprecates, and recommends the other exporter.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        # What tracing took for a constant shows when the output is checked, at another batch than the example's.
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", "# The axis name: (batch|length) will not be used", UserWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1 can be constant folded", UserWarning)
        warnings.filterwarnings("ignore", "`torch.jit.* is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "no signature found for .*ScriptMethod", UserWarning)
        yield


def exporter_errors() -> tuple[type[Exception], ...]:
    """What the exporters raise for a model that they can't follow."""
    from torch.onnx import errors

    return (
        errors.OnnxExporterError,
        errors.OnnxExporterWarning,
        RuntimeError,
        ValueError,
        TypeError,
        NotImplementedError,
    )


def exporter_reason(error: Exception) -> str:
    """The first line of what an exporter says."""
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _rename_internal_values(model: Any, reserved: set[str]) -> None:
    """Give internal values other names than the inputs and outputs.

    The dynamo exporter names an internal value after its layer, so that an output of the same name is defined twice,
    and ONNX Runtime refuses the model.
    """
    graph = model.graph
    outer = {id(value) for value in (*graph.inputs, *graph.outputs)}
    for node in graph:
        for value in node.outputs:
            if id(value) not in outer and value.name in reserved:
                value.name = f"{value.name}_internal"
    for name in reserved & set(graph.initializers):
        value = graph.initializers[name]
        if id(value) not in outer:
            value.name = f"{name}_internal"


def _drop_traces(model: Any) -> None:
    """Remove stack traces, which hold the paths of source files of this machine."""
    for holder in (model, model.graph, *model.graph, *(value for node in model.graph for value in node.outputs)):
        for key in [key for key in holder.metadata_props if key.startswith(_TRACES)]:
            del holder.metadata_props[key]
