"""Writes a run's report, and the examples that someone may label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.data import showing
from pipeline.data.dataset import Dataset, Split
from pipeline.data.fitted import original
from pipeline.errors.contained import Faults
from pipeline.report import write_report
from pipeline.report.to_label import FILE, Show, write_to_label
from pipeline.results.record import Record
from pipeline.results.report import Report


def written(record: Record, report: Report, folder: Path, show: Show | None = None) -> Faults:
    """Write the report's files, and the one to label; returns what could not be made."""
    faults = Faults(write_report(report, folder))
    faults.contain(FILE, lambda: write_to_label(record, report, folder, show), None)
    return faults


def show_examples(data: Dataset, test: Split, places: Sequence[int], folder: Path) -> Mapping[str, Sequence[str]]:
    """Show test examples as their data set knows best, each by its place."""
    return showing.show(original(data), test.chosen(places), [str(place) for place in places], folder)
