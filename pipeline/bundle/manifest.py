"""``manifest.json``: what a deploy bundle says about itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from pipeline.record import Record, VariantRecord
from pipeline.results import Latency, Recommendation, Report, Result

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema that every manifest follows."""
    text = files("pipeline.bundle").joinpath("manifest.schema.json").read_text(encoding="utf-8")
    plain: dict[str, Any] = json.loads(text)
    return plain


def measured(report: Report, record: Record, recommendation: Recommendation) -> dict[str, Any]:
    """The recommended row's figures with their intervals, and where they were taken.

    Raises ValueError where the report has no such row.
    """
    result = recommended_row(report, recommendation)
    variant = next(variant for variant in report.variants if variant.name == recommendation.variant)
    return {
        "target": result.target,
        "device": result.device,
        "batch_size": result.batch_size,
        "machine": record.machine,
        "accuracy": asdict(result.accuracy) if result.accuracy else None,
        "latency_ms": _latency(result.latency_ms) if result.latency_ms else None,
        "throughput": result.throughput,
        "speedup": asdict(result.speedup) if result.speedup else None,
        "size_bytes": variant.size_bytes,
        "peak_memory_bytes": result.peak_memory_bytes,
        "load_ms": result.load_ms,
        "first_inference_ms": result.first_inference_ms,
    }


def recommended_row(report: Report, recommendation: Recommendation) -> Result:
    """The report's row that a recommendation means; raises ValueError where there is none."""
    wanted = (recommendation.variant, recommendation.target, recommendation.batch_size)
    for variant in report.variants:
        for result in variant.results:
            if (variant.name, result.target, result.batch_size) == wanted:
                return result
    raise ValueError(f"the report has no row for {wanted[0]}@{wanted[1]}/{wanted[2]}")


def provenance(record: Record, variant: VariantRecord, digest: str) -> dict[str, Any]:
    """How the model came to be: enough to build it again."""
    return {
        "command": record.command,
        "model": record.model,
        "data": record.data,
        "seed": record.seed,
        "digest": digest,
        "stages": [
            {"name": stage.name, "kind": stage.kind, "fields": stage.fields, "digest": stage.digest}
            for stage in variant.stages
        ],
        "libraries": record.machine.get("libraries", {}),
    }


def render(manifest: Mapping[str, Any]) -> str:
    """The file's text. There is one spelling of a manifest, so that no changed byte goes unnoticed."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as plain values, with the digest of its own content."""
    content: dict[str, Any] = plain({name: value for name, value in manifest.items() if name != "digest"})
    return {**content, "digest": hashlib.sha256(render(content).encode()).hexdigest()}


def problems(content: bytes) -> list[str]:
    """What is wrong with a manifest file: not JSON, not by the schema, or not what was written."""
    import jsonschema

    try:
        text = content.decode()
        manifest = json.loads(text)
    except ValueError as error:
        return [f"{MANIFEST_FILE} is not JSON: {error}"]
    validator = jsonschema.Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(manifest), key=lambda error: error.json_path)
    if errors:
        return [f"{MANIFEST_FILE}, {error.json_path}: {error.message}" for error in errors]
    # The file's own spelling, so that a changed byte between two values counts as well.
    if sealed(manifest)["digest"] != manifest["digest"] or render(manifest) != text:
        return [f"{MANIFEST_FILE} was changed after it was written (its content doesn't match its own digest)"]
    return []


def plain(value: Any) -> Any:
    """JSON's own types; a number that is not finite becomes None, a set a sorted list."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(entry) for entry in value)
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _latency(latency: Latency) -> dict[str, Any]:
    """Without the distribution: that is the report's."""
    return {name: value for name, value in asdict(latency).items() if name != "distribution_ms"}
