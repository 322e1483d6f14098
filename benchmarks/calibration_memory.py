"""How much memory do calibrating, and pruning with compensation take, by number of examples? Each in a fresh process.

python benchmarks/calibration_memory.py [MAX_MEMORY_MB]

Calibrating has a small CNN on 28x28 images whose activations, all examples' at once, would take 3 GB for 10,000
examples. Pruning and compensating have a small encoder of two layers; what is inside each MLP would take 655 MB.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.artifact import Artifact
from pipeline.data.dataset import Dataset, Split, SplitName
from pipeline.machine.counters import peak_resident_bytes
from pipeline.measure.probe import SIZE, write_probe
from pipeline.metrics import TopOne
from pipeline.plan import Context
from pipeline.stages.compensate import Compensate
from pipeline.stages.prune import Prune
from pipeline.stages.quantization.calibration import Calibration
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.zoo.source import InputSpec, TorchModel

COUNTS = (100, 1_000, 10_000)
TOKENS = 64
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


@dataclass(frozen=True)
class Tokens:
    """Random token numbers, all of them counted."""

    count: int
    name: str = "tokens"
    class_names: tuple[str, ...] = ()

    @property
    def calibration_size(self) -> int:
        """As asked."""
        return self.count

    def split(self, name: SplitName) -> Split:
        """The same for every split."""
        tokens = np.random.default_rng(0).integers(0, 1000, (self.count, TOKENS))
        return Split({"input_ids": tokens, "attention_mask": np.ones_like(tokens)})


def quantize(method: Calibration, max_memory_mb: int, count: int, folder: Path) -> None:
    """Quantize the probe."""
    probe = write_probe(folder / "probe")
    QuantizeStatic(calibration=method, max_memory_mb=max_memory_mb)(
        probe, _new(folder / "out"), _context(Images(count), probe, folder)
    )


def prune_and_compensate(count: int, folder: Path) -> None:
    """Prune an encoder by reconstruction and compensate it, both on all examples."""
    inputs = {name: InputSpec(shape=(TOKENS,), dtype="int64") for name in ("input_ids", "attention_mask")}
    model = TorchModel(
        name="encoder",
        factory="pipeline.zoo.encoder.Encoder",
        weights=None,
        inputs=inputs,
        arguments={"num_classes": None},
        outputs=("embedding",),
    )
    model.write(_new(folder / "whole"))
    whole = Artifact(path=folder / "whole", format="torch", digest="")
    context = _context(Tokens(count), whole, folder)
    Prune(importance="reconstruction", importance_examples=count)(whole, _new(folder / "pruned"), context)
    Compensate(max_examples=None)(Artifact(folder / "pruned", "torch", ""), _new(folder / "out"), context)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _context(data: Dataset, original: Artifact, folder: Path) -> Context:
    return Context(
        data=data,
        preprocessing={},
        metric=TopOne(),
        compare=lambda candidates, reference: {},
        original=lambda: original,
        seed=0,
        work=folder / "work",
        progress=lambda done, text: None,
        note=lambda name, value: None,
        isa=frozenset(),
    )


def peak(work: Callable[[int, Path], None], count: int, results: multiprocessing.Queue[tuple[float, float]]) -> None:
    """Tell the process's peak memory in MiB, and the seconds."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        work(count, Path(name))
    results.put(((peak_resident_bytes() or 0) / _MIB, time.monotonic() - begin))


def main(max_memory_mb: int) -> None:
    """Print a line for each kind of work and number of examples."""
    spawn = multiprocessing.get_context("spawn")
    works: dict[str, Callable[[int, Path], None]] = {
        **{method: partial(quantize, method, max_memory_mb) for method in METHODS},
        "prune, compensate": prune_and_compensate,
    }
    for name, work in works.items():
        for count in COUNTS:
            results = spawn.Queue()
            process = spawn.Process(target=peak, args=(work, count, results))
            process.start()
            most, seconds = results.get()
            process.join()
            print(f"{name:<17} {count:>6} examples: peak {most:>6.0f} MiB, {seconds:>5.1f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else QuantizeStatic().max_memory_mb)
