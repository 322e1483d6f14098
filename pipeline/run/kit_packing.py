"""Packs a kit from a finished run's rows, and has a host run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from rich.console import Console

from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Axes, WithAxes, axes_of
from pipeline.data.dataset import Split
from pipeline.data.rows import Array
from pipeline.data.steps import carry_in
from pipeline.errors import UserError
from pipeline.folders.writing import write_whole
from pipeline.kit.contents import Judged, Model
from pipeline.kit.device.samples import KIT
from pipeline.kit.host import Host, measure_on
from pipeline.kit.pack import Packed, pack
from pipeline.kit.single import SUFFIX, write_single
from pipeline.report.describe import sentence
from pipeline.report.formats.printing import tell
from pipeline.results import numbers as show
from pipeline.results.record import SAMPLES, SubjectRecord, subject_key
from pipeline.run.building import limits_for
from pipeline.run.built import Built
from pipeline.run.carrying import latest_first
from pipeline.run.finished import Finished
from pipeline.run.kit_report import KITS, report_brought
from pipeline.run.taken_up import taken_up

DEVICES = "devices"
"""The folder of a run's folder for what hosts have measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What goes into a kit, and how it is run on a host."""

    rows: Sequence[str] = ()
    """The rows, each named VARIANT or VARIANT@TARGET; none: all that were measured."""
    examples: int | None = None
    budget_s: float | None = None
    busy: int | None = None


def pack_run(finished: Finished, asked: Asked, out: Path | None, console: Console) -> int:
    """Write a kit into the folder or the single file ``out``, the run's ``kit/`` by default; returns 0."""
    out = finished.folder / "kit" if out is None else out
    if out.suffix != SUFFIX:
        packed = _packed(finished, asked, out, console)
        _tell(packed, out, console)
        return 0
    folder = out.with_name(f".{out.name}.new")
    rmtree(folder, ignore_errors=True)
    packed = _packed(finished, asked, folder, console)
    write_single(folder, out)
    _tell(packed, out, console)
    return 0


def run_on(finished: Finished, asked: Asked, host: Host, console: Console) -> int:
    """Pack a kit, run it on a host, bring its samples into the run's ``devices/`` and report them beside the run."""
    with TemporaryDirectory(prefix="slimline-kit-") as folder:
        packed = _packed(finished, asked, Path(folder) / "kit", console)
        _tell(packed, None, console)
        asked_there = {"--budget-s": asked.budget_s, "--busy": asked.busy}
        words = [word for flag, value in asked_there.items() if value is not None for word in (flag, f"{value:g}")]
        out = _free(finished.folder / DEVICES / host.short)
        measure_on(host, packed.path, out, words)
    tell(console, f"Samples: {out}")
    return report_brought(out, console, join=finished.folder)


def _packed(finished: Finished, asked: Asked, out: Path, console: Console) -> Packed:
    rows = list(_rows(finished, asked.rows))
    with taken_up(finished, rows, console) as taken:
        plan = taken.known.plan
        carry, test = carry_in(plan.data), plan.data.split("test")
        axes = axes_of(test.inputs)
        packed = pack(
            out,
            finished.record,
            [_model(finished, *one, axes) for one in zip(rows, taken.chains, strict=True)],
            Judged(
                test=test if carry is None else Split(WithAxes[Array](latest_first(test.inputs, carry), axes)),
                preprocessing=plan.model.preprocessing,
                metric=plan.metric,
                output_axes=taken.known.output_axes,
                carried=carry is not None,
                examples=asked.examples,
            ),
            limits_for(plan),
            taken.start,
        )
    kept = finished.folder / SAMPLES / KITS
    kept.mkdir(exist_ok=True)
    write_whole(kept / f"{packed.id}.json", (out / KIT).read_text(encoding="utf-8"))
    return packed


def _model(finished: Finished, row: SubjectRecord, chain: Built, axes: Axes) -> Model:
    artifact = finished.runnable(row, chain)
    fixed = fixed_batch_of(artifact, axes) if artifact.format != "torch" else None
    return Model(row=row, artifact=artifact, target=finished.target(row), fixed_batch=fixed)


def _rows(finished: Finished, names: Sequence[str]) -> Iterator[SubjectRecord]:
    """The rows that were named, and those that they are compared with; raises UserError where there are none."""
    record = finished.record
    for name in names:
        finished.row(name)  # it says what is wrong with a name
    asked = [tuple(name.split("@", 1)) for name in names]
    measured = {row.key: row for row in record.subjects if row.status == "ok"}
    chosen = {
        key: row
        for key, row in measured.items()
        if not asked or (row.variant,) in asked or (row.variant, row.target) in asked
    }
    for row in [*chosen.values()]:
        reference = subject_key(*record.measure.reference_for(row.target), row.batch_size)
        if reference in measured:
            chosen[reference] = measured[reference]
    if not chosen:
        raise UserError(f"{finished.folder} has no row that was measured, so there is nothing to pack")
    yield from (row for key, row in measured.items() if key in chosen)


def _tell(packed: Packed, out: Path | None, console: Console) -> None:
    size = out.stat().st_size if out is not None and out.is_file() else packed.bytes
    where = "Kit" if out is None else f"Kit: {out}"
    models, inputs = (show.megabytes(packed.parts[part]) for part in ("models", "inputs"))
    parts = f"models {models} MB, inputs of {show.count(packed.examples)} test examples {inputs} MB"
    tell(console, f"{where} (id {packed.id}, {show.megabytes(size)} MB; {parts})")
    if packed.memory_bytes is not None:
        tell(
            console,
            f"Its models took {show.megabytes(packed.memory_bytes)} MB of memory here, all at once; a machine with "
            "less measures them in several groups.",
        )
    for key, reason in packed.left_out.items():
        tell(console, sentence(f"left out: {key}: {reason}"))
    if out is not None:
        command = f"python {out.name}" if out.is_file() else f"python {out.name}/kit.py"
        tell(console, f"Copy it to the machine, and run it there: {command}")
        tell(console, "Then bring its folder of samples back: python -m pipeline report SAMPLES --join RUN")


def _free(folder: Path) -> Path:
    """The folder, or one with a number where it exists."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found
