"""Measures what this machine can do at best: large matrix products by type, and a copy between two places in memory.

Each peak is a model made on the spot and run by the backends' own means in a fresh process, on as many threads as a
target has. The fastest of several calls counts: a peak is a maximum, and anything that disturbs a call makes it slower.

Source: Williams, Waterman & Patterson 2009 (the roofline model).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Feed
from pipeline.errors import OutOfSpace, Skipped, SlimlineError, WorkerFailed, reasoned, reporting_temporary
from pipeline.machine.environment import available_memory_bytes, last_level_cache_bytes
from pipeline.measure.cores import cores_for
from pipeline.measure.peaks.models import Shape, write_copies, write_float_products, write_integer_products
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.start import started
from pipeline.measure.workers.worker import Cell, Job, Load, Timed
from pipeline.plan import Device, Session, Target
from pipeline.results.header import Peaks

_CPU = Shape(rows=512, edge=512, products=4)
"""Rows a thread. With these the fp32 product was fastest on the machine it was tried on; larger ones leave the L2."""
_ACCELERATOR = Shape(rows=4096, edge=4096, products=4)
_LARGEST_ROWS = 16_384
_CACHES = 4
"""The copy is this many times as large as the last-level cache."""
_SMALLEST_COPY, _LARGEST_COPY = 64 * 2**20, 2**30
_ACCELERATOR_COPY = 512 * 2**20
_COPIES = 16
_CALLS = 5
_MEASURED_NS = 250_000_000
_INTEGER_TYPES: Mapping[Device, tuple[str, ...]] = {"cpu": ("u8s8", "u8u8"), "cuda": ("s8s8",)}
"""What MatMulInteger has a fast kernel for: activations, then weights."""
_FIGURES: Mapping[Device, tuple[str, ...]] = {
    "cpu": ("fp32", "int8", "copy"),
    "cuda": ("fp32", "tf32", "fp16", "int8", "copy"),
}
"""What is measured where."""
_NO_FALLBACK = {"session.disable_cpu_ep_fallback": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """A backend that runs no model: a call copies an array, on as many threads as the target has."""

    size_bytes: int
    name: ClassVar[str] = "copying"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None:
        """Do nothing: copying works anywhere."""

    def preload(self, target: Target) -> None:
        """Do nothing: there is nothing to import."""

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Make both arrays, write to them, and divide them into parts of equal size."""
        threads = target.threads
        source = np.ones(self.size_bytes // 8)
        copies = np.zeros_like(source)
        parts = list(zip(np.array_split(copies, threads), np.array_split(source, threads), strict=True))
        pool = ThreadPoolExecutor(threads) if threads > 1 else None

        def call(feed: Feed) -> list[NDArray[Any]]:
            if pool is None:
                np.copyto(*parts[0])
                return []
            list(pool.map(lambda part: np.copyto(*part), parts))  # numpy lets other threads run while it copies
            return []

        return call


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Something to time, and how much of it a call does (multiply-accumulates, or bytes)."""

    job: Job
    amount: int


def measure_peaks(device: Device, threads: int) -> Peaks:
    """The peaks, measured in about two seconds; a peak that can't be measured here is None, with the reason.

    fp32 is computed as such; on CUDA TF32 and fp16 are peaks of their own. int8 is the best of the combinations of
    signed and unsigned that have kernels. The copy counts the bytes read and the bytes written.
    """
    try:
        OnnxRuntime().check(Target(name="peak", backend=OnnxRuntime(), device=device, threads=threads))
    except Skipped as error:
        return Peaks(device=device, threads=threads, reasons=dict.fromkeys(_FIGURES[device], str(error)))
    rates: dict[str, float] = {}
    reasons: dict[str, str] = {}

    def fail(error: SlimlineError) -> None:
        reasons.update(dict.fromkeys((*_FIGURES[device], *_INTEGER_TYPES[device]), str(error)))

    try:
        with (
            reasoned(fail),
            reporting_temporary(),
            tempfile.TemporaryDirectory(prefix="slimline-peak-") as folder,
        ):
            rates, reasons = _rates(_tasks(Path(folder), device, threads))
    except OutOfSpace as error:
        fail(error)
    integer = {types: rates[types] for types in _INTEGER_TYPES[device] if types in rates}
    best = max(integer, key=lambda types: integer[types], default=None)
    if best is None:
        reasons["int8"] = next(reasons[types] for types in _INTEGER_TYPES[device])
    return Peaks(
        device=device,
        threads=threads,
        fp32_macs_per_s=rates.get("fp32"),
        tf32_macs_per_s=rates.get("tf32"),
        fp16_macs_per_s=rates.get("fp16"),
        int8_macs_per_s=None if best is None else integer[best],
        int8_types=best,
        bytes_per_s=rates.get("copy"),
        reasons={name: reasons[name] for name in _FIGURES[device] if name in reasons},
    )


def _tasks(folder: Path, device: Device, threads: int) -> dict[str, _Task]:
    shape = Shape(rows=min(_CPU.rows * threads, _LARGEST_ROWS), edge=_CPU.edge, products=_CPU.products)
    if device != "cpu":
        shape = _ACCELERATOR
    config = {} if device == "cpu" else {"config": _NO_FALLBACK}
    target = Target(name="peak", backend=OnnxRuntime(), device=device, threads=threads, session=config)
    cores = cores_for([target])
    row = {"row": np.linspace(-1, 1, shape.edge, dtype=np.float32)[None]}

    def task(artifact: Artifact, amount: int, on: Target = target, feed: Feed = row) -> _Task:
        return _Task(job=Job(artifact=artifact, target=on, feed=feed, cores=cores), amount=amount)

    tasks = {"fp32": task(write_float_products(folder / "fp32", shape), shape.macs)}
    for types in _INTEGER_TYPES[device]:
        tasks[types] = task(write_integer_products(folder / types, shape, types), shape.macs)
    if device == "cpu":
        size = copy_bytes()
        copying = Target(name="peak", backend=Copying(size_bytes=size), threads=threads)
        return {**tasks, "copy": task(tasks["fp32"].job.artifact, 2 * size, copying)}
    in_tf32 = replace(target, session={**target.session, "tf32": True})
    tasks["tf32"] = task(tasks["fp32"].job.artifact, shape.macs, in_tf32)
    tasks["fp16"] = task(write_float_products(folder / "fp16", shape, half=True), shape.macs)
    value = {"value": np.ones(1, np.float32)}
    copies = write_copies(folder / "copy", _ACCELERATOR_COPY, _COPIES)
    # The first array is written and the last one read: together as much as one more copy.
    return {**tasks, "copy": task(copies, 2 * (_COPIES + 1) * _ACCELERATOR_COPY, feed=value)}


def copy_bytes() -> int:
    """The size of the array to copy: far beyond the last-level cache, and small enough for two of them in the memory
    that is free."""
    wanted = min(max(_CACHES * (last_level_cache_bytes() or 0), _SMALLEST_COPY), _LARGEST_COPY)
    available = available_memory_bytes()
    return wanted if available is None else max(min(wanted, available // 8), 8)


def _rates(tasks: Mapping[str, _Task]) -> tuple[dict[str, float], dict[str, str]]:
    """Amounts a second by task, and the reason for each that failed. One is timed at a time, when all are up."""
    rates: dict[str, float] = {}
    reasons: dict[str, str] = {}
    with started({name: task.job for name, task in tasks.items()}, "fork") as workers:
        for name, task in tasks.items():
            try:
                rates[name] = task.amount / _fastest_s(workers[name])
            except WorkerFailed as failure:
                reasons[name] = str(failure)
    return rates, reasons


def _fastest_s(worker: Worker | WorkerFailed) -> float:
    if isinstance(worker, WorkerFailed):
        raise worker
    worker.ask(Load(calls=2, warmup_ns=0))
    timed: Timed = worker.ask(Cell(untimed_ns=0, calls=_CALLS, cell_ns=_MEASURED_NS))
    return float(timed.durations_ns.min()) / 1e9
