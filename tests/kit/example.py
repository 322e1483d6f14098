"""A run of two small models, and the kit that is packed from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.artifact import Artifact
from pipeline.data.dataset import Split
from pipeline.kit.pack import Judged, Model, Packed, pack
from pipeline.metrics import TopOne
from pipeline.plan import MeasureSettings
from pipeline.results.header import TargetRecord
from pipeline.results.record import AccuracySamples, Record, SubjectRecord, VariantRecord
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


def test_split() -> Split:
    return example.images(EXAMPLES)


def artifacts(folder: Path) -> dict[str, Artifact]:
    return {
        "baseline": example.save(example.linear_model(), folder / "baseline"),
        "dynamic_int8": example.save(example.dynamic_int8_model(), folder / "dynamic_int8"),
    }


def record(made: dict[str, Artifact]) -> Record:
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
    rows = [
        SubjectRecord(
            variant=name,
            target="ort_cpu",
            device="cpu",
            batch_size=4,
            status="ok",
            reason=None,
            peak_memory_bytes=60_000_000,
        )
        for name in made
    ]
    split = test_split()
    return replace(
        example.record(made["baseline"]),
        measure=MEASURE,
        targets={"ort_cpu": TargetRecord(backend="onnxruntime", device="cpu")},
        variants=variants,
        subjects=rows,
        accuracy=AccuracySamples(labels=split.labels, predictions={}, metric="accuracy", examples=split.digest()),
        class_names=list(example.CLASS_NAMES),
    )


def models(run: Record, made: dict[str, Artifact]) -> list[Model]:
    return [Model(row=row, artifact=made[row.variant], target=example.TARGET, fixed_batch=None) for row in run.subjects]


def judged(examples: int | None = None) -> Judged:
    return Judged(
        test=test_split(), preprocessing=example.PREPROCESSING, metric=TopOne(), output_axes=[0], examples=examples
    )


def packed(folder: Path) -> tuple[Packed, Record]:
    """A kit in ``folder``/kit, and the run that it comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    made = artifacts(folder)
    run = record(made)
    return pack(folder / "kit", run, models(run, made), judged()), run


def classes(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=1)
