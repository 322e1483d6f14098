"""Reads ``samples/`` of a run back. A file that is damaged, or of another version, is told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__
from pipeline.bounds import fitted, hints_of
from pipeline.errors import UserError, first_line
from pipeline.plan.roles import Role
from pipeline.results.record import (
    BESIDE,
    COLUMNS,
    NODES,
    RECORD_FILE,
    RECORD_VERSION,
    SAMPLES,
    SURENESS,
    AccuracySamples,
    LatencySamples,
    Record,
)

T = TypeVar("T")
ROLES_BEFORE: Mapping[str, Role] = {
    "ConvertFp16": "precision",
    "ExportOnnx": "export",
    "Finetune": "training",
    "FixShapes": "graph",
    "Fuse": "graph",
    "LowRank": "architecture",
    "OptimizeGraph": "graph",
    "Prune": "architecture",
    "QuantizeAware": "precision",
    "QuantizeDynamic": "precision",
    "QuantizeMixed": "precision",
    "QuantizeStatic": "precision",
    "QuantizeWeights": "precision",
    "Recalibrate": "training",
    "ResizeInput": "input",
    "Simplify": "graph",
    "SmoothQuant": "precision",
}
"""The roles of the stages from the time when records did not keep them."""
_SHOWN = 3
"""The most problems of a file that are told."""


@dataclass(frozen=True)
class _Place:
    """What every entry of the telemetry has, beside its counters."""

    round: int
    block: int


_NOT_YET = {
    "explain": "none",
    "energy_s": None,
    "peaks": False,
    "exclusive": False,
    "probe": False,
    "map": False,
    "long_call_ms": None,
}
"""What a record that has no such setting did: it is of a version that could not do it."""


def load_run(run_folder: Path) -> Record:
    """Read a run's samples; raises UserError, with one line, where there are none, or none that can be read."""
    if run_folder.is_file():
        raise UserError(f"{run_folder} is a file: type a run's folder, such as outputs/latest")
    samples = run_folder / SAMPLES
    try:
        return load_record(samples)
    except FileNotFoundError as error:
        raise UserError(
            f"{run_folder} is not a finished run: {samples / RECORD_FILE} does not exist; "
            "type a run's folder, such as outputs/latest"
        ) from error
    except ValueError as error:
        raise UserError(str(error)) from error


def load_nodes(run_folder: Path) -> dict[str, Record]:
    """What a run measured on nodes of a cluster, by their names; raises ValueError with one line for a file that can't
    be read."""
    files = sorted((run_folder / SAMPLES / NODES).glob(f"*/{RECORD_FILE}"))
    return {file.parent.name: load_record(file.parent) for file in files}


def load_record(folder: Path) -> Record:
    """Read ``samples/`` back; raises FileNotFoundError, or ValueError with one line for a file that can't be read."""
    path = folder / RECORD_FILE
    if not path.exists():
        raise FileNotFoundError(path)
    plain = _read(path, _plain)
    columns = _read(folder / "latency.npz", _arrays)
    accuracy = _read(folder / "accuracy.npz", _arrays)
    record: Record = _read(path, lambda _: _record(plain, columns, accuracy))
    return record


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except Exception as error:  # damaged bytes make zipfile, NumPy and json raise what they like
        said = str(error) if type(error) is ValueError else first_line(error)
        raise ValueError(f"{path} can't be read: {said}") from error


def _plain(path: Path) -> dict[str, Any]:
    plain = json.loads(path.read_bytes())
    if not isinstance(plain, dict):
        raise ValueError("it holds no record")
    found = plain.pop("record_version", None)
    if found != RECORD_VERSION:
        made = plain.get("slimline")
        version = made.get("version", "another") if isinstance(made, dict) else "another"
        raise ValueError(
            f"it was made by slimline {version} (its version of a record is {found!r}); this one, {__version__}, reads "
            f"up to version {RECORD_VERSION}"
        )
    _tell_roles(plain)
    return plain


def _tell_roles(plain: Mapping[str, Any]) -> None:
    """Give each stage its role, in a record that was written before stages had one."""
    variants = plain.get("variants")
    for variant in variants if isinstance(variants, list) else ():
        stages = variant.get("stages") if isinstance(variant, dict) else None
        for stage in stages if isinstance(stages, list) else ():
            if isinstance(stage, dict):
                stage.setdefault("role", ROLES_BEFORE.get(str(stage.get("kind"))))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file, np.load(file) as arrays:  # NumPy alone would leave a damaged file open
        return {name: arrays[name] for name in arrays.files}


def _record(
    plain: Mapping[str, Any], columns: Mapping[str, NDArray[Any]], accuracy: Mapping[str, NDArray[Any]]
) -> Record:
    problems: list[str] = []
    hints = hints_of(Record)
    if isinstance(plain.get("measure"), dict):
        plain = {**plain, "measure": {**_NOT_YET, **plain["measure"]}}
    values = {
        item.name: fitted(plain[item.name], hints[item.name], item.name, problems)
        for item in fields(Record)
        if item.name in plain and item.name not in ("latency", "accuracy")
    }
    required = [item.name for item in fields(Record) if item.default is MISSING and item.default_factory is MISSING]
    problems += [f"{name} is missing" for name in required if name not in plain]
    if not problems:
        values["latency"] = _latency(plain["latency"], columns, problems)
        values["accuracy"] = _accuracy(plain["accuracy"], accuracy, problems)
    if problems:
        raise ValueError("; ".join(problems[:_SHOWN]))
    record = Record(**values)
    unknown = [row.key for row in record.subjects if row.target not in record.targets or not _has_variant(record, row)]
    if unknown:
        raise ValueError(f"{unknown[0]} is a row of a variant or a target that is not recorded")
    return record


def _has_variant(record: Record, row: Any) -> bool:
    return any(variant.name == row.variant for variant in record.variants)


def _latency(plain: Any, columns: Mapping[str, NDArray[Any]], problems: list[str]) -> LatencySamples | None:
    hints = hints_of(LatencySamples)
    known = {item.name for item in fields(LatencySamples)} - set(COLUMNS)
    needed = known - {"plans", "beside"}
    if not isinstance(plain, dict) or not needed <= plain.keys() or not set(COLUMNS) <= columns.keys():
        problems.append("latency is not whole")
        return None
    before = len(problems)
    values: dict[str, Any] = {
        name: fitted(plain[name], hints[name], f"latency.{name}", problems) for name in known if name in plain
    }
    fitted(plain["telemetry"], list[_Place], "latency.telemetry", problems)
    if len(problems) == before:
        problems += _wrong_columns([columns[name] for name in COLUMNS], len(values["subjects"]))
    values |= {name: columns[name] for name in COLUMNS}
    return None if len(problems) > before else LatencySamples(**values)


def _wrong_columns(columns: Sequence[NDArray[Any]], subjects: int) -> list[str]:
    """What is wrong with the columns, which are in the order of ``COLUMNS``."""
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        return ["the columns of latency.npz are not of one length"]
    if any(column.dtype.kind != "i" for column in columns):
        return ["latency.npz has other than whole numbers"]
    if not len(columns[0]):
        return []
    if min(column.min() for column in columns) < 0 or columns[-1].min() < 1:
        return ["latency.npz has numbers that can't be"]
    return ["latency.npz has calls of a subject that is not recorded"] if columns[0].max() >= subjects else []


def _accuracy(plain: Any, arrays: Mapping[str, NDArray[Any]], problems: list[str]) -> AccuracySamples | None:
    if not isinstance(plain, dict) or "metric" not in plain:
        problems.append("accuracy has no metric")
        return None
    hints = hints_of(AccuracySamples)
    known = {item.name for item in fields(AccuracySamples)} - {*BESIDE, "predictions", "sureness"}
    before = len(problems)
    values: dict[str, Any] = {
        name: fitted(plain[name], hints[name], f"accuracy.{name}", problems) for name in known if name in plain
    }
    if any(array.ndim == 0 or array.dtype.kind not in "biufU" for array in arrays.values()):
        problems.append("accuracy.npz has what are no predictions")
    elif len({len(array) for array in arrays.values()}) > 1:
        problems.append("the arrays of accuracy.npz differ in their number of examples")
    sureness = {name.removeprefix(SURENESS): array for name, array in arrays.items() if name.startswith(SURENESS)}
    if any(array.ndim != 1 or array.dtype.kind != "f" for array in sureness.values()):
        problems.append("accuracy.npz has a sureness that is no probability for each example")
    if len(problems) > before:
        return None
    others = {*BESIDE, *(f"{SURENESS}{name}" for name in sureness)}
    predictions = {name: array for name, array in arrays.items() if name not in others}
    beside: dict[str, Any] = {name: arrays.get(name) for name in BESIDE}
    return AccuracySamples(predictions=predictions, sureness=sureness, **beside, **values)
