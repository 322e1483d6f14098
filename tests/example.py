"""Small models, data and stages that tests of several packages use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Feed, Split, SplitName
from pipeline.errors import UserError
from pipeline.metrics import TopOne
from pipeline.plan import Constraints, Context, MeasureSettings, Plan, Target, Variant
from pipeline.plan.roles import Role
from pipeline.store import StorePlace
from pipeline.zoo.source import OnnxModel

if TYPE_CHECKING:
    import pytest

FEATURES, CLASSES = 8, 3


def linear_model(path: Path, scale: float = 1.0, batch: int | str = "batch") -> Path:
    """y = x · w with w [8, 3]: three classes."""
    weight = np.random.default_rng(0).normal(size=(FEATURES, CLASSES)).astype(np.float32) * np.float32(scale)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@dataclass(frozen=True)
class Arrays:
    """A data set in memory: every split is drawn with a seed of its own."""

    sizes: Mapping[str, int] = field(
        default_factory=lambda: {"train": 64, "validation": 32, "calibration": 32, "test": 200}
    )
    name: str = "arrays"
    calibration_size: int = 32
    class_names: tuple[str, ...] = ("a", "b", "c")
    labelled: bool = True

    def split(self, name: SplitName) -> Split:
        if name not in self.sizes:
            raise UserError(f"there is no {name} split")
        rng = np.random.default_rng(["train", "validation", "calibration", "test"].index(name))
        inputs = {"x": rng.normal(size=(self.sizes[name], FEATURES)).astype(np.float32)}
        return Split(inputs, rng.integers(0, CLASSES, self.sizes[name]) if self.labelled else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MostlyIdle(OnnxRuntime):
    """ONNX Runtime, whose profile says that nine tenths of a call pass beside its only operator, however busy the
    machine is."""

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        node = {"name": "matmul", "op": "MatMul", "provider": "CPUExecutionProvider", "type": "float", "ms": 0.1}
        return {"calls": calls, "call_ms": 1.0, "nodes": [node], "channels": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A stage that multiplies the weights, and writes each of its calls down."""

    by: float = 2.0
    log: str = ""
    fail: str = ""
    role: ClassVar[Role] = "graph"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ()
    tolerance: ClassVar[float | None] = None

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{self.by}\n")
        if self.fail:
            raise RuntimeError(self.fail)
        model = onnx.load(source.onnx_path)
        weight = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(self.by)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
        onnx.save(model, out / ONNX_FILE)
        context.note("by", self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floored(Scale):
    """The same stage, with a floor on how near its output must come to its source."""

    min_sqnr_db: float | None = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact(Scale):
    """The same stage, claiming that its output agrees with its source."""

    tolerance: ClassVar[float | None] = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsTorch(Scale):
    """A stage for PyTorch models alone."""

    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})


def plan(folder: Path, variants: Mapping[str, Mapping[str, Any]], **changes: Any) -> Plan:
    """A plan over the linear model; ``variants`` maps names to stages."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "linear.onnx"
    if not path.exists():
        linear_model(path)
    values: dict[str, Any] = {
        "model": OnnxModel(path=path),
        "data": Arrays(),
        "metric": TopOne(),
        "variants": {name: Variant(name=name, stages=stages) for name, stages in variants.items()},
        "targets": {"ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime())},
        "batch_sizes": (1,),
        "measure": MeasureSettings(
            profile="test",
            looks=(3,),
            blocks=4,
            cell_ms=0.5,
            screening=True,
            explain="none",
            energy_s=None,
            peaks=False,
        ),
        "constraints": Constraints(),
        "seed": 0,
        "store": folder / "store",
        "store_max_gb": 1.0,
        "output": folder / "outputs" / "run",
        "command": "python -m pipeline",
    }
    values |= changes
    if isinstance(values["store"], Path):
        values["store"] = StorePlace(folder=values["store"])
    return Plan(**values)


def graphs_asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The CUDA graph that each run through IO binding names from now on, while the runs themselves go on."""
    asked: list[str] = []
    plain = onnxruntime.InferenceSession.run_with_iobinding

    def run(self: Any, binding: Any, options: Any = None) -> None:
        asked.append(options.get_run_config_entry("gpu_graph_id"))
        plain(self, binding, options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", run)
    return asked
