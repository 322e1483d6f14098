"""The program of torch.export in PyTorch, as the manifest says: eager or compiled, in its number type and layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export.passes import move_to_device_pass

from .values import InputError

NAME = "PyTorch"
ERRORS = (RuntimeError, TypeError, AttributeError, KeyError, OSError)


def wanted_threads(settings: Mapping[str, Any]) -> int:
    """How many threads the figures were taken with."""
    return int(settings["threads"])


class Session:
    """A loaded program. Loading it runs what its file holds: load only files that you trust."""

    def __init__(self, model: Path, settings: Mapping[str, Any], threads: int) -> None:
        """Load the program onto the manifest's device; the number of threads is the whole process's."""
        torch.set_num_threads(threads)
        self.device, self.settings = settings["device"], settings
        if self.device == "cuda":
            _prepare_cuda(settings)
        program = torch.export.load(model)
        if self.device != "cpu":
            program = move_to_device_pass(program, self.device)  # its constants too
        module: Any = program.module()
        self.run = module
        if settings["channels_last"]:
            self.run = self.run.to(memory_format=torch.channels_last)
        if settings["compile"]:
            self.run = torch.compile(self.run, dynamic=False, mode=settings["compile"])
        self.inputs = self.outputs = None  # a program doesn't tell them

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one batch, inputs and outputs in the model's order; half precision comes out as float32."""
        with torch.inference_mode():
            outputs = self.run(*map(self._tensor, feed.values()))
            return [_array(output) for output in _tensors(outputs)]

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.require(array, requirements="C")).to(self.device)
        if tensor.is_floating_point() and self.settings["dtype"]:
            tensor = tensor.to(getattr(torch, self.settings["dtype"]))
        if self.settings["channels_last"] and tensor.ndim == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        return tensor


def _prepare_cuda(settings: Mapping[str, Any]) -> None:
    if not torch.cuda.is_available():
        raise InputError(f"torch {torch.__version__} sees no usable NVIDIA GPU")
    torch.backends.cuda.matmul.allow_tf32 = settings["tf32"]
    torch.backends.cudnn.allow_tf32 = settings["tf32"]


def _tensors(outputs: Any) -> Iterator[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        yield outputs
        return
    for value in outputs.values() if isinstance(outputs, Mapping) else outputs:
        yield from _tensors(value)


def _array(output: torch.Tensor) -> NDArray[Any]:
    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()
    array: NDArray[Any] = output.cpu().numpy()
    return array
