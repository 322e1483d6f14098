"""Packs a kit: the models, the inputs, the program that measures them, and what home needs to judge what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import entries_of_files, model_files
from pipeline.errors import UserError
from pipeline.folders.writing import whole_folder
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter, fresh
from pipeline.kit.contents import (
    Judged,
    Model,
    chosen_examples,
    write_golden,
    write_inputs,
    write_models,
)
from pipeline.kit.device.samples import HOME, KIT
from pipeline.kit.judge import as_node
from pipeline.kit.program import program
from pipeline.kit.rows import check_inputs, entries_of, home_of
from pipeline.libraries.revision import revision
from pipeline.plan import RunLimits
from pipeline.results.record import Record, save_record

KIT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A kit that was written."""

    path: Path
    id: str
    bytes: int
    parts: Mapping[str, int]
    """The bytes of its parts: models, inputs, and the rest."""
    examples: int
    memory_bytes: int | None
    """The memory that its models took at home, all at once, the clone too; None where that is not known."""
    left_out: Mapping[str, str]
    """The rows that a kit can't take, and why."""


def pack(
    out: Path,
    record: Record,
    models: Sequence[Model],
    judged: Judged,
    limits: Limits = Limits(),  # noqa: B008  frozen
    start: Starter = fresh,
) -> Packed:
    """Write a kit into the folder ``out``, an older kit there is replaced; a row that can't go is left out.

    Each model runs on a few examples first, for the outputs that the device's are held against. Raises UserError where
    nothing is left to measure, and OutOfSpace.
    """
    check_inputs(judged.test)
    entries, left_out = entries_of(models, record)
    if not entries:
        raise UserError(*(f"{key} can't go into a kit: {reason}" for key, reason in left_out.items()))
    kept = [model for model in models if model.row.key in entries]
    _require_replaceable(out)
    with whole_folder(out) as folder:
        write_models(folder, kept, entries)
        per_example = write_golden(folder, kept, entries, judged, limits, start)
        chosen = chosen_examples(judged, per_example)
        test = judged.test.chosen(chosen)
        inputs = write_inputs(folder, test, judged.preprocessing)
        save_record(home_of(record, kept, test), folder / HOME)
        for name, content in program({entry["runtime"] for entry in entries.values()}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "requirements.txt").write_text(_requirements(entries.values()))
        facts = {
            "kit_version": KIT_VERSION,
            "slimline": revision(),
            "run": record.run_id,
            "measure": {**asdict(record.measure), "look_alpha": record.measure.look_alpha},
            "seed": record.seed,
            "limit_s": limits.seconds or RunLimits().seconds,
            "examples": len(test),
            "of_examples": len(judged.test),
            "metric": None if judged.carried else as_node(judged.metric),
            "places": [int(place) for place in chosen],
            "inputs": inputs,
            "rows": list(entries.values()),
            "files": entries_of_files(folder),
        }
        kit_id = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        (folder / KIT).write_text(json.dumps({"id": kit_id, **facts}, indent=1) + "\n", encoding="utf-8")
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for path in model_files(out)}
    return Packed(
        path=out,
        id=kit_id,
        bytes=sum(sizes.values()),
        parts={
            part: sum(size for name, size in sizes.items() if name.startswith(part)) for part in ("models", "inputs")
        },
        examples=len(test),
        memory_bytes=_memory(kept, entries),
        left_out=left_out,
    )


def _requirements(entries: Any) -> str:
    runtimes = sorted({entry["runtime"] for entry in entries})
    return "".join(f"{name}\n" for name in ("numpy", *runtimes))


def _memory(models: Sequence[Model], entries: Mapping[str, Mapping[str, Any]]) -> int | None:
    sizes = [model.row.peak_memory_bytes for model in models]
    known = [size for size in sizes if size is not None]
    return sum(known) + known[0] if known and len(known) == len(sizes) else None


def _require_replaceable(out: Path) -> None:
    """Raise UserError where ``out`` is anything but an older kit."""
    if out.exists() and not (out / KIT).is_file():
        raise UserError(f"{out} exists and is no kit: name another folder with --out")
