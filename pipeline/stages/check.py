"""A stage's output proves itself: it loads, it runs, and it agrees with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.errors import StageFailed, first_line
from pipeline.stages.graph import CONTRIBUTED, opset

if TYPE_CHECKING:
    import onnx
    import onnxruntime

BATCH = 16
THREADS = 2
ERRORS_ONLY = 3
_EARLY = "LayerNormalization"
_EARLY_OPSET = 17
Outputs = list[NDArray[Any]]


def check_output(source: Artifact, output: Artifact, tolerance: float | None, feed: Feed) -> dict[str, Any]:
    """Compare a stage's output with its source on the examples of ``feed`` and return the drift between them.

    ``tolerance`` is the largest difference allowed, relative to the source's largest output; None: any. The drift holds
    ``sqnr_db`` (signal to quantization noise, over all examples), ``cosine`` (mean over the examples), ``cosine_min``,
    ``max_abs``, and ``worst_example``, the one with the largest difference; a figure that does not exist or is infinite
    is None. Raises StageFailed where the output is no valid model, can't be loaded or run, has other outputs than its
    source, is not finite, or differs too much.
    """
    if output.format == "onnx":
        _check_onnx(output)
    expected = run(source, feed)
    found = run(output, feed)
    _check_shapes(expected, found)
    _check_finite(expected, found)
    _check_tolerance(expected, found, tolerance)
    return drift(expected, found)


def run(artifact: Artifact, feed: Feed) -> Outputs:
    """The model's outputs [N, ...] for all N examples, on the CPU; raises StageFailed where it can't be run."""
    return _run_onnx(artifact, feed) if artifact.format == "onnx" else _run_torch(artifact, feed)


def _check_onnx(output: Artifact) -> None:
    import onnx

    try:
        onnx.checker.check_model(_as_onnx_knows_it(output), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise StageFailed(f"the output is not a valid ONNX model: {first_line(error)}") from error


def _run_onnx(artifact: Artifact, feed: Feed) -> Outputs:
    session = session_of(artifact)
    inputs = {value.name: value for value in session.get_inputs()}
    _check_inputs(list(inputs), feed)
    fixed = fixed_batch(session)

    def call(batch: Feed) -> Outputs:
        typed = {name: array.astype(_dtype(inputs[name].type), copy=False) for name, array in batch.items()}
        outputs: Outputs = session.run(None, typed)
        return outputs

    try:
        return _in_batches(call, {name: feed[name] for name in inputs}, fixed)
    except _onnxruntime_errors() as error:
        raise StageFailed(f"ONNX Runtime can't run {artifact.onnx_path.name}: {first_line(error)}") from error


def _as_onnx_knows_it(output: Artifact) -> str | onnx.ModelProto:
    """The model's path; or the model, with operators that ONNX Runtime had before ONNX under ONNX Runtime's domain.

    Fusions write LayerNormalization into graphs of every opset, and ONNX has it from opset 17 on.
    """
    import onnx

    model = onnx.load(output.onnx_path, load_external_data=False)
    early = [node for node in model.graph.node if node.op_type == _EARLY and not node.domain]
    if not early or opset(model) >= _EARLY_OPSET:
        return str(output.onnx_path)
    for node in early:
        node.domain = CONTRIBUTED
    if all(entry.domain != CONTRIBUTED for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIBUTED, 1))
    return model


def session_of(artifact: Artifact) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime on the CPU, as all checks run it; raises StageFailed where it can't be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(artifact.onnx_path), options, providers=["CPUExecutionProvider"])
    except _onnxruntime_errors() as error:
        raise StageFailed(f"ONNX Runtime can't load {artifact.onnx_path.name}: {first_line(error)}") from error


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.EPFail, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoModel,
        state.NotImplemented, state.RuntimeException, ValueError,
    )  # fmt: skip


def _dtype(name: str) -> Any:
    kinds = {"float": "float32", "double": "float64"}
    kind = name.removeprefix("tensor(").removesuffix(")")
    return np.dtype(kinds.get(kind, kind))


def _run_torch(artifact: Artifact, feed: Feed) -> Outputs:
    import torch

    from pipeline.torch_artifact import as_tensors, load_module, load_spec

    spec = load_spec(artifact.path)
    module = load_module(artifact.path)
    names = [entry.name for entry in spec.inputs]
    _check_inputs(names, feed)

    def call(batch: Feed) -> Outputs:
        tensors = [torch.from_numpy(batch[entry.name]).to(getattr(torch, entry.dtype)) for entry in spec.inputs]
        return [output.numpy() for output in as_tensors(module(*tensors))]

    with torch.inference_mode(), _torch_threads(THREADS):
        try:
            return _in_batches(call, {name: feed[name] for name in names}, None)
        except RuntimeError as error:
            raise StageFailed(f"PyTorch can't run the model: {first_line(error)}") from error


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_inputs(names: Sequence[str], feed: Feed) -> None:
    missing = [name for name in names if name not in feed]
    if missing:
        raise StageFailed(
            f"the data has no input '{missing[0]}', which the model reads: the data has {', '.join(feed)}, "
            f"the model has {', '.join(names)}"
        )


def _in_batches(call: Any, feed: Feed, fixed: int | None) -> Outputs:
    """Run all examples, a batch at a time; a fixed batch is filled up with the last example."""
    count = len(next(iter(feed.values())))
    size = fixed or BATCH
    parts: list[Outputs] = []
    for start in range(0, count, size):
        batch = {name: np.ascontiguousarray(array[start : start + size]) for name, array in feed.items()}
        length = len(next(iter(batch.values())))
        if fixed:
            batch = filled_up(batch, fixed)
        outputs = call(batch)
        for index, output in enumerate(outputs):
            if output.shape[:1] != ((fixed or length),):
                raise StageFailed(
                    f"output {index} has shape {list(output.shape)} for a batch of {fixed or length}: "
                    "axis 0 must be the batch"
                )
        parts.append([output[:length] for output in outputs])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    """The batch that a loaded model takes, where it takes no other."""
    sizes = [value.shape[0] for value in session.get_inputs() if value.shape]
    return next((size for size in sizes if isinstance(size, int)), None)


def filled_up(batch: Mapping[str, NDArray[Any]], size: int) -> dict[str, NDArray[Any]]:
    """The batch with its last example repeated, up to ``size`` examples."""
    return {
        name: np.concatenate([array, array[-1:].repeat(max(0, size - len(array)), 0)]) for name, array in batch.items()
    }


def _check_shapes(expected: Outputs, found: Outputs) -> None:
    shapes = [[list(array.shape[1:]) for array in outputs] for outputs in (expected, found)]
    if shapes[0] != shapes[1]:
        raise StageFailed(f"the outputs' shapes (without the batch) changed from {shapes[0]} to {shapes[1]}")


def _check_finite(expected: Outputs, found: Outputs) -> None:
    for index, (before, after) in enumerate(zip(expected, found, strict=True)):
        if after.dtype.kind != "f":
            continue
        bad = ~np.isfinite(after) & np.isfinite(before)
        if bad.any():
            example = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
            raise StageFailed(
                f"output {index} is not finite (NaN or infinite) where its source's is, first for example {example}"
            )


def _check_tolerance(expected: Outputs, found: Outputs, tolerance: float | None) -> None:
    if tolerance is None:
        return
    for index, (before, after) in enumerate(zip(expected, found, strict=True)):
        before, after = _comparable(before), _comparable(after)
        largest = float(np.abs(before).max(initial=0.0))
        difference = float(np.abs(before - after).max(initial=0.0))
        if difference > tolerance * largest:
            raise StageFailed(
                f"output {index} differs from its source's by up to {difference:.3g}, where the largest output is "
                f"{largest:.3g}; allowed is {tolerance:g} of that"
            )


def _comparable(array: NDArray[Any]) -> NDArray[np.float64]:
    """In double precision; a value that is not finite counts as 0 (``_check_finite`` has judged it)."""
    values = array.astype(np.float64)
    return np.where(np.isfinite(values), values, 0.0)


def drift(expected: Outputs, found: Outputs) -> dict[str, Any]:
    """How far outputs are from those expected, as ``check_output`` tells it."""
    before, after = (
        np.concatenate([_comparable(array).reshape(len(array), -1) for array in outputs], axis=1)
        for outputs in (expected, found)
    )
    if before.size == 0:
        return dict.fromkeys(("sqnr_db", "cosine", "cosine_min", "max_abs", "worst_example"))
    difference = np.abs(before - after)
    noise, signal = float((difference**2).sum()), float((before**2).sum())
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosines = (before * after).sum(1)[norms > 0] / norms[norms > 0]
    return {
        "sqnr_db": 10 * float(np.log10(signal / noise)) if noise > 0 and signal > 0 else None,
        "cosine": float(cosines.mean()) if len(cosines) else None,
        "cosine_min": float(cosines.min()) if len(cosines) else None,
        "max_abs": float(difference.max()),
        "worst_example": int(difference.max(1).argmax()),
    }
