"""Run the model in this folder. Needs onnxruntime and numpy (requirements.txt), nothing else.

    python infer.py             run the golden inputs and compare with the golden outputs
    python infer.py FILE.npz    one array [N, ...] of raw values per input name; other arrays are ignored
    python infer.py FILE.npy    the array [N, ...] of raw values, for a model with one input

    from infer import Model
    model = Model()
    outputs = model({"image": images})
    labels = model.predict({"image": images})

Exit codes: 0 done; 1 the golden outputs were not reproduced; 2 the input, or what is installed, is not right.
"""
# ruff: noqa: T201  a program for the command line: it prints

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime
except ImportError as error:
    if __name__ != "__main__":
        raise
    print(f"infer.py: {error}: install what requirements.txt names", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
RUNTIME_ERRORS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.RuntimeException,
    runtime.NoSuchFile,
    runtime.InvalidProtobuf,
    runtime.InvalidGraph,
    runtime.NotImplemented,
    runtime.EPFail,
)
ERRORS_ONLY = 3
FALLBACK = "CPUExecutionProvider"
ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
GRAPH_OPTIONS = ("enable_cuda_graph", "trt_cuda_graph_enable")


class InputError(ValueError):
    """What was given, or what is installed, doesn't fit the model; the message is one line."""


class Model:
    """The folder's model, with its preprocessing and the session options that its figures were taken with."""

    def __init__(self, folder: Path = HERE, batch_size: int | None = None) -> None:
        """Load it; ``batch_size`` is how many examples one call of ONNX Runtime takes, by default as measured.

        Raises InputError where an execution provider is missing or the model's batch size is fixed to another number.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder / "manifest.json")
        self.inputs: list[dict[str, Any]] = self.manifest["inputs"]
        self.labels: list[str] | None = self.manifest["labels"]
        self.session = open_session(self.folder / self.manifest["model"], self.manifest["session"])
        self.output_names = [str(output.name) for output in self.session.get_outputs()]
        self.call = Bound(self.session) if self.manifest["session"].get("io_binding", False) else self._call
        self.fixed_batch = fixed_batch(self.inputs)
        if self.fixed_batch and batch_size not in (None, self.fixed_batch):
            raise InputError(f"this model's batch size is fixed to {self.fixed_batch} (asked for {batch_size})")
        self.batch_size: int = self.fixed_batch or batch_size or self.manifest["batch_size"]

    def __call__(self, raw: Mapping[str, NDArray[Any]] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Every output [N, ...] by name, from raw inputs [N, ...] by name (a bare array will do for a single input).

        Raises InputError for a wrong name, shape or type.
        """
        arrays = self._arrays(raw)
        count = len(arrays[self.inputs[0]["name"]])
        batches = [
            self._run({name: array[start : start + self.batch_size] for name, array in arrays.items()})
            for start in range(0, count, self.batch_size)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in self.output_names}

    def predict(self, raw: Mapping[str, NDArray[Any]] | NDArray[Any]) -> list[str | int]:
        """Each example's class: its label, or its number where the manifest has no labels.

        Raises InputError where the first output doesn't hold class scores [N, C], beside what a call raises.
        """
        classes = self.classes(self(raw))
        if classes is None:
            raise InputError(f"the first output, '{self.output_names[0]}', does not hold class scores [N, C]")
        return [self.name_of(index) for index in classes]

    def classes(self, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.int64] | None:
        """The highest score's class [N] in the first output, None where that doesn't hold class scores [N, C]."""
        scores = outputs[self.output_names[0]]
        if scores.ndim != 2 or scores.shape[1] < 2:
            return None
        best: NDArray[np.int64] = scores.argmax(axis=1).astype(np.int64)
        return best

    def name_of(self, index: int) -> str | int:
        """A class's label, or its number where there are no labels."""
        return self.labels[index] if self.labels and 0 <= index < len(self.labels) else int(index)

    def golden(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], NDArray[np.int64] | None]:
        """The golden raw inputs and outputs by name, and the examples' true classes [N] where they are known."""
        with np.load(self.folder / self.manifest["golden"]["file"], allow_pickle=False) as arrays:
            inputs = {entry["name"]: arrays[f"input.{entry['name']}"] for entry in self.inputs}
            outputs = {name: arrays[f"output.{name}"] for name in self.output_names}
            return inputs, outputs, arrays["labels"] if "labels" in arrays.files else None

    def _arrays(self, raw: Mapping[str, NDArray[Any]] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        names = [entry["name"] for entry in self.inputs]
        if not isinstance(raw, Mapping):
            if len(names) > 1:
                raise InputError(f"the model has {len(names)} inputs, give an array for each: {', '.join(names)}")
            raw = {names[0]: raw}
        missing = [name for name in names if name not in raw]
        if missing:
            found = ", ".join(raw) or "no array"
            raise InputError(f"no array for input '{missing[0]}': the model has {', '.join(names)}; found {found}")
        arrays = {entry["name"]: _checked(np.asarray(raw[entry["name"]]), entry) for entry in self.inputs}
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) > 1:
            raise InputError(f"the inputs hold different numbers of examples: {counts}")
        if not counts[names[0]]:
            raise InputError("there are no examples: the arrays are empty")
        return arrays

    def _run(self, raw: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        feed = {entry["name"]: prepare(raw[entry["name"]], entry) for entry in self.inputs}
        size = len(next(iter(feed.values())))
        filling = self.fixed_batch - size if self.fixed_batch else 0
        if filling:
            feed = {
                name: np.concatenate([array, np.repeat(array[-1:], filling, axis=0)]) for name, array in feed.items()
            }
        try:
            outputs = dict(zip(self.output_names, self.call(feed), strict=True))
        except RUNTIME_ERRORS as error:
            raise InputError(f"ONNX Runtime can't run these inputs: {first_line(error)}") from error
        for name, output in outputs.items():
            if output.ndim == 0 or len(output) != size + filling:
                raise InputError(f"output '{name}' {list(output.shape)} does not have one row per example")
        return {name: output[:size] for name, output in outputs.items()}

    def _call(self, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self.session.run(self.output_names, feed)
        return outputs


class Bound:
    """IO binding: the outputs of a shape are allocated once, on an accelerator with the inputs in its memory.

    A call's outputs are copies, since the next call writes to the same places.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """For the device of the session's first provider."""
        provider = session.get_providers()[0]
        self.session = session
        self.device = "cuda" if provider in ON_CUDA else "cpu"
        options = session.get_provider_options()[provider]
        self.device_id = int(options.get("device_id", 0))
        self.graph = any(options.get(name) in ("1", "True", "true") for name in GRAPH_OPTIONS)
        self.bound: dict[tuple[tuple[int, ...], ...], tuple[Any, dict[str, Any], list[Any], Any]] = {}

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one batch; the outputs in the model's order."""
        shapes = tuple(array.shape for array in feed.values())
        if shapes not in self.bound:
            self.bound[shapes] = self._bind(feed)
        binding, inputs, outputs, options = self.bound[shapes]
        for name, array in feed.items():
            if self.device == "cpu":
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
            else:
                inputs[name].update_inplace(np.ascontiguousarray(array))
        self.session.run_with_iobinding(binding, options)
        return [np.array(output.numpy()) for output in outputs]

    def _options(self, number: int) -> Any:
        """Name the CUDA graph of a shape, where the provider captures such; -1: this run is not captured."""
        if not self.graph:
            return None
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(number))
        return options

    def _bind(self, feed: Mapping[str, NDArray[Any]]) -> tuple[Any, dict[str, Any], list[Any], Any]:
        """A first call tells how large the outputs are; their places are kept."""
        binding = self.session.io_binding()
        inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.device, self.device_id)
            for name, array in feed.items()
        }
        for name, place in inputs.items():
            binding.bind_ortvalue_input(name, place)
        names = [str(output.name) for output in self.session.get_outputs()]
        for name in names:
            binding.bind_output(name, self.device, self.device_id)
        self.session.run_with_iobinding(binding, self._options(-1))
        outputs = list(binding.get_outputs())
        for name, place in zip(names, outputs, strict=True):
            binding.bind_ortvalue_output(name, place)
        return binding, inputs, outputs, self._options(len(self.bound))


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest; raises InputError where it can't be read."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from error
    return manifest


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def open_session(model: Path, settings: Mapping[str, Any]) -> onnxruntime.InferenceSession:
    """Load an ONNX file with the manifest's session options; raises InputError where a provider is missing.

    ONNX Runtime would fall back to the CPU; the figures would then not hold, so this doesn't.
    """
    providers = [(entry["name"], entry["options"]) for entry in settings["providers"]]
    available = onnxruntime.get_available_providers()
    for name, _ in providers:
        if name not in available:
            raise InputError(f"{name} is not available: this onnxruntime has {', '.join(available)}")
    if any(name != FALLBACK for name, _ in providers) and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN where pip installed them
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    options.inter_op_num_threads = settings["inter_op_num_threads"]
    options.execution_mode = getattr(onnxruntime.ExecutionMode, settings["execution_mode"])
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, settings["graph_optimization_level"])
    options.enable_cpu_mem_arena = settings.get("cpu_mem_arena", True)
    for key, value in settings["config_entries"].items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    except RUNTIME_ERRORS as error:
        raise InputError(f"ONNX Runtime can't load {model.name}: {first_line(error)}") from error
    chosen = session.get_providers()[0]
    if chosen != providers[0][0]:
        raise InputError(f"{providers[0][0]} could not be started, and ONNX Runtime would have run {chosen}")
    return session


def fixed_batch(inputs: Sequence[Mapping[str, Any]]) -> int | None:
    """The only batch size that the model takes; None where any will do, as an input with a free axis 0 says."""
    sizes = [entry["shape"][0] for entry in inputs if entry["shape"]]
    return sizes[0] if sizes and all(isinstance(size, int) for size in sizes) else None


def _checked(array: NDArray[Any], entry: Mapping[str, Any]) -> NDArray[Any]:
    """The array, if its shape and type fit the input; the first axis may hold any number of examples."""
    expected = ["N", *entry["shape"][1:]]
    fits = array.ndim == len(expected) and all(
        size == wanted or not isinstance(wanted, int) for size, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits:
        shape = ", ".join("?" if size is None else str(size) for size in expected)
        raise InputError(f"input '{entry['name']}' must have shape [{shape}] (got {list(array.shape)})")
    read_as = "float32" if entry["preprocessing"] else entry["dtype"]
    if not np.can_cast(array.dtype, read_as, casting="same_kind"):
        raise InputError(f"input '{entry['name']}' must hold {read_as} values (got {array.dtype})")
    return array


def prepare(raw: NDArray[Any], entry: Mapping[str, Any]) -> NDArray[Any]:
    """What the model reads, from raw values [N, C, ...]: preprocessed, in the input's type."""
    if entry["preprocessing"]:
        raw = preprocess(raw, **entry["preprocessing"])
    return raw.astype(entry["dtype"], copy=False)


def preprocess(raw: NDArray[Any], scale: float, mean: Sequence[float], std: Sequence[float]) -> NDArray[Any]:
    """``(raw * scale - mean) / std`` in float32; ``mean`` and ``std`` hold one number, or one per channel (axis 1)."""
    shape = (-1,) + (1,) * max(raw.ndim - 2, 0)
    means = np.asarray(mean, np.float32).reshape(shape)
    stds = np.asarray(std, np.float32).reshape(shape)
    result: NDArray[Any] = (raw.astype(np.float32) * np.float32(scale) - means) / stds
    return result


def compare(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], golden: Mapping[str, Any]
) -> tuple[list[str], float]:
    """What differs by more than the manifest's ``golden`` entry allows, and the largest relative difference.

    Numbers with a fraction may differ by ``relative_tolerance`` of the output's largest magnitude; the share of equal
    classes (highest scores of an output [N, C], or equal whole numbers) must be at least ``agreement``.
    """
    problems: list[str] = []
    largest = 0.0
    for name, wanted in expected.items():
        got = found[name]
        if got.shape != wanted.shape:
            problems.append(f"output '{name}' has shape {list(got.shape)}, not {list(wanted.shape)}")
            continue
        difference = relative_difference(wanted, got) if wanted.dtype.kind == "f" else 0.0
        largest = max(largest, difference)
        if not difference <= golden["relative_tolerance"]:
            problems.append(f"output '{name}' differs by {difference:.2g} (allowed: {golden['relative_tolerance']:g})")
        agreement = class_agreement(wanted, got)
        if agreement < golden["agreement"]:
            problems.append(
                f"output '{name}': {agreement:.0%} of the classes agree (at least {golden['agreement']:.0%})"
            )
    return problems, largest


def relative_difference(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference over the largest finite magnitude; infinite where one holds a number and the other not."""
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    reference = wanted[finite].astype(np.float64)
    magnitude = max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(got[finite].astype(np.float64) - reference).max()) / magnitude


def class_agreement(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """The share of equal classes in scores [N, C], or of equal whole numbers; 1 for other outputs."""
    if wanted.dtype.kind != "f":
        return float(np.mean(wanted == got))
    if wanted.ndim != 2 or wanted.shape[1] < 2:
        return 1.0
    return float(np.mean(wanted.argmax(axis=1) == got.argmax(axis=1)))


def read_arrays(path: Path) -> Mapping[str, NDArray[Any]] | NDArray[Any]:
    """The arrays of a .npz file by name, or the array of a .npy file; raises InputError where it can't be read."""
    if not path.is_file():
        raise InputError(f"{path} does not exist, or is not a file")
    try:
        loaded = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} can't be read as a .npy or .npz file: {first_line(error)}") from error


def show(model: Model, outputs: Mapping[str, NDArray[Any]], expected: NDArray[np.int64] | None = None) -> None:
    """Print a line per example with its class, or a line per output where there are no classes."""
    classes = model.classes(outputs)
    if classes is None:
        for name, output in outputs.items():
            print(f"output '{name}': {output.dtype} {list(output.shape)}")
        return
    for index, found in enumerate(classes):
        note = "" if expected is None else f"  (expected {model.name_of(expected[index])})"
        print(f"{index}: {model.name_of(found)}{note}")


def check_golden(model: Model) -> int:
    """Run the golden inputs, print the predictions and whether the golden outputs are reproduced; the exit code."""
    inputs, expected, labels = model.golden()
    found = model(inputs)
    show(model, found, labels)
    problems, largest = compare(expected, found, model.manifest["golden"])
    if problems:
        print(f"golden outputs NOT reproduced: {'; '.join(problems)}")
        return 1
    allowed = model.manifest["golden"]["relative_tolerance"]
    print(f"golden outputs reproduced (largest relative difference {largest:.2g}, allowed {allowed:g})")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run on the golden inputs, or on a file; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="infer.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a .npz or .npy file of raw inputs")
    file: Path | None = parser.parse_args(arguments).file
    try:
        raw = None if file is None else read_arrays(file)
        model = Model()
        if raw is None:
            return check_golden(model)
        show(model, model(raw))
    except InputError as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
