"""``manifest.json``: the facts that a deploy bundle states about itself."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.bundle.slimline_infer.values import printable
from pipeline.libraries.revision import revision
from pipeline.results.figures import Latency
from pipeline.results.record import Record, VariantRecord
from pipeline.results.report import Recommendation, Report, Result

SCHEMA_VERSION = 3
MOST_BYTES = 2**24
"""The most bytes of a manifest: a larger one is not read."""
MOST_LEVELS = 40
MOST_ENTRIES = 200_000
LARGEST_NUMBER = 2**63
_SHOWN = 200
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema that every manifest follows."""
    text = files("pipeline.bundle").joinpath("manifest.schema.json").read_text(encoding="utf-8")
    plain: dict[str, Any] = json.loads(text)
    return plain


def maker(record: Record) -> dict[str, Any]:
    """The slimline that measured and wrote this: its version and, where it is known, the commit."""
    told = record.slimline or revision()
    return {name: told.get(name) for name in ("version", "commit", "changed")}


def measured(report: Report, record: Record, recommendation: Recommendation) -> dict[str, Any]:
    """The recommended row's figures with their intervals, and where they were measured.

    Raises ValueError where the report has no such row.
    """
    result = recommended_row(report, recommendation)
    variant = next(variant for variant in report.variants if variant.name == recommendation.variant)
    return {
        "target": result.target,
        "device": result.device,
        "batch_size": result.batch_size,
        "machine": asdict(record.machine),
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
        "artifact_digest": digest,
        "stages": [
            {"name": stage.name, "kind": stage.kind, "fields": stage.fields, "digest": stage.digest}
            for stage in variant.stages
        ],
        "libraries": record.machine.libraries,
    }


def render(manifest: Mapping[str, Any]) -> str:
    """The file's text. There is one spelling of a manifest, so that no changed byte goes unnoticed."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as plain values, with the digest of its own content."""
    content: dict[str, Any] = plain({name: value for name, value in manifest.items() if name != "digest"})
    return {**content, "digest": hashlib.sha256(render(content).encode()).hexdigest()}


class Unreadable(ValueError):
    """Raised for a manifest that is not read; the message says why."""


def parse(content: bytes) -> dict[str, Any]:
    """A manifest's values, from a file that may be anybody's; raises Unreadable, with the reason.

    JSON in its narrow sense: no number that is not finite or has no end, no key twice, nothing nested too deep.
    """
    try:
        manifest = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_int=lambda text: _bounded(int(text), text),
            parse_float=lambda text: _bounded(float(text), text),
        )
    except RecursionError as error:
        raise Unreadable(f"{MANIFEST_FILE} is nested too deep (at most {MOST_LEVELS} levels)") from error
    except ValueError as error:
        raise Unreadable(f"{MANIFEST_FILE} is not JSON: {_brief(error)}") from error
    if not isinstance(manifest, dict):
        raise Unreadable(f"{MANIFEST_FILE} holds no object")
    _check_size(manifest)
    return manifest


def problems(manifest: Mapping[str, Any], content: bytes) -> list[str]:
    """The problems of a manifest that was parsed from ``content``: it breaks the schema, or was changed."""
    found = manifest.get("schema_version")
    if type(found) is not int or found != SCHEMA_VERSION:
        return [_other_version(manifest)]
    errors = sorted(_validator().iter_errors(manifest), key=lambda error: error.json_path)
    if errors:
        return [f"{MANIFEST_FILE}, {_brief(error.json_path)}: {_brief(error.message)}" for error in errors[:5]]
    for kind in ("inputs", "outputs"):
        if len({entry["name"] for entry in manifest[kind]}) < len(manifest[kind]):
            return [f"{MANIFEST_FILE} declares {kind} of the same name"]
    # The file's own spelling, so that a changed byte between two values counts as well.
    try:
        unchanged = sealed(manifest)["digest"] == manifest["digest"] and render(manifest).encode() == content
    except ValueError as error:  # half of a character
        return [f"{MANIFEST_FILE} holds a text that is none: {_brief(error)}"]
    if not unchanged:
        return [f"{MANIFEST_FILE} was changed after it was written (its content doesn't match its own digest)"]
    return []


def _other_version(manifest: Mapping[str, Any]) -> str:
    """Made by an older or a newer slimline, in words that say what to do."""
    maker = manifest.get("slimline")
    version = maker.get("version") if isinstance(maker, dict) else None
    made = f"was made by slimline {_brief(version)}" if version else "was made by another slimline"
    found = manifest.get("schema_version")
    return (
        f"this bundle {made}, with a manifest of version {_brief(found)}; this slimline {__version__} reads version "
        f"{SCHEMA_VERSION}: verify the bundle with the slimline that made it, or let this one write it anew by the "
        "command in its manifest"
    )


@lru_cache(maxsize=1)
def _validator() -> Any:
    """The validator of the schema, with whole numbers in a narrow sense: 4.0 is none."""
    import jsonschema

    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = jsonschema.validators.extend
    return extend(jsonschema.Draft202012Validator, type_checker=types)(schema())


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _) = Counter(name for name, _ in pairs).most_common(1)[0]
        raise Unreadable(f"the key '{_brief(twice)}' is there twice")
    return found


def _no_number(text: str) -> None:
    raise Unreadable(f"{text} is no number")


def _bounded(value: float, text: str) -> float:
    if not abs(value) <= (LARGEST_NUMBER if isinstance(value, int) else sys.float_info.max):
        raise Unreadable(f"the number {_brief(text)} is too large")
    return value


def _check_size(manifest: dict[str, Any]) -> None:
    """Raise Unreadable where values are nested too deep or are too many."""
    level: list[Any] = [manifest]
    count = 0
    for _ in range(MOST_LEVELS):
        level = [
            value
            for entry in level
            if isinstance(entry, (dict, list))
            for value in (entry.values() if isinstance(entry, dict) else entry)
        ]
        count += len(level)
    if level:
        raise Unreadable(f"{MANIFEST_FILE} is nested too deep (at most {MOST_LEVELS} levels)")
    if count > MOST_ENTRIES:
        raise Unreadable(f"{MANIFEST_FILE} holds {count} values (at most {MOST_ENTRIES})")


def _brief(value: object) -> str:
    """A value of somebody else's in a message: on one line, and not too long."""
    text = printable(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def plain(value: Any) -> Any:
    """The value in JSON's own types; a number that is not finite becomes None, a set a sorted list."""
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
    """The latency without the distribution, which only the report has."""
    return {name: value for name, value in asdict(latency).items() if name != "distribution_ms"}
