"""Reports what a kit measured on another machine, alone or beside the run that it was packed from."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from rich.console import Console

from pipeline.analyse import analyse
from pipeline.analyse.beside import beside, report_of
from pipeline.errors import UserError, reporting_disk
from pipeline.kit.brought import Brought, brought
from pipeline.kit.device.samples import KIT
from pipeline.kit.recorded import recorded
from pipeline.report import print_report
from pipeline.results.reading import load_run
from pipeline.results.record import SAMPLES, Record, save_record
from pipeline.run.loop import labelled_with, say_faults
from pipeline.run.written import written

CONFIGURATION = (".hydra/config.yaml", ".hydra/hydra.yaml")
"""The files of a run's folder that tell what was asked for."""
KITS = "kits"
"""The folder beside a run's samples that keeps the descriptions of the kits that were packed from it."""


def report_brought(folder: Path, console: Console, join: Path | None = None, labels: Path | None = None) -> int:
    """Make a run of a kit's samples, in their own folder, and report it; with ``join`` beside the run that the kit was
    packed from.

    Raises UserError where the samples are not whole, or of another run's kit.
    """
    found = brought(folder)
    home = None if join is None else _packed_from(found, join)
    record = recorded(found, trusted=join is not None and _is_known(found, join))
    if labels is not None:
        record = labelled_with(record, labels)
    with reporting_disk(folder):
        save_record(record, folder / SAMPLES)
        if join is not None:
            _keep_configuration(join, folder)
        report = analyse(record)
        if join is not None and home is not None:
            report = beside(report_of(home, join), report, found.facts.name)
        faults = written(record, report, folder)
        print_report(report, console)
    say_faults(faults.sentences, console)
    return 1 if report.faults or faults.sentences else 0


def _keep_configuration(join: Path, folder: Path) -> None:
    """Copy the configuration of the run that the kit was packed from, so that ``bundle`` finds the models there."""
    for name in CONFIGURATION:
        if (join / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            copyfile(join / name, folder / name)


def _packed_from(found: Brought, join: Path) -> Record:
    home = load_run(join)
    if home.run_id != found.kit["run"]:
        raise UserError(
            f"{found.folder} was measured by a kit of run {found.kit['run']}, and {join} is run {home.run_id}: name "
            "the run that the kit was packed from"
        )
    return home


def _is_known(found: Brought, join: Path) -> bool:
    """Whether the kit's description is the one that was packed here, byte for byte."""
    kept = join / SAMPLES / KITS / f"{found.facts.kit}.json"
    return kept.is_file() and kept.read_bytes() == (found.folder / KIT).read_bytes()
