"""Writes deploy bundles: of the recommended row when a run ends, and of any row of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.bundle.licences import licences_of
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.bundle.packing import NOT_PACKED, Packing
from pipeline.bundle.write import write_bundle
from pipeline.data.batches import Axes
from pipeline.data.dataset import Split
from pipeline.data.fitted import original
from pipeline.errors import Skipped, UserError, reporting_disk
from pipeline.plan import Plan, Target
from pipeline.report.deployed import FOLDER as DEPLOY
from pipeline.report.deployed import verify_command
from pipeline.report.formats.printing import tell
from pipeline.results.record import Record, SubjectRecord
from pipeline.results.report import Recommendation, Report
from pipeline.run.built import Built
from pipeline.run.finished import Finished
from pipeline.run.rows import runnable
from pipeline.run.taken_up import TakenUp, taken_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the bundles of a run's rows have in common."""

    plan: Plan
    record: Record
    report: Report
    test: Split
    axes: Axes | None
    """The axis of each output that counts the examples, by the output's name."""
    packing: Packing = NOT_PACKED

    def write(
        self,
        out: Path,
        recommendation: Recommendation,
        artifact: Artifact,
        target: Target,
        trained: Artifact | None = None,
    ) -> str:
        """Write a bundle; returns where it is and how to verify it. Raises what ``write_bundle`` raises."""
        folder = write_bundle(
            out,
            artifact=artifact,
            target=target,
            report=self.report,
            record=self.record,
            recommendation=recommendation,
            preprocessing=self.plan.model.preprocessing,
            class_names=self.plan.data.class_names,
            examples=self.test,
            trained=trained,
            data=original(self.plan.data),
            output_axes=self.axes,
            metric=self.plan.metric,
            known_licences=licences_of(self.plan.model, original(self.plan.data), self.plan.licences),
            wheels=self.packing.wheels,
            ort_format=self.packing.ort_format,
        )
        packed = [f"Packed: {path}" for path in self.packing.pack(folder)]
        told = f"Bundle: {folder} ({verify_command(folder, loads_code='torch' in target.backend.runs)})"
        return "\n".join([told, *packed])


def bundle(
    plan: Plan,
    built: Mapping[str, Built],
    test: Split,
    record: Record,
    report: Report,
    axes: Axes | None = None,
) -> str:
    """Write the recommended variant's deploy folder; returns where it is and how to verify it, or why there is none.
    Empty where nothing is recommended."""
    chosen = report.recommendation
    if chosen is None:
        return ""
    run = Rows(plan=plan, record=record, report=report, test=test, axes=axes)
    variant, target = built[chosen.variant], plan.targets[chosen.target]
    try:
        artifact = runnable(plan.variants[chosen.variant], variant, target)
        return run.write(plan.output / DEPLOY / chosen.variant, chosen, artifact, target, variant.changed_module)
    except Skipped as error:
        return f"No bundle: {error}"


def bundle_rows(
    finished: Finished, names: Sequence[str], out: Path | None, console: Console, packing: Packing = NOT_PACKED
) -> int:
    """Write the bundles of a finished run's rows, each named VARIANT or VARIANT@TARGET; returns 0.

    ``out`` is the folder of the only bundle; without it they go to the run's ``deploy/VARIANT``. Raises UserError
    for a row that does not exist or has no model any more, and for a folder that holds anything but a bundle.
    """
    rows = [finished.row(name) for name in names]
    folders = _folders(finished, rows, out)
    packing.check()
    with taken_up(finished, rows, console) as taken:
        run = rows_of(finished, taken, packing)
        written = [_write(run, finished, *one) for one in zip(rows, taken.chains, folders, strict=True)]
    for line in written:
        tell(console, line)
    return 0


def rows_of(finished: Finished, taken: TakenUp, packing: Packing = NOT_PACKED) -> Rows:
    """What the bundles of a finished run's rows have in common."""
    plan = taken.known.plan
    return Rows(
        plan=plan,
        record=finished.record,
        report=finished.report,
        test=plan.data.split("test"),
        axes=taken.known.axes_by_name,
        packing=packing,
    )


def _write(run: Rows, finished: Finished, row: SubjectRecord, chain: Built, folder: Path) -> str:
    target = finished.target(row)
    artifact = finished.runnable(row, chain)
    try:
        with reporting_disk(folder):
            return run.write(folder, finished.recommendation(row), artifact, target, chain.changed_module)
    except Skipped as error:
        raise UserError(f"{row.key}: {error}") from error


def _folders(finished: Finished, rows: Sequence[SubjectRecord], out: Path | None) -> list[Path]:
    """The folder of each bundle; raises UserError where it would replace anything but a bundle, or another of them."""
    folders = [finished.folder / DEPLOY / row.variant if out is None else out for row in rows]
    for place, folder in enumerate(folders):
        if folder in folders[:place]:
            raise UserError(f"two bundles can't both be {folder}: name one of them, and give it a folder by --out DIR")
        require_replaceable(folder)
    return folders


def require_replaceable(folder: Path) -> None:
    """Raise UserError where a folder holds anything but a bundle."""
    if folder.exists() and not (folder / MANIFEST_FILE).is_file() and not _is_empty(folder):
        raise UserError(f"{folder} holds something else than a bundle: give a new folder by --out DIR")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
