"""Reading OpenVINO's counters."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.backends.openvino import OpenVino
from pipeline.backends.openvino.profile import read_counters
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.plan import Profiler, Target


def counter(name: str, op: str, kernel: str, us: int, status: str = "EXECUTED") -> Any:
    return SimpleNamespace(
        node_name=name,
        node_type=op,
        exec_type=kernel,
        real_time=timedelta(microseconds=us),
        status=SimpleNamespace(name=status),
    )


def test_the_warm_calls_part_is_taken_out_of_the_means_and_the_kernel_tells_the_precision() -> None:
    warm, later = (counter("conv", "Convolution", "brgconv_avx512_amx_I8", us) for us in (500, 300))
    # Five calls of 500 and ten of 200 microseconds: a mean of 300.
    assert read_counters([warm], 5, [later], 10) == [
        {
            "name": "conv",
            "op": "Convolution",
            "provider": "OpenVINO CPU",
            "type": "int8",
            "ms": pytest.approx(0.2),
            "kernel": "brgconv_avx512_amx_I8",
        }
    ]


def test_what_did_not_run_by_itself_is_left_out() -> None:
    fused = [counter("relu", "Relu", "undef", 5, status) for status in ("NOT_RUN", "OPTIMIZED_OUT")]
    assert read_counters([], 0, fused, 1) == []


@pytest.mark.parametrize(("kernel", "kind"), [("brgconv_avx2_f32", "float"), ("jit_uni_BF16", "bfloat16"), ("ref", "")])
def test_the_precision_is_the_kernels_last_word(kernel: str, kind: str) -> None:
    (node,) = read_counters([], 0, [counter("any", "Any", kernel, 1)], 1)
    assert node["type"] == kind


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")
def test_a_real_model_tells_its_operators(tmp_path: Path) -> None:
    backend = OpenVino()
    assert isinstance(backend, Profiler)
    target = Target(name="openvino_cpu", backend=backend, session={"precision": "f32"})
    found = backend.profile(write_probe(tmp_path / "probe"), target, probe_feed(), 20)
    convolutions = [node for node in found["nodes"] if node["op"] == "Convolution"]
    assert {node["type"] for node in convolutions} == {"float"}
    assert all(node["kernel"].upper().endswith("F32") for node in convolutions)
    assert 0 < sum(node["ms"] for node in convolutions) <= found["call_ms"]
    assert (found["calls"], found["channels"]) == (20, [32, 32])
