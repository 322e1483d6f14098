"""Writes a run's report, the examples that it shows, and those that someone may label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.data import showing
from pipeline.data.dataset import Dataset, Split
from pipeline.data.fitted import original
from pipeline.errors.contained import Faults
from pipeline.report import write_report
from pipeline.report.looks import Show, keep_looks
from pipeline.report.to_label import FILE, write_to_label
from pipeline.results.record import SAMPLES, Record
from pipeline.results.report import Report


def written(record: Record, report: Report, folder: Path, show: Show | None = None) -> Faults:
    """Write the report's files, and the one to label; returns what could not be made. With ``show``, the examples that
    the report names are kept beside its samples, for this report and those that are derived later."""
    faults = Faults()
    if show is not None:
        faults.contain("what flipped examples look like", lambda: keep_looks(report, folder / SAMPLES, show), None)
    faults.sentences.extend(write_report(report, folder))
    faults.contain(FILE, lambda: write_to_label(record, report, folder, show), None)
    return faults


def show_examples(data: Dataset, test: Split, places: Sequence[int], folder: Path) -> Mapping[str, Sequence[str]]:
    """Show test examples as their data set knows best, each by its place."""
    return showing.show(original(data), test.chosen(places), [str(place) for place in places], folder)
