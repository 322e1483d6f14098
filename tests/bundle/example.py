"""Small models, and a run that recommends one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact, folder_digest
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.bundle import write_bundle
from pipeline.data.dataset import Split
from pipeline.data.preprocessing import Preprocessing
from pipeline.libraries.installed import version
from pipeline.plan import Constraints, MeasureSettings, Target
from pipeline.results.figures import Accuracy, Latency, Reference, Speedup
from pipeline.results.header import Machine, TargetRecord
from pipeline.results.intervals import Quantile
from pipeline.results.record import AccuracySamples, LatencySamples, Record, StageRecord, VariantRecord
from pipeline.results.report import Noise, Recommendation, Report, Result, VariantResult

CLASS_NAMES = ("boot", "coat", "bag")
PREPROCESSING = {"image": Preprocessing(scale=1 / 255, mean=(0.3, 0.4), std=(0.2, 0.25))}
MACHINE = Machine(
    cpu="Example CPU",
    cores=2,
    isa=["avx2"],
    libraries={
        name: found for name in ("onnxruntime", "numpy", "openvino", "torch") if (found := version(name)) is not None
    },
)
TARGET = Target(name="ort_cpu", backend=OnnxRuntime(), threads=1)
RECOMMENDATION = Recommendation(
    variant="static_int8", target="ort_cpu", batch_size=4, why="fastest that keeps its accuracy", next_best=None
)


def images(count: int = 40) -> Split:
    """Raw images [N, 2, 4, 4] of bytes, and labels [N]."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 2, 4, 4), dtype=np.uint8)
    return Split({"image": pixels}, random.integers(0, 3, count))


def weights() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(32, 3)).astype(np.float32)


def linear_model(batch: int | str = "batch") -> onnx.ModelProto:
    """An image [batch, 2, 4, 4] to the logits [batch, 3]."""
    return model_of(
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["logits"])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 2, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(weights(), "weight")],
    )


def dynamic_int8_model() -> onnx.ModelProto:
    """The linear model as dynamic quantization leaves it: its scales depend on what else is in the batch."""
    quantized = np.clip(np.round(weights() * 40), -127, 127).astype(np.int8)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["quantized", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["quantized", "weight", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "scale"], ["logits"]),
    ]
    return model_of(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(quantized, "weight")],
    )


def two_input_model() -> onnx.ModelProto:
    """Token ids [batch, tokens] and a mask of the same shape, to an embedding [batch, tokens, 1]."""
    shape: list[int | str] = ["batch", "tokens"]
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Gather", ["table", "kept"], ["embedding"]),
    ]
    return model_of(
        nodes,
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [*shape, 1])],
        [numpy_helper.from_array(np.arange(9, dtype=np.float32).reshape(9, 1), "table")],
    )


def save(model: onnx.ModelProto, folder: Path, external: str | None = None) -> Artifact:
    """The model as an artifact, with its weights in the file ``external`` where it is given."""
    folder.mkdir()
    if external:
        onnx.save(model, folder / "model.onnx", save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, folder / "model.onnx")
    return Artifact(folder, "onnx", folder_digest(folder))


def bundle(artifact: Artifact, out: Path, **changes: Any) -> Path:
    """Bundle an artifact as the variant that the example run recommends."""
    settings: dict[str, Any] = {
        "artifact": artifact,
        "target": TARGET,
        "report": report(),
        "record": record(artifact),
        "recommendation": RECOMMENDATION,
        "preprocessing": PREPROCESSING,
        "class_names": CLASS_NAMES,
        "examples": images(),
    }
    return write_bundle(out, **{**settings, **changes})


def record(artifact: Artifact) -> Record:
    stage = StageRecord(
        name="quantize",
        kind="QuantizeStatic",
        fields={"per_channel": True},
        key="k",
        digest="d",
        seconds=1.0,
        reused=False,
    )
    variant = VariantRecord(
        name="static_int8",
        status="ok",
        reason=None,
        stages=[stage],
        format="onnx",
        digest=artifact.digest,
        path=str(artifact.path),
        size_bytes=artifact.size_bytes,
        parameters=96,
        macs=96,
    )
    return Record(
        command="python -m pipeline seed=3",
        created="2026-01-02T03:04:05+00:00",
        model="example",
        data="random",
        seed=3,
        machine=MACHINE,
        constraints=Constraints(max_accuracy_drop=0.01),
        measure=MeasureSettings(),
        targets={"ort_cpu": TargetRecord(device="cpu")},
        batch_sizes=[4],
        variants=[variant],
        subjects=[],
        latency=LatencySamples.concatenate([]),
        accuracy=AccuracySamples(labels=None, predictions={}, metric="accuracy"),
    )


def report() -> Report:
    speedup = Speedup(
        reference=Reference(variant="baseline", target="ort_cpu", batch_size=4),
        value=1.8,
        low=1.7,
        high=1.9,
        p=0.001,
        verdict="FASTER",
        blocks=320,
    )
    accuracy = Accuracy(
        metric="accuracy",
        value=0.93,
        low=0.925,
        high=0.935,
        n=10_000,
        delta=-0.002,
        delta_low=-0.004,
        delta_high=0.0,
        flips=50,
        p=0.2,
        margin=0.01,
        verdict="NO MEANINGFUL DROP",
    )
    latency = Latency(
        p50=Quantile(value=0.5, low=0.49, high=0.51),
        p90=Quantile(value=0.6),
        p99=Quantile(value=0.9),
        mean=0.52,
        calls=4000,
        distribution_ms=[0.1],
    )
    result = Result(
        target="ort_cpu",
        device="cpu",
        batch_size=4,
        status="ok",
        reason=None,
        load_ms=3.0,
        first_inference_ms=1.0,
        peak_memory_bytes=50_000_000,
        accuracy=accuracy,
        latency_ms=latency,
        throughput=8000.0,
        speedup=speedup,
    )
    variant = VariantResult(
        name="static_int8",
        status="ok",
        reason=None,
        stages=[],
        format="onnx",
        digest="d",
        size_bytes=1234,
        parameters=96,
        macs=96,
        results=[result],
    )
    noise = Noise(
        noisy=False,
        reasons=[],
        clones=[],
        telemetry={},
        rounds=10,
        blocks=320,
        stopped="width",
        seconds=9.0,
        timed_share=0.5,
    )
    return Report(
        command="python -m pipeline seed=3",
        created="2026-01-02T03:04:05+00:00",
        model="example",
        data="random",
        seed=3,
        machine=MACHINE,
        constraints=Constraints(max_accuracy_drop=0.01),
        measure=MeasureSettings(),
        targets={},
        summary="",
        why_none=None,
        recommendation=RECOMMENDATION,
        noise=noise,
        variants=[variant],
    )


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "example", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
