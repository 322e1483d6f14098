"""The measured best of this machine, and the models that it is measured with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import BackendUnavailable, WorkerFailed
from pipeline.measure.peaks import peak
from pipeline.measure.peaks.models import Shape, write_copies, write_float_products, write_integer_products
from pipeline.measure.peaks.peak import Copying, copy_bytes, measure_peaks
from pipeline.measure.workers.worker import Cell, Job, Timed
from pipeline.plan import Target

SHAPE = Shape(rows=8, edge=16, products=3)
CPU = Target(name="peak", backend=OnnxRuntime())
MIB = 2**20


def test_the_float_model_does_as_many_macs_as_it_says(tmp_path: Path) -> None:
    model = write_float_products(tmp_path, SHAPE)
    assert SHAPE.macs == 8 * 16 * 16 * 3
    assert count(model)[1] == SHAPE.macs
    [largest] = OnnxRuntime().load(model, CPU)({"row": np.ones((1, 16), np.float32)})
    matrix = onnx.numpy_helper.to_array(onnx.load(model.onnx_path).graph.initializer[1])
    expected = np.linalg.matrix_power(matrix, 3).sum(axis=0).max()
    assert largest == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("types", ["u8s8", "u8u8", "s8s8"])
def test_the_integer_models_multiply_integers(tmp_path: Path, types: str) -> None:
    model = write_integer_products(tmp_path, SHAPE, types)
    assert count(model)[1] == SHAPE.macs
    found = OnnxRuntime().load(model, CPU)({"row": np.full((1, 16), 3, np.float32)})
    tensors = {tensor.name: tensor for tensor in onnx.load(model.onnx_path).graph.initializer}
    matrix = onnx.numpy_helper.to_array(tensors["matrix_1"]).astype(np.int32)
    assert matrix.min() < (0 if types.endswith("s8") else 128)
    assert found[1] == 3 * matrix.sum(axis=0).max()


def test_the_copies_of_an_accelerator_keep_what_they_copy(tmp_path: Path) -> None:
    model = write_copies(tmp_path, 4096, 3)
    assert [node.op_type for node in onnx.load(model.onnx_path).graph.node] == ["Expand", *["Abs"] * 3, "ReduceMax"]
    [largest] = OnnxRuntime().load(model, CPU)({"value": np.full(1, -2, np.float32)})
    assert largest == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_a_copy_copies_all_of_an_array(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    monkeypatch.setattr(np, "copyto", lambda out, source: copied.append(source.nbytes))
    target = Target(name="peak", backend=Copying(size_bytes=1000), threads=threads)
    assert Copying(size_bytes=1000).load(Artifact(Path(), "onnx", ""), target)({}) == []
    assert len(copied) == threads
    assert sum(copied) == 1000


@pytest.mark.parametrize(
    ("cache", "available", "expected"),
    [
        (None, None, 64 * MIB),
        (32 * MIB, 2**35, 128 * MIB),
        (2**30, 2**40, 2**30),
        (32 * MIB, 256 * MIB, 32 * MIB),
    ],
)
def test_the_copy_is_larger_than_the_cache_and_fits_into_memory(
    cache: int | None, available: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "last_level_cache_bytes", lambda: cache)
    monkeypatch.setattr(peak, "available_memory_bytes", lambda: available)
    assert copy_bytes() == expected


def test_peaks_are_measured_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "copy_bytes", lambda: MIB)
    found = measure_peaks("cpu", 1)
    assert (found.device, found.threads, found.reasons) == ("cpu", 1, {})
    assert found.fp32_macs_per_s is not None
    assert found.int8_macs_per_s is not None
    assert found.bytes_per_s is not None
    assert found.fp32_macs_per_s > 1e7
    assert found.int8_types in {"u8s8", "u8u8"}


def test_the_half_precision_model_computes_the_same(tmp_path: Path) -> None:
    shape = Shape(rows=4, edge=16, products=2)
    row = {"row": np.linspace(-1, 1, 16, dtype=np.float32)[None]}
    full, half = (
        OnnxRuntime().load(
            write_float_products(tmp_path / str(half), shape, half=half), Target(name="t", backend=OnnxRuntime())
        )(row)
        for half in (False, True)
    )
    np.testing.assert_allclose(half[0], full[0], rtol=0.01)


@dataclass(frozen=True)
class Clocked:
    """A process whose calls all take as long as it is told, or that fails with a reason."""

    took: float | str

    def ask(self, command: object) -> Timed | None:
        if isinstance(self.took, str):
            raise WorkerFailed(self.took)
        if not isinstance(command, Cell):
            return None
        return Timed(durations_ns=np.array([3, 1]) * int(self.took * 1e9), run_delay_ns=0, major_faults=0)


def clocked(monkeypatch: pytest.MonkeyPatch, **took: float | str) -> dict[str, Job]:
    """What each process takes for its calls; the jobs that they are started for come to be in what is returned."""
    asked: dict[str, Job] = {}

    @contextmanager
    def started(jobs: Mapping[str, Job], start: str) -> Iterator[dict[str, Clocked]]:
        asked.update(jobs)
        yield {name: Clocked(took.get(name, 1.0)) for name in jobs}

    monkeypatch.setattr(peak, "started", started)
    return asked


def test_a_card_is_asked_for_tf32_and_half_precision_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntime, "check", lambda self, target: None)
    jobs = clocked(monkeypatch, tf32=0.5)
    found = measure_peaks("cuda", 1)
    assert set(jobs) == {"fp32", "tf32", "fp16", "s8s8", "copy"}
    assert jobs["tf32"].target.session["tf32"] is True
    assert jobs["tf32"].artifact == jobs["fp32"].artifact
    assert all("session.disable_cpu_ep_fallback" in job.target.session["config"] for job in jobs.values())
    assert found.fp32_macs_per_s is not None
    assert found.tf32_macs_per_s == 2 * found.fp32_macs_per_s
    assert (found.fp16_macs_per_s, found.int8_types) == (found.fp32_macs_per_s, "s8s8")


def test_the_fastest_call_counts_and_the_faster_of_two_integer_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked(monkeypatch, fp32=2.0, u8s8=1.0, u8u8=0.5, copy=4.0)
    monkeypatch.setattr(peak, "copy_bytes", lambda: MIB)
    found = measure_peaks("cpu", 1)
    assert found.fp32_macs_per_s is not None
    assert (found.int8_macs_per_s, found.int8_types) == (4 * found.fp32_macs_per_s, "u8u8")
    assert found.bytes_per_s == 2 * MIB / 4.0, "a copy reads and writes"


def test_what_can_not_be_run_costs_its_own_figure_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked(monkeypatch, u8s8="no kernel", u8u8="none", copy="it died")
    found = measure_peaks("cpu", 1)
    assert found.fp32_macs_per_s is not None
    assert (found.int8_macs_per_s, found.int8_types, found.bytes_per_s) == (None, None, None)
    assert found.reasons == {"int8": "no kernel", "copy": "it died"}


def test_without_the_provider_nothing_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: OnnxRuntime, target: Target) -> None:
        raise BackendUnavailable("no NVIDIA GPU is visible on this machine")

    monkeypatch.setattr(OnnxRuntime, "check", check)
    found = measure_peaks("cuda", 1)
    assert (found.fp32_macs_per_s, found.int8_macs_per_s, found.bytes_per_s) == (None, None, None)
    assert set(found.reasons.values()) == {"no NVIDIA GPU is visible on this machine"}
