"""A model in fp32, in int8 with 8-bit weights that saturate, and with 7-bit weights. All hold the same table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import Artifact, file_digest, model_files
from pipeline.bundle import manifest as manifests
from pipeline.bundle.package.sharing import share_weights
from pipeline.bundle.package.write import packable
from pipeline.bundle.sums import SUMS_FILE, sums
from pipeline.data.preprocessing import Preprocessing
from tests.bundle import example

WIDTH = 32
STEP = 1 / 255
BITS = {"float": None, "int8": 8, "int7": 7}


def weights() -> NDArray[np.int8]:
    """Weights [32, 16] whose products with bright pixels leave 16 bits in pairs: 2 · 255 · 127 = 64770."""
    return np.random.default_rng(1).integers(64, 128, (WIDTH, 16)).astype(np.int8)


def table() -> NDArray[np.float32]:
    """Weights [16, 64] that all variants hold."""
    return np.random.default_rng(2).normal(size=(16, 64)).astype(np.float32)


def model(bits: int | None) -> onnx.ModelProto:
    """An image [batch, 2, 4, 4] to logits [batch, 64], by a product in floats or in whole numbers."""
    constants: dict[str, Any] = {"table": table()}
    nodes = [helper.make_node("Flatten", ["image"], ["flat"])]
    if bits is None:
        constants["weight"] = weights().astype(np.float32) * np.float32(STEP)
        nodes.append(helper.make_node("MatMul", ["flat", "weight"], ["product"]))
    else:
        half = 1 if bits == 8 else 2
        constants |= {"weight": (weights() // half).astype(np.int8), "step": np.float32(STEP), "zero": np.uint8(0)}
        constants["scale"] = np.float32(STEP * STEP * half)
        nodes += [
            helper.make_node("QuantizeLinear", ["flat", "step", "zero"], ["pixels"]),
            helper.make_node("MatMulInteger", ["pixels", "weight", "zero"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["number", "scale"], ["product"]),
        ]
    nodes.append(helper.make_node("MatMul", ["product", "table"], ["logits"]))
    return example.model_of(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def artifacts(folder: Path, names: Sequence[str] = tuple(BITS)) -> dict[str, Artifact]:
    """The variants' artifacts by name."""
    return {name: example.save(model(BITS[name]), folder / name) for name in names}


def bundle(name: str, artifact: Artifact, out: Path) -> Path:
    """A bundle of a variant, as a package takes it."""
    report, record = example.report(), example.record(artifact)
    chosen = replace(example.RECOMMENDATION, variant=name)
    return example.bundle(
        artifact,
        out,
        target=packable(artifact, example.TARGET)[1],
        report=replace(report, variants=[replace(report.variants[0], name=name)]),
        record=replace(record, variants=[replace(record.variants[0], name=name)]),
        recommendation=chosen,
        preprocessing={"image": Preprocessing(scale=STEP, mean=(0.0, 0.0), std=(1.0, 1.0))},
        class_names=(),
    )


def bundles(folder: Path) -> dict[str, Path]:
    """A bundle of each variant, whose shared weights lie in files of the same content."""
    shared = share_weights(artifacts(folder), folder / "shared")
    return {name: bundle(name, artifact, folder / f"{name}.bundle") for name, artifact in shared.items()}


def seal(package: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> None:
    """Change package.json as somebody would who makes its digests agree with itself and with the files again."""
    content = json.loads((package / "package.json").read_text())
    change(content)
    content["files"] = {
        path.relative_to(package).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in model_files(package)
        if path.relative_to(package).as_posix() not in ("package.json", SUMS_FILE)
    }
    sealed = manifests.sealed(content)
    text = manifests.render(sealed)
    (package / "package.json").write_text(text)
    (package / SUMS_FILE).write_text(sums(sealed, text.encode(), "package.json"))
