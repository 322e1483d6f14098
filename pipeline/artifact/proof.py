"""A stage's output proves itself: it loads, it runs, and it agrees with its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.files import Artifact, Format
from pipeline.artifact.onnx_graph import fixed_batch_of, opset
from pipeline.artifact.onnx_rewriting import CONTRIBUTED
from pipeline.artifact.openvino_file import element_types, read_graph
from pipeline.artifact.run import Outputs, Ran, ran, ran_as_written
from pipeline.data.batches import axes_of, count_of, first_of
from pipeline.data.dataset import Feed
from pipeline.errors import StageFailed, first_line

if TYPE_CHECKING:
    import onnx

CHECK_S = 5.0
"""A model of 300 MB would take longer to be checked on all examples than to be built."""
KEEP = ". To keep such a model: "
"""The words before the override, in the reason why a model is refused."""
_EARLY = "LayerNormalization"
_EARLY_OPSET = 17
_ROUNDING = {"FLOAT16": 4e-3, "F16": 4e-3, "BFLOAT16": 3e-2, "BF16": 3e-2}
"""Four steps of each type around 1, by its names in ONNX, safetensors and OpenVINO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """How near a lossy stage's output must come to its source, for a model that is rounded and not broken.

    In each output the signal must lie ``sqnr_db`` above the error, over all examples. Rounding to 8 bits leaves at
    least 8 dB in models that are of any use (a mean cosine of 0.92); a node that a library lost leaves about 0.
    """

    sqnr_db: float
    override: str
    """The key that sets the floor, as it is typed."""


def floor_of(stage: object, override: str) -> Floor | None:
    """The floor that a stage's field sets, where the stage has that field: ``min_sqnr_db``, or the one that
    ``floor_field`` names."""
    field = getattr(stage, "floor_field", "min_sqnr_db")
    sqnr_db: Any = stage
    for name in field.split("."):
        sqnr_db = getattr(sqnr_db, name, None)
    return None if sqnr_db is None else Floor(sqnr_db=sqnr_db, override=f"{override}.{field}")


def check_output(
    source: Artifact, output: Artifact, tolerance: float | None, feed: Feed, floor: Floor | None = None
) -> dict[str, Any]:
    """Compare a stage's output with its source on the examples of ``feed`` and return the drift between them.

    Where the source is slow, only its first examples are taken, as many as it runs in ``CHECK_S`` seconds; the drift
    has their number as ``examples`` then.

    ``tolerance`` is the largest difference allowed, relative to the source's largest output; None: any. A source that
    computes in 16 bits may differ by the rounding of 16 bits. The drift holds ``sqnr_db`` (signal to quantization
    noise, over all examples), ``cosine`` (mean over the examples), ``cosine_min``, ``max_abs``, and ``worst_example``,
    the one with the largest difference; a figure that does not exist or is infinite is None. ``not_compared`` names the
    outputs that have no batch, where there are any. Raises StageFailed where the output is no valid model, can't be
    loaded or run, has other outputs than its source, is not finite, differs too much, or lies below the floor.
    """
    size = _size_of_calls(source, output, feed)
    expected = ran(source, feed, size, limit_s=CHECK_S)
    if expected.count == count_of(feed):
        return _compared(source, expected, output, tolerance, feed, floor, size)
    few = first_of(feed, expected.count)
    return {**_compared(source, expected, output, tolerance, few, floor, size), "examples": expected.count}


def compare(
    source: Artifact, expected: Ran, output: Artifact, tolerance: float | None, feed: Feed, floor: Floor | None
) -> dict[str, Any]:
    """Compare a stage's output with its source as ``check_output`` does, where the source has been run already. It is
    run again, in calls of the same size, where the output takes another batch than the source."""
    size = _size_of_calls(source, output, feed)
    if size != fixed_batch_of(source, axes_of(feed)):
        expected = ran(source, feed, size)
    return _compared(source, expected, output, tolerance, feed, floor, size)


def _size_of_calls(source: Artifact, output: Artifact, feed: Feed) -> int | None:
    """The batch that the output is fixed at, so the source is called with, too: a model may compute with all examples
    of a call together. None: any. Raises StageFailed where the output is no valid model."""
    if output.format == "onnx":
        _check_onnx(source, output)
    return fixed_batch_of(output, axes_of(feed))


def _compared(
    source: Artifact,
    expected: Ran,
    output: Artifact,
    tolerance: float | None,
    feed: Feed,
    floor: Floor | None,
    size: int | None,
) -> dict[str, Any]:
    found = ran(output, feed)
    _check_shapes(expected, found)
    _check_finite(expected, found)
    if tolerance is not None:
        _check_tolerance(source, expected, output, found, max(tolerance, rounding_of(source)), feed, size)
    _check_floor(expected, found, floor)
    compared = list(_pairs(expected, found))
    figures = drift([before for *_, before, _ in compared], [after for *_, after in compared])
    left_out = [f"'{expected.names[place]}': {why}" for place, why in expected.left_out.items()]
    return figures | ({"not_compared": left_out} if left_out else {})


def _check_onnx(source: Artifact, output: Artifact) -> None:
    """Raise StageFailed where ONNX's rules are broken, unless the source breaks them, too: runtimes know better."""
    reason = invalid(output)
    if reason is not None and not (source.format == "onnx" and invalid(source)):
        raise StageFailed(f"the output is not a valid ONNX model: {reason}")


def invalid(model: Artifact) -> str | None:
    """The rule of ONNX's that a model breaks; None where it keeps all."""
    import onnx

    try:
        onnx.checker.check_model(_as_onnx_knows_it(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return first_line(error)
    return None


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


def _check_shapes(expected: Ran, found: Ran) -> None:
    if len(expected.outputs) != len(found.outputs):
        raise StageFailed(f"the model has {len(found.outputs)} outputs where its source has {len(expected.outputs)}")
    for place, name, before, after in _pairs(expected, found):
        if place in found.left_out:
            raise StageFailed(f"output '{name}' can't be compared with its source's any more: {found.left_out[place]}")
        if before.shape != after.shape:
            shapes = [list(array.shape[1:]) for array in (before, after)]
            raise StageFailed(f"output '{name}' changed its shape (without the batch) from {shapes[0]} to {shapes[1]}")


def _pairs(expected: Ran, found: Ran) -> Iterator[tuple[int, str, NDArray[Any], NDArray[Any]]]:
    """Place, name and both sides of every output that has a batch in the source."""
    both = zip(expected.names, expected.outputs, found.outputs, strict=True)
    for place, (name, before, after) in enumerate(both):
        if place not in expected.left_out:
            yield place, name, before, after


def _check_finite(expected: Ran, found: Ran) -> None:
    for _, name, before, after in _pairs(expected, found):
        if after.dtype.kind != "f":
            continue
        bad = ~np.isfinite(after) & np.isfinite(before)
        if bad.any():
            example = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
            raise StageFailed(
                f"output '{name}' is not finite (NaN or infinite) where its source's is, first for example {example}"
            )


def _check_tolerance(
    source: Artifact, expected: Ran, output: Artifact, found: Ran, tolerance: float, feed: Feed, size: int | None
) -> None:
    """Raise StageFailed where the outputs differ by more, unless the two models agree as they are written: for the same
    Q/DQ pairs ONNX Runtime takes other integer kernels where it knows the shapes, and those round elsewhere."""
    reason = _difference(expected, found, tolerance)
    if reason is not None and source.format == output.format == "onnx":
        reason = _difference(ran_as_written(source, feed, size), ran_as_written(output, feed), tolerance)
    if reason is not None:
        raise StageFailed(reason)


def _difference(expected: Ran, found: Ran, tolerance: float) -> str | None:
    """What differs too much; None where nothing does."""
    for _, name, before, after in _pairs(expected, found):
        before, after = _comparable(before), _comparable(after)
        largest = float(np.abs(before).max(initial=0.0))
        difference = float(np.abs(before - after).max(initial=0.0))
        if difference > tolerance * largest:
            return (
                f"output '{name}' differs from its source's by up to {difference:.3g}, where the largest output is "
                f"{largest:.3g}; allowed is {tolerance:g} of that"
            )
    return None


def rounding_of(artifact: Artifact) -> float:
    """How far a model's 16-bit weights let its outputs differ, relative to the largest; 0 for wider weights."""
    kinds = _KINDS[artifact.format](artifact)
    return max((_ROUNDING.get(kind, 0.0) for kind in kinds), default=0.0)


def _onnx_kinds(artifact: Artifact) -> set[str]:
    import onnx

    graph = onnx.load(artifact.onnx_path, load_external_data=False).graph
    return {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}


def _torch_kinds(artifact: Artifact) -> set[str]:
    from safetensors import safe_open

    from pipeline.artifact.torch_module import WEIGHTS_FILE

    with safe_open(artifact.path / WEIGHTS_FILE, "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  # it is no mapping


def _openvino_kinds(artifact: Artifact) -> set[str]:
    return {kind.upper() for kind in element_types(read_graph(artifact.openvino_path))}


_KINDS: Mapping[Format, Callable[[Artifact], set[str]]] = {
    "onnx": _onnx_kinds,
    "openvino": _openvino_kinds,
    "torch": _torch_kinds,
}


def _check_floor(expected: Ran, found: Ran, floor: Floor | None) -> None:
    if floor is None:
        return
    for _, name, before, after in _pairs(expected, found):
        sqnr_db = _sqnr_db(_comparable(before), _comparable(after)) if before.dtype.kind == "f" else None
        if sqnr_db is not None and sqnr_db < floor.sqnr_db:
            raise StageFailed(
                f"output '{name}' is no longer its source's: the signal lies {sqnr_db:.1f} dB above the error (SQNR, "
                f"{len(before)} examples), where at least {floor.sqnr_db:g} dB are asked for{KEEP}{floor.override}=null"
            )


def _sqnr_db(before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
    """Signal to quantization noise; None where there is no noise, or no signal."""
    return sqnr_db(float((before**2).sum()), float(((before - after) ** 2).sum()))


def sqnr_db(signal: float, noise: float) -> float | None:
    """The signal to quantization noise ratio of two sums of squares, in dB; None where there is no noise, or no
    signal."""
    return 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None


def _comparable(array: NDArray[Any]) -> NDArray[np.float64]:
    """The array in double precision; a value that is not finite counts as 0 (``_check_finite`` has judged it)."""
    values = array.astype(np.float64)
    return np.where(np.isfinite(values), values, 0.0)


def drift(expected: Outputs, found: Outputs) -> dict[str, Any]:
    """How far outputs are from the expected ones, in the form that ``check_output`` returns."""
    if not any(array.size for array in expected):
        return dict.fromkeys(("sqnr_db", "cosine", "cosine_min", "max_abs", "worst_example"))
    before, after = (
        np.concatenate([_comparable(array).reshape(len(array), -1) for array in outputs], axis=1)
        for outputs in (expected, found)
    )
    difference = np.abs(before - after)
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosines = (before * after).sum(1)[norms > 0] / norms[norms > 0]
    return {
        "sqnr_db": _sqnr_db(before, after),
        "cosine": float(cosines.mean()) if len(cosines) else None,
        "cosine_min": float(cosines.min()) if len(cosines) else None,
        "max_abs": float(difference.max()),
        "worst_example": int(difference.max(1).argmax()),
    }
