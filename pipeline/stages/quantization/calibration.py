"""Finds the ranges of a model's activations on calibration data, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.run import fixed_batch
from pipeline.errors import StageFailed, first_line
from pipeline.libraries.muted import prints_logged
from pipeline.stages.graphs.library import library_call
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.least_error import least_error_range
from pipeline.stages.quantization.observing import Observing
from pipeline.stages.quantization.output_error import weighed

Calibration = Literal["minmax", "entropy", "percentile", "distribution", "mse", "output"]
METHODS = {
    "minmax": "MinMax",
    "entropy": "Entropy",
    "percentile": "Percentile",
    "distribution": "Distribution",
    "mse": "Entropy",  # for its histograms; the ranges are chosen here
    "output": "Entropy",
}
HISTOGRAMS: dict[str, dict[str, int]] = {
    "minmax": {},
    "entropy": {"num_bins": 512, "num_quantized_bins": 256},
    "percentile": {"num_bins": 2048},
    "distribution": {"num_bins": 2048},
    "mse": {"num_bins": 2048, "num_quantized_bins": 256},
    "output": {"num_bins": 2048, "num_quantized_bins": 256},
}
"""Sizes of the histograms.

ONNX Runtime's own choice for entropy is 128 bins to be quantized to 128, which leaves nothing to choose from. As half
of the bins lie below zero, 128 stand for 64 levels after a Relu, and far too much is cut off (SQNR of the reference
model with 512 bins to 128: 14 dB, to 256: 24 dB). The search takes time with the square of the bins.
"""
BATCH = 32
COPIES = 4
"""How many times ONNX Runtime holds a batch's activations while it counts them."""
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Every activation's range, and how the model was run for them."""

    path: Path
    """A file that ONNX Runtime's ``quantize_static`` reads."""
    size: int
    """How many examples ran in one call."""
    filled: int | None
    """The only number of examples that the model takes, if there is one."""


def calibrate(
    model: Path,
    examples: Examples,
    *,
    method: Calibration,
    percentile: float,
    symmetric: bool,
    levels: int,
    max_memory_mb: int,
    large: bool,
    work: Path,
    progress: Callable[[float, str], None],
) -> Ranges:
    """Run the model on all examples and write every activation's range. ``levels`` is the number of integers that stand
    for a range. The batches are small enough for the activations to stay within ``max_memory_mb``, whatever the number
    of examples; one example is run in any case. A batch that the model fixes is filled up with the last example. Raises
    StageFailed without examples, or where the model can't run them."""
    from onnxruntime.quantization import calibrate as library

    count = len(examples)
    if count == 0:
        raise StageFailed("static quantization needs calibration data: set data.calibration_size above 0")
    options = {"symmetric": symmetric, "percentile": percentile} | HISTOGRAMS[method]
    with library_call(work), prints_logged(library):

        def calibrator() -> Any:
            made = library.create_calibrator(
                model,
                None,
                augmented_model_path=str(work / "augmented.onnx"),
                calibrate_method=library.CalibrationMethod[METHODS[method]],
                use_external_data_format=large,
                extra_options=options,
            )
            made.infer_session = _Finite(made.infer_session, counts=method != "minmax")
            return made

        made = calibrator()
        fixed = fixed_batch(made.infer_session, examples.axes)
        size = fixed or examples.together(_batch_size(made, max_memory_mb))
        try:
            _collect_all(made, examples, size, fixed, progress)
        except StageFailed:
            if fixed or size == 1:
                raise
            # A batch of 1 is written inside some models.
            made, size = calibrator(), 1
            _collect_all(made, examples, size, fixed, progress)
        progress(0.9, "choosing the ranges")
        ranges = work / "ranges.json"
        ranges.unlink(missing_ok=True)
        if method in ("mse", "output"):
            observing = Observing(examples=examples, size=size, filled=fixed, folder=work, large=large)
            instead = _weighed(model, made, observing) if method == "output" else {}
            found = _least_error(made, symmetric, levels, instead)
        else:
            found = _within_observed(made)
        library.save_tensors_data(found, ranges)
    return Ranges(path=ranges, size=size, filled=fixed)


def _finite_range(lowest: Any, highest: Any) -> tuple[Any, Any]:
    """A range whose infinite end, which a mask gave it, is as far from 0 as the other one."""
    low = lowest if np.isfinite(lowest) else -np.abs(highest if np.isfinite(highest) else np.float32(1))
    return low, highest if np.isfinite(highest) else np.abs(low)


class _Finite:
    """A session whose outputs have the largest finite values in the place of infinite ones: masks are infinite, and
    histograms can't be. Where the outputs are counted in histograms, 16 bits are too few for the edges of bins."""

    def __init__(self, session: Any, *, counts: bool) -> None:
        self._session, self._counts = session, counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> list[NDArray[Any]]:
        found = [_finite(array) for array in self._session.run(*arguments)]
        return [array.astype(np.float32) if self._counts and array.dtype == np.float16 else array for array in found]


def _finite(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array
    known = array[np.isfinite(array)]
    cut: NDArray[Any] = np.clip(np.nan_to_num(array), known.min(initial=0), known.max(initial=0))
    return cut.astype(array.dtype)


def _collect_all(
    calibrator: Any, examples: Examples, size: int, filled: int | None, progress: Callable[[float, str], None]
) -> None:
    count = len(examples)
    for start in range(0, count, size):
        _collect(calibrator, examples.batch(start, size, filled))
        done = min(start + size, count)
        progress(0.9 * done / count, f"calibrating, {done} of {count} examples")


def _weighed(model: Path, calibrator: Any, observing: Observing) -> dict[str, tuple[Any, Any]]:
    """The histograms of the values that products read, weighed by what an error does to the products."""
    import onnx

    counted = calibrator.collector.histogram_dict.items()
    ranges = {name: (float(low), float(high)) for name, (_, _, low, high, *_) in counted if low < high}
    return weighed(onnx.load(model, load_external_data=True), observing, ranges)


def _least_error(calibrator: Any, symmetric: bool, levels: int, instead: Mapping[str, tuple[Any, Any]]) -> Any:
    """The ranges with the smallest squared error, from the histograms that were collected or those ``instead``."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

    ranges = {}
    for name, (counted, bins, low, high, *_) in calibrator.collector.histogram_dict.items():
        histogram, edges = instead.get(name, (counted, bins))
        chosen = least_error_range(
            np.asarray(histogram),
            np.asarray(edges, np.float64),
            float(low),
            float(high),
            levels=levels,
            symmetric=symmetric,
        )
        ranges[name] = TensorData(lowest=np.float32(chosen[0]), highest=np.float32(chosen[1]))
    return TensorsData(CalibrationMethod[METHODS["mse"]], ranges)


def _within_observed(calibrator: Any) -> Any:
    """The ranges, cut to the values that occurred.

    ONNX Runtime cuts them itself, but for its method distribution, which gives a range about zero. It then takes out
    each Relu, as if the range began at zero, and the model is wrong.
    """
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    ranges = calibrator.compute_data()
    histograms = getattr(getattr(calibrator, "collector", None), "histogram_dict", {})
    cut = {}
    for name, found in ranges.items():
        lowest, highest = _finite_range(*found.range_value)
        if name in histograms:
            lowest, highest = max(lowest, histograms[name][2]), min(highest, histograms[name][3])
        cut[name] = TensorData(lowest=np.asarray(lowest), highest=np.asarray(highest))
    return TensorsData(ranges.calibration_method, cut)


def _collect(calibrator: Any, batch: dict[str, NDArray[Any]]) -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = {value.name for value in calibrator.infer_session.get_inputs()}
    try:
        calibrator.collect_data(_Once({name: array for name, array in batch.items() if name in names}))
        if hasattr(calibrator, "max_intermediate_outputs"):
            calibrator.compute_data()
            calibrator.clear_collected_data()
    except (state.InvalidArgument, state.Fail, state.RuntimeException, ValueError) as error:
        raise StageFailed(f"the model can't run the calibration data: {first_line(error)}") from error


class _Once:
    """ONNX Runtime's calibration data reader for one batch."""

    def __init__(self, batch: dict[str, NDArray[Any]]) -> None:
        self._batches = iter([batch])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)


def _batch_size(calibrator: Any, max_memory_mb: int) -> int:
    return max(1, min(BATCH, max_memory_mb * _MIB // COPIES // max(1, _bytes_per_example(calibrator))))


def _bytes_per_example(calibrator: Any) -> int:
    """Bytes of all activations of known shape, unknown sizes counted as 1."""
    total = 0
    for value in calibrator.model.graph.value_info:
        sizes = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        total += 4 * int(np.prod(sizes, dtype=np.int64))
    return total
