"""Writes a run's four report files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pipeline.errors import reporting_disk
from pipeline.errors.contained import Faults
from pipeline.folders.writing import write_whole
from pipeline.results.record import SAMPLES
from pipeline.results.report import Report

logger = logging.getLogger(__name__)


def write_report(report: Report, folder: Path) -> list[str]:
    """Write report.json, report.csv, report.md and report.html into a run's folder, which is made where missing.

    Each file appears whole or not at all. Returns a sentence, without its full stop, for each that could not be made;
    the others are written all the same. Raises OutOfSpace where the disk is full.
    """
    # Here, not above: jinja2 and the chart libraries take a second to import, and only this function needs them.
    from pipeline.report.charts.figures import draw_apart
    from pipeline.report.deployed import deployed
    from pipeline.report.formats.csv import csv_text
    from pipeline.report.formats.html import html_text
    from pipeline.report.formats.json import json_text
    from pipeline.report.formats.markdown import markdown_text
    from pipeline.report.looks import looks_in

    formats: Mapping[str, Callable[[Report], str]] = {
        "report.json": json_text,
        "report.csv": csv_text,
        "report.md": markdown_text,
        "report.html": lambda report: html_text(
            report, draw_apart(report), deployed(report, folder), looks_in(folder / SAMPLES)
        ),
    }
    faults = Faults()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in formats.items():
        faults.contain(name, partial(_write, folder / name, text, report), None)
    return faults.sentences


def _write(path: Path, text: Callable[[Report], str], report: Report) -> None:
    content = text(report)
    with reporting_disk(path):
        # Line ends stay as they are: the page's security policy names the digest of its scripts.
        write_whole(path, content)
    logger.debug("wrote %s", path)
