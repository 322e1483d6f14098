"""The model in ONNX Runtime, with the session options of the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from .choice import WEIGHTS_FOLDER, flags, needed
from .values import InputError

NAME = "ONNX Runtime"
ERRORS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.RuntimeException,
    runtime.NoSuchFile,
    runtime.InvalidProtobuf,
    runtime.InvalidGraph,
    runtime.NotImplemented,
    runtime.EPFail,
    RuntimeError,
)
ERRORS_ONLY = 3
FALLBACK = "CPUExecutionProvider"
ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
GRAPH_OPTIONS = ("enable_cuda_graph", "trt_cuda_graph_enable")
DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""NumPy's names for ONNX Runtime's types."""


def wanted_threads(settings: Mapping[str, Any]) -> int:
    """How many threads the figures were taken with."""
    return int(settings["intra_op_num_threads"])


class Session:
    """A loaded model."""

    def __init__(self, model: Path, settings: Mapping[str, Any], threads: int) -> None:
        """Load the model; raises InputError where a provider is missing, and ERRORS where the file can't be loaded."""
        self.session = open_session(model, settings, threads)
        self.inputs = describe(self.session.get_inputs())
        self.outputs = describe(self.session.get_outputs())
        self.names = [entry["name"] for entry in self.outputs]
        self.bound = Bound(self.session) if settings.get("io_binding", False) else None

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one batch; returns the outputs in the model's order."""
        if self.bound:
            return self.bound(feed)
        outputs: list[NDArray[Any]] = self.session.run(self.names, feed)
        return outputs


def describe(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Name, NumPy type (or ONNX Runtime's, where NumPy has none) and shape of a session's inputs or outputs.

    A size is a number, a symbol's name, or None.
    """
    return [
        {"name": str(value.name), "dtype": DTYPES.get(value.type, value.type), "shape": list(value.shape)}
        for value in values
    ]


def open_session(model: Path, settings: Mapping[str, Any], threads: int) -> onnxruntime.InferenceSession:
    """Load an ONNX file with the manifest's session options; raises InputError where a provider is missing.

    ONNX Runtime would fall back to the CPU, where the figures would not hold; this function does not.
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
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = min(settings["inter_op_num_threads"], threads)
    options.execution_mode = getattr(onnxruntime.ExecutionMode, settings["execution_mode"])
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, settings["graph_optimization_level"])
    options.enable_cpu_mem_arena = settings.get("cpu_mem_arena", True)
    for key, value in needed(settings["config_entries"], flags()).items():
        options.add_session_config_entry(key, value)
    if "weights_folder" in settings:
        options.add_session_config_entry(WEIGHTS_FOLDER, settings["weights_folder"])
    session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    chosen = session.get_providers()[0]
    if chosen != providers[0][0]:
        raise InputError(f"{providers[0][0]} could not be started, and ONNX Runtime would have run {chosen}")
    return session


class Bound:
    """IO binding: the outputs of a shape are allocated once, and on an accelerator the inputs lie in its memory.

    A call's outputs are copies, because the next call writes to the same places.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Bind to the device of the session's first provider."""
        provider = session.get_providers()[0]
        self.session = session
        self.device = "cuda" if provider in ON_CUDA else "cpu"
        options = session.get_provider_options()[provider]
        self.device_id = int(options.get("device_id", 0))
        self.graph = any(options.get(name) in ("1", "True", "true") for name in GRAPH_OPTIONS)
        self.bound: dict[tuple[tuple[int, ...], ...], tuple[Any, dict[str, Any], list[Any], Any]] = {}

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one batch; returns the outputs in the model's order."""
        shapes = tuple(array.shape for array in feed.values())
        if shapes not in self.bound:
            self.bound[shapes] = self._bind(feed)
        binding, inputs, outputs, options = self.bound[shapes]
        for name, array in feed.items():
            if self.device == "cpu":
                binding.bind_cpu_input(name, np.require(array, requirements="C"))
            else:
                inputs[name].update_inplace(np.require(array, requirements="C"))
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
            name: onnxruntime.OrtValue.ortvalue_from_numpy(
                np.require(array, requirements="C"), self.device, self.device_id
            )
            for name, array in feed.items()
        }
        for name, place in inputs.items():
            binding.bind_ortvalue_input(name, place)
        names = [str(output.name) for output in self.session.get_outputs()]
        for name in names:
            binding.bind_output(name, self.device, self.device_id)
        self.session.run_with_iobinding(binding, self._options(-1))
        outputs = list(binding.get_outputs())
        for index, name in enumerate(names):
            binding.bind_ortvalue_output(name, outputs[index])
        return binding, inputs, outputs, self._options(len(self.bound))
