"""What models share that are exported to ONNX when they come in: the exporter's settings, names of outputs, and the
proof that the ONNX model computes the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.artifact.agreement import unlike
from pipeline.artifact.onnx_exporter import exporter_errors, exporter_reason, quiet_exporter
from pipeline.artifact.run import session_at, typed
from pipeline.artifact.torch_module import as_tensors
from pipeline.errors import StageFailed, UserError, first_line

OPSET = 18
"""The opset that the dynamo exporter writes without converting."""
EXPORTERS = ("torch", "onnx", "onnxscript")
"""The distributions that decide what is written."""
_RELATIVE = 1e-4
"""The largest difference between a model and its export, relative to the largest output."""


@contextmanager
def exporting(path: Path) -> Iterator[None]:
    """Within, the exporters keep quiet, and what they raise becomes a UserError that names the model's file."""
    errors: tuple[type[Exception], ...] = (*exporter_errors(), StageFailed)
    with quiet_exporter():
        try:
            yield
        except errors as error:
            raise UserError(f"model.path={path} can't be exported to ONNX: {exporter_reason(error)}") from error


def output_names(found: Sequence[str], inputs: Collection[str]) -> list[str]:
    """Names for outputs: the keys or fields that were found, else ``output``, with numbers where there are several. A
    name that an input has gets ``_out`` behind it."""
    if all(part.isdigit() for name in found for part in name.split(".") if part):
        found = ["output"] if len(found) == 1 else [f"output_{place}" for place in range(len(found))]
    return [f"{name}_out" if name in inputs else name for name in found]


def require_same(
    path: Path, onnx: Path, model: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> None:
    """Raise UserError where the ONNX model gives something else than the model that it was exported from."""
    import torch

    given = as_tensors([*arguments, *keywords.values()])
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in as_tensors(model(*arguments, **keywords))]
    try:
        session = session_at(onnx)
        names = [value.name for value in session.get_inputs()]
        feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        reason = unlike(expected, session.run(None, typed(feed, session)), _RELATIVE)
    except (StageFailed, ValueError, RuntimeError) as error:
        reason = first_line(error)
    if reason is not None:
        raise UserError(f"model.path={path}: the ONNX model that was exported from it is not the same: {reason}")
