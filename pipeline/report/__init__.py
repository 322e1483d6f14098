"""Writes a run's findings as report.json, report.csv, report.md, report.html and a table for the terminal.

One list of fields (``pipeline.report.fields``) feeds all of them. Importing this package does not import the chart
libraries; they are imported when a report is written.
"""

from __future__ import annotations

from pipeline.report.formats.terminal import print_report
from pipeline.report.schema import report_schema
from pipeline.report.write import write_report

__all__ = ["print_report", "report_schema", "write_report"]
