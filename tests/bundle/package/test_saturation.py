"""Why a package has a variant with 7-bit weights: on x86 without VNNI the products of 8-bit weights saturate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from pipeline.bundle.package.kinds import EXACT
from pipeline.machine.environment import isa
from pipeline.machine.instruction_sets import lacks_dot_products
from tests.bundle.package import example

PIXELS = np.random.default_rng(3).integers(180, 256, (4, 2, 4, 4)).astype(np.float32) * np.float32(example.STEP)
QEMU = shutil.which("qemu-x86_64")
RUN = """
import json, sys, numpy, onnxruntime
values = numpy.load(sys.argv[1])
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    print(json.dumps(session.run(None, {"image": values})[0].tolist()))
"""


def exact(bits: int) -> NDArray[np.float64]:
    """The logits by products that are added up in 32 bits, as VNNI does it."""
    pixels, weights, scale = whole(bits)
    return np.asarray((pixels @ weights) * scale @ example.table().astype(np.float64))


def saturated(bits: int) -> NDArray[np.float64]:
    """The logits by pairs of products that are added up in 16 bits, as AVX2's vpmaddubsw does it."""
    pixels, weights, scale = whole(bits)
    pairs = pixels[:, 0::2, None] * weights[None, 0::2] + pixels[:, 1::2, None] * weights[None, 1::2]
    sums = pairs.clip(-(2**15), 2**15 - 1).sum(axis=1)
    return np.asarray(sums * scale @ example.table().astype(np.float64))


def whole(bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    half = 1 if bits == 8 else 2
    pixels = np.round(PIXELS.reshape(len(PIXELS), -1) / np.float32(example.STEP)).astype(np.int64)
    return pixels, (example.weights() // half).astype(np.int64), example.STEP * example.STEP * half


def agrees(found: NDArray[np.float32], wanted: NDArray[np.float64]) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max())


def run_here(model: onnx.ModelProto, config: Mapping[str, str] = {}) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"image": PIXELS})[0]
    return found


def test_the_example_saturates_with_8_bits_and_not_with_7() -> None:
    assert not agrees(saturated(8).astype(np.float32), exact(8))
    assert np.array_equal(saturated(7), exact(7))


def test_8_bit_weights_saturate_on_a_processor_without_vnni_and_on_no_other() -> None:
    here = isa()
    wanted = saturated(8) if lacks_dot_products(here) and "avx2" in here else exact(8)
    assert agrees(run_here(example.model(8)), wanted)


def test_7_bit_weights_are_exact_on_every_processor() -> None:
    assert agrees(run_here(example.model(7)), exact(7))


def test_with_the_option_that_a_package_sets_8_bit_weights_are_exact_on_every_processor() -> None:
    assert agrees(run_here(example.model(8), EXACT), exact(8))


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="needs qemu-user")
def test_an_emulated_processor_with_avx2_saturates_with_8_bits_and_is_exact_with_7(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", PIXELS)
    for bits in (8, 7):
        onnx.save(example.model(bits), tmp_path / f"{bits}.onnx")
    command = [str(QEMU), "-cpu", "Haswell", sys.executable, "-c", RUN, "values.npy", "8.onnx", "7.onnx"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    in_8, in_7 = (np.asarray(json.loads(line), np.float32) for line in ended.stdout.splitlines())
    assert agrees(in_8, saturated(8))
    assert agrees(in_7, exact(7))
