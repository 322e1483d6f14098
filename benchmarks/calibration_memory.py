"""How much memory does calibrating take, by method and number of examples? Each in a fresh process.

python benchmarks/calibration_memory.py [MAX_MEMORY_MB]

The model is a small CNN on 28x28 images whose activations, all examples' at once, would take 3 GB for 10,000 examples.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.dataset import Split, SplitName
from pipeline.machine.counters import peak_resident_bytes
from pipeline.measure.probe import SIZE, write_probe
from pipeline.metrics import TopOne
from pipeline.plan import Context
from pipeline.stages.quantization.calibration import Calibration
from pipeline.stages.quantize_static import QuantizeStatic

COUNTS = (100, 1_000, 10_000)
METHODS: tuple[Calibration, ...] = ("minmax", "percentile", "entropy", "mse", "output")
_MIB = 2**20


@dataclass(frozen=True)
class Images:
    """Random grey images."""

    count: int
    name: str = "images"
    class_names: tuple[str, ...] = ()

    @property
    def calibration_size(self) -> int:
        """As asked."""
        return self.count

    def split(self, name: SplitName) -> Split:
        """The same for every split."""
        rng = np.random.default_rng(0)
        return Split({"image": rng.standard_normal((self.count, 1, SIZE, SIZE), np.float32)})


def quantize(
    method: Calibration, count: int, max_memory_mb: int, results: multiprocessing.Queue[tuple[float, float]]
) -> None:
    """Quantize the probe and tell the process's peak memory in MiB, and the seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        probe = write_probe(folder / "probe")
        out = folder / "out"
        out.mkdir()
        context = Context(
            data=Images(count),
            preprocessing={},
            metric=TopOne(),
            compare=lambda candidates, reference: {},
            original=lambda: probe,
            seed=0,
            work=folder / "work",
            progress=lambda done, text: None,
            note=lambda name, value: None,
            isa=frozenset(),
        )
        begin = time.monotonic()
        QuantizeStatic(calibration=method, max_memory_mb=max_memory_mb)(probe, out, context)
        results.put(((peak_resident_bytes() or 0) / _MIB, time.monotonic() - begin))


def main(max_memory_mb: int) -> None:
    """Print a line a method and number of examples."""
    spawn = multiprocessing.get_context("spawn")
    for method in METHODS:
        for count in COUNTS:
            results = spawn.Queue()
            process = spawn.Process(target=quantize, args=(method, count, max_memory_mb, results))
            process.start()
            peak, seconds = results.get()
            process.join()
            print(f"{method:<12} {count:>6} examples: peak {peak:>6.0f} MiB, {seconds:>5.1f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else QuantizeStatic().max_memory_mb)
