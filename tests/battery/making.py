"""Writes the battery's ONNX files from ONNX's text form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

Weight = tuple[int, ...] | NDArray[Any] | np.generic | onnx.TensorProto
MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class Make:
    """Makes one file: where it goes, and where its random weights come from."""

    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def path(self) -> Path:
        return self.folder / MODEL

    def graph(
        self,
        signature: str,
        body: str,
        weights: Mapping[str, Weight] = MappingProxyType({}),
        *,
        opset: int = 18,
        ir: int = 8,
        domains: Mapping[str, int] = MappingProxyType({}),
        functions: str = "",
        change: Callable[[onnx.ModelProto], object] | None = None,
    ) -> onnx.ModelProto:
        """Write ``signature { body }`` with its weights: arrays, or shapes to draw normal values of."""
        imports = ", ".join(['"" : ' + str(opset), *(f'"{domain}" : {version}' for domain, version in domains.items())])
        text = f"<ir_version: {ir}, opset_import: [{imports}]>\ng {signature} {{\n{body}\n}}\n{functions}"
        model = parser.parse_model(text)
        model.graph.initializer.extend(self.tensor(name, weight) for name, weight in weights.items())
        if change is not None:
            change(model)
        onnx.save(model, self.path)
        return model

    def tensor(self, name: str, weight: Weight) -> onnx.TensorProto:
        if isinstance(weight, onnx.TensorProto):
            return weight
        return numpy_helper.from_array(self.normal(*weight) if isinstance(weight, tuple) else np.asarray(weight), name)

    def normal(self, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        """Normal values, scaled so that a layer keeps the size of what it reads."""
        values = self.rng.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[1:])))
        return np.asarray(values * scale, np.float32)


def bfloat16(name: str, values: NDArray[np.float32]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.BFLOAT16, values.shape, values.ravel().tolist())


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)
