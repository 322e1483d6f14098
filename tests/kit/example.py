"""A run of small models, one of which no runtime loads, and the kit that is packed from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from pipeline.artifact import Artifact
from pipeline.kit.contents import Judged, Model
from pipeline.kit.pack import Packed, pack
from pipeline.metrics import TopOne
from pipeline.plan import MeasureSettings, Metric
from pipeline.results.header import TargetRecord
from pipeline.results.record import AccuracySamples, Record, SubjectRecord, VariantRecord, save_record
from tests.bundle import example

EXAMPLES = 24
MEASURE = MeasureSettings(
    profile="quick",
    looks=(3,),
    blocks=4,
    cell_ms=0.2,
    untimed_ms=0.1,
    warmup_calls=2,
    warmup_ms=0.1,
    screening=True,
    alpha=0.05,
)
"""A measuring that takes no time, and settles nothing."""
ALONE = """\
import runpy, sys
sys.path.append(sys.argv.pop(1))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
"""
"""Runs a program that finds the standard library and one folder of packages, and so do the processes it starts."""


def artifacts(folder: Path) -> dict[str, Artifact]:
    return {
        "baseline": example.save(example.linear_model(), folder / "baseline"),
        "dynamic_int8": example.save(example.dynamic_int8_model(), folder / "dynamic_int8"),
        "unknown": example.save(_of_an_unknown_operator(), folder / "unknown"),
    }


def record(made: Mapping[str, Artifact]) -> Record:
    variants = [
        VariantRecord(
            name=name,
            status="ok",
            reason=None,
            stages=[],
            format="onnx",
            digest=artifact.digest,
            path=str(artifact.path),
            size_bytes=artifact.size_bytes,
            parameters=96,
            macs=96,
        )
        for name, artifact in made.items()
    ]
    split = example.images(EXAMPLES)
    return replace(
        example.record(made["baseline"]),
        measure=MEASURE,
        targets={"ort_cpu": TargetRecord(backend="onnxruntime", device="cpu")},
        variants=variants,
        subjects=[_row(name) for name in made],
        accuracy=AccuracySamples(labels=split.labels, predictions={}, metric="accuracy", examples=split.digest()),
        class_names=list(example.CLASS_NAMES),
    )


def models(run: Record, made: Mapping[str, Artifact]) -> list[Model]:
    return [Model(row=row, artifact=made[row.variant], target=example.TARGET, fixed_batch=None) for row in run.subjects]


def judged(examples: int | None = None, metric: Metric | None = None) -> Judged:
    return Judged(
        test=example.images(EXAMPLES),
        preprocessing=example.PREPROCESSING,
        metric=metric or TopOne(),
        output_axes=[0],
        examples=examples,
    )


def packed(folder: Path) -> tuple[Packed, Record]:
    """A kit in ``folder``/kit; the run that it comes from is in ``folder``/run."""
    made = artifacts(folder)
    run = record(made)
    save_record(run, folder / "run" / "samples")
    return pack(folder / "kit", run, models(run, made), judged()), run


def bare_packages(folder: Path) -> Path:
    """A folder of packages that holds numpy and onnxruntime, and nothing else."""
    folder.mkdir()
    for package in (Path(np.__file__).parent, Path(onnxruntime.__file__).parent):
        for found in package.parent.glob(f"{package.name}*"):
            (folder / found.name).symlink_to(found)
    return folder


def run_kit(kit: Path, packages: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a kit's program as on a machine that has numpy and onnxruntime only."""
    words = [sys.executable, "-I", "-S", "-W", "error", "-c", ALONE, str(packages), str(kit), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _row(name: str) -> SubjectRecord:
    return SubjectRecord(
        variant=name,
        target="ort_cpu",
        device="cpu",
        batch_size=4,
        status="ok",
        reason=None,
        peak_memory_bytes=60_000_000,
    )


def _of_an_unknown_operator() -> onnx.ModelProto:
    """A model that no runtime loads."""
    graph = helper.make_graph(
        [helper.make_node("Nowhere", ["image"], ["logits"], domain="nowhere")],
        "unknown",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
