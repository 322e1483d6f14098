"""Writes one package of several rows of a finished run, each for other machines."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.bundle.package.kinds import MACHINES, Kind
from pipeline.bundle.package.sharing import share_weights
from pipeline.bundle.package.write import packable, require_other_machines, write_package
from pipeline.errors import Skipped, UserError, reporting_disk
from pipeline.plan import Target
from pipeline.report.deployed import FOLDER as DEPLOY
from pipeline.report.deployed import verify_command
from pipeline.report.formats.printing import tell
from pipeline.results.record import SubjectRecord
from pipeline.run.bundling import Rows, require_replaceable, rows_of
from pipeline.run.finished import Finished
from pipeline.run.taken_up import taken_up

PACKAGE = "model.ortpackage"


def package_rows(finished: Finished, names: Sequence[str], out: Path | None, console: Console) -> int:
    """Write a package of a finished run's rows, each named VARIANT or VARIANT@TARGET; returns 0.

    ``out`` is its folder; without it, it goes to the run's ``deploy/model.ortpackage``. Raises UserError for rows that
    a package can't hold, two for the same machines, and what ``bundle_rows`` raises it for.
    """
    rows = {row.variant: row for row in map(finished.row, names)}
    _require_several(names, rows)
    folder = out or finished.folder / DEPLOY / PACKAGE
    require_replaceable(folder)
    with taken_up(finished, list(rows.values()), console) as taken:
        run = rows_of(finished, taken)
        models = {
            name: finished.runnable(row, chain) for (name, row), chain in zip(rows.items(), taken.chains, strict=True)
        }
        kinds, targets = _opened(finished, rows, models)
        require_other_machines(kinds)
        with reporting_disk(folder), tempfile.TemporaryDirectory(prefix="slimline-") as place:
            shared = share_weights(models, Path(place, "weights"))
            bundles = {
                name: _bundle(run, finished, rows[name], shared[name], targets[name], Path(place, "bundles"))
                for name in rows
            }
            write_package(folder, bundles)
    tell(console, f"Package: {folder} ({verify_command(folder, loads_code=False)})")
    for name, kind in kinds.items():
        tell(console, f"  {name}: {MACHINES[kind]}")
    return 0


def _require_several(names: Sequence[str], rows: Mapping[str, SubjectRecord]) -> None:
    if len(rows) < len(names):
        (twice, _) = Counter(name.partition("@")[0] for name in names).most_common(1)[0]
        raise UserError(f"variant '{twice}' is named twice: a package holds each variant once")
    if len(rows) == 1:
        raise UserError(
            f"a package holds several variants, and only '{names[0]}' is named: name another, or leave out --package "
            "for a bundle of one"
        )


def _opened(
    finished: Finished, rows: Mapping[str, SubjectRecord], models: Mapping[str, Artifact]
) -> tuple[dict[str, Kind], dict[str, Target]]:
    """The machines that each model suits, and the target that it is opened with."""
    kinds, targets = {}, {}
    for name, row in rows.items():
        try:
            kinds[name], targets[name] = packable(models[name], finished.target(row))
        except Skipped as error:
            raise UserError(f"{row.key}: {error}") from error
    return kinds, targets


def _bundle(run: Rows, finished: Finished, row: SubjectRecord, model: Artifact, target: Target, place: Path) -> Path:
    try:
        run.write(place / row.variant, finished.recommendation(row), model, target)
    except Skipped as error:
        raise UserError(f"{row.key}: {error}") from error
    return place / row.variant
