"""Runs a model on examples, on the CPU, and finds the batch in each of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.files import Artifact, Format
from pipeline.artifact.onnx_graph import batch_first, fixed_batch_in, fixed_batch_of
from pipeline.artifact.openvino_model import compiled
from pipeline.data.batches import Axes, Feed, Inputs, axes_of, batch, count_of, starts, together
from pipeline.errors import StageFailed, first_line

if TYPE_CHECKING:
    import onnxruntime
    import torch

BATCH = 16
THREADS = 2
FATAL_ONLY = 4
"""The log level of fatal errors only: ONNX Runtime raises what it logs as an error, too."""
Outputs = list[NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A model's outputs for N examples."""

    outputs: Outputs
    """The outputs [N, ...], whatever axis the batch is on in the model; [N, 0] where an output has no batch."""
    names: Sequence[str]
    left_out: Mapping[int, str]
    """The reason why an output is empty here, by its place."""
    count: int
    """N."""


def run(artifact: Artifact, feed: Feed) -> Outputs:
    """The model's outputs [N, ...] for all N examples, on the CPU; raises StageFailed where it can't be run."""
    return ran(artifact, feed).outputs


def ran(artifact: Artifact, feed: Feed, size: int | None = None, limit_s: float | None = None) -> Ran:
    """The outputs, as ``run`` gives them, with their names and the outputs that were left out.

    A model that leaves its batch free gets ``size`` examples a call; None: as many as are usual here. With ``limit_s``
    the calls end as soon as they have taken so many seconds, and the outputs are those of the first examples.
    """
    return _RUN[artifact.format](artifact, feed, size, limit_s)


def ran_as_written(artifact: Artifact, feed: Feed, size: int | None = None) -> Ran:
    """The outputs of an ONNX model, with every operator as it is written: nothing is fused, and no integer kernel takes
    Q/DQ pairs. A value at the edge of two steps of int8 is rounded to the one or the other by its last bit."""
    return _run_onnx(artifact, feed, size, None, as_written=True)


def session_of(artifact: Artifact) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime on the CPU, as all checks run it; raises StageFailed where it can't be loaded."""
    return session_at(artifact.onnx_path)


def session_at(path: Path, *, integers: bool = True, optimized: bool = True) -> onnxruntime.InferenceSession:
    """The same, for a file of any name; without ``integers`` no integer kernel takes Q/DQ pairs, and if it is not
    ``optimized`` every operator runs as it is written."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not integers:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _onnxruntime_errors() as error:
        raise StageFailed(f"ONNX Runtime can't load {path.name}: {first_line(error)}") from error


def fixed_batch(session: onnxruntime.InferenceSession, axes: Axes) -> int | None:
    """The only batch size that a loaded model takes, None where any will do; ``axes`` says where its inputs have it."""
    return fixed_batch_in(batch_first({value.name: value.shape for value in session.get_inputs()}, axes))


def _run_onnx(
    artifact: Artifact, feed: Feed, size: int | None, limit_s: float | None, *, as_written: bool = False
) -> Ran:
    session = session_at(artifact.onnx_path, integers=not as_written, optimized=not as_written)
    inputs = [value.name for value in session.get_inputs()]
    names = [value.name for value in session.get_outputs()]
    _check_inputs(inputs, feed)

    def call(part: Feed) -> list[Any]:
        outputs: list[Any] = session.run(None, typed(part, session))
        return outputs

    try:
        return _in_batches(call, _of(feed, inputs), fixed_batch(session, axes_of(feed)) or size, names, limit_s)
    except _onnxruntime_errors() as error:
        raise StageFailed(f"ONNX Runtime can't run {artifact.onnx_path.name}: {first_line(error)}") from error


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.EPFail, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoModel,
        state.NotImplemented, state.RuntimeException, ValueError,
    )  # fmt: skip


def typed(feed: Feed, session: onnxruntime.InferenceSession) -> dict[str, NDArray[Any]]:
    """The arrays in the types that a session reads."""
    kinds = {value.name: value.type for value in session.get_inputs()}
    return {name: array.astype(_dtype(kinds[name]), copy=False) for name, array in feed.items()}


def _dtype(name: str) -> Any:
    kinds = {"float": "float32", "double": "float64", "string": "str"}
    kind = name.removeprefix("tensor(").removesuffix(")")
    return np.dtype(kinds.get(kind, kind))


def _run_torch(artifact: Artifact, feed: Feed, size: int | None, limit_s: float | None) -> Ran:
    import torch

    from pipeline.artifact.torch_module import as_tensors, frozen, load_module, load_spec

    spec = load_spec(artifact.path)
    module = frozen(load_module(artifact.path))
    names = [entry.name for entry in spec.inputs]
    _check_inputs(names, feed)

    def call(part: Feed) -> list[Any]:
        tensors = [torch.from_numpy(part[entry.name]).to(getattr(torch, entry.dtype)) for entry in spec.inputs]
        return [_in_numpy(output) for output in as_tensors(module(*tensors))]

    with torch.inference_mode(), _torch_threads(THREADS):
        try:
            return _in_batches(call, _of(feed, names), size, spec.outputs, limit_s)
        except RuntimeError as error:
            raise StageFailed(f"PyTorch can't run the model: {first_line(error)}") from error


def _in_numpy(output: torch.Tensor) -> NDArray[Any]:
    """NumPy has no bfloat16, whose values are all in float32."""
    import torch

    array: NDArray[Any] = (output.float() if output.dtype == torch.bfloat16 else output).numpy()
    return array


def _run_openvino(artifact: Artifact, feed: Feed, size: int | None, limit_s: float | None) -> Ran:
    model = compiled(artifact, THREADS)
    _check_inputs(list(model.inputs), feed)
    size = fixed_batch_of(artifact, axes_of(feed)) or size
    return _in_batches(model, _of(feed, list(model.inputs)), size, model.outputs, limit_s)


_RUN: Mapping[Format, Callable[[Artifact, Feed, int | None, float | None], Ran]] = {
    "onnx": _run_onnx,
    "openvino": _run_openvino,
    "torch": _run_torch,
}


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of(feed: Feed, names: Sequence[str]) -> Inputs:
    return Inputs({name: feed[name] for name in names}, axes_of(feed))


def _check_inputs(names: Sequence[str], feed: Feed) -> None:
    missing = [name for name in names if name not in feed]
    if missing:
        raise StageFailed(
            f"the data has no input '{missing[0]}', which the model reads: the data has {', '.join(feed)}, "
            f"the model has {', '.join(names)}"
        )


def _in_batches(
    call: Callable[[Feed], list[Any]], feed: Feed, size: int | None, names: Sequence[str], limit_s: float | None
) -> Ran:
    """Run all examples, ``size`` at a time; one at a time where a model that leaves its batch free takes no more."""
    collect = partial(_collected, call, feed, names, limit_s)
    if size:
        return collect(size)
    size = together(feed, min(BATCH, count_of(feed)))
    try:
        found = collect(size)
    except Exception as error:  # noqa: BLE001 - the model's code and both runtimes raise what they like
        return _one_by_one(collect, error)
    none_has_a_batch = len(found.left_out) == len(found.outputs)
    return collect(1) if none_has_a_batch else found


def _one_by_one(collect: Callable[[int], Ran], error: Exception) -> Ran:
    """The outputs of a model with a batch of 1 written inside; raises the error that a larger batch gave where this
    fails, too."""
    try:
        return collect(1)
    except Exception:  # noqa: BLE001
        raise error from None


def _collected(
    call: Callable[[Feed], list[Any]], feed: Feed, names: Sequence[str], limit_s: float | None, size: int
) -> Ran:
    """All examples in batches of ``size``, the last one filled up, or as many as the time allows; and of each output
    what has the batch."""
    count = count_of(feed)
    made = [call(batch(feed, start, size, size)) for start in starts(count, size, limit_s)]
    return collected(made, size, min(count, size * len(made)), names)


def collected(calls: Sequence[Sequence[Any]], size: int, count: int, names: Sequence[str]) -> Ran:
    """Of each output of calls of ``size`` examples what has the batch, for the first ``count`` examples."""
    joined = [_joined(parts, size, count) for parts in zip(*calls, strict=True)]
    return Ran(
        outputs=[np.zeros((count, 0), np.float32) if isinstance(found, str) else found for found in joined],
        names=[names[place] if place < len(names) else str(place) for place in range(len(joined))],
        left_out={place: found for place, found in enumerate(joined) if isinstance(found, str)},
        count=count,
    )


def _joined(parts: Sequence[Any], size: int, count: int) -> NDArray[Any] | str:
    """One output of all calls as [count, ...], or why it can't be had."""
    if not all(isinstance(part, np.ndarray) for part in parts):
        return "it is not a tensor"
    if parts[0].dtype.kind not in "biuf":
        return f"its values are no numbers ({parts[0].dtype})"
    if len({part.ndim for part in parts}) > 1:
        return "its number of axes changes from batch to batch"
    axes = [axis for axis in range(parts[0].ndim) if all(part.shape[axis] == size for part in parts)]
    if not axes:
        return f"no axis of its shape {list(parts[0].shape)} is the batch of {size}"
    moved = [np.moveaxis(part, axes[0], 0) for part in parts]
    if len({part.shape for part in moved}) > 1:
        return "its shape changes from batch to batch"
    return np.concatenate(moved)[:count]
