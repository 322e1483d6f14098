"""Against the machine's limit: the measured peaks, and a line for each row."""

from __future__ import annotations

from pipeline.report.rows import all_rows
from pipeline.report.sections.section import Part, Section, grid
from pipeline.results import numbers as show
from pipeline.results.figures import Limits
from pipeline.results.header import Peaks
from pipeline.results.report import Report

TITLE = "Against the machine's limit"
_HEADS = (
    "variant",
    "measured on",
    "limit",
    "MACs/s",
    "of the peak",
    "bytes/s, at least",
    "of the copy's",
    "MACs per byte",
    "in balance at",
)
_WORDS = {
    "fp32": "fp32 products",
    "tf32": "TF32 products",
    "fp16": "fp16 products",
    "int8": "int8 products",
    "copy": "a copy",
}
_OF_ACCELERATORS = ("tf32", "fp16")
"""Processors are not asked for these."""
_EXPLANATION = (
    "Of the peak: how much of the machine's best speed the row reaches; 100 % would be all of it. "
    "MACs/s and bytes/s are those of the median call; the bytes are what the model has to move at least: its weights, "
    "and the activations that can't be worked on in passing. compute-bound: the products' peak is the nearer limit, "
    "memory-bound: the copy's; a low share of it means slow kernels, or much besides. neither: no share reaches 10 %. "
    "Where the row's profile tells more, it is called overhead (half of a call passes beside the operators or in "
    "starting them, 5 microseconds each; on an accelerator: the device is idle for most of it) or slow kernels (it "
    "passes inside them). A share may exceed 100 %: a small model's bytes stay in the cache, and a runtime may have a "
    "faster way than the product that the peak was measured "
    "with."
)


def limits(report: Report) -> Section | None:
    """The peaks of each target, and a line for every row that was compared with them."""
    if not report.peaks:
        return None
    rows = [
        (row.variant.name, row.place, *_cells(row.result.limits))
        for row in all_rows(report)
        if row.result is not None and row.result.limits is not None
    ]
    return Section(
        title=TITLE,
        notes=[*_at_best(report), *([_EXPLANATION] if rows else [])],
        parts=[Part(tables=[grid(_HEADS, rows, words=3)])] if rows else [],
    )


def _at_best(report: Report) -> list[str]:
    by_figures: dict[str, list[str]] = {}
    for target, peaks in report.peaks.items():
        by_figures.setdefault(_peaks(peaks), []).append(target)
    return [f"At best, on {', '.join(targets)}: {figures}." for figures, targets in by_figures.items()]


def _peaks(peaks: Peaks) -> str:
    threads = peaks.threads
    where = f"{peaks.device}, {threads} thread{'s' if threads > 1 else ''}"
    parts = []
    for name, figure, unit in (
        ("fp32", peaks.fp32_macs_per_s, "MAC/s"),
        ("tf32", peaks.tf32_macs_per_s, "MAC/s"),
        ("fp16", peaks.fp16_macs_per_s, "MAC/s"),
        ("int8", peaks.int8_macs_per_s, "MAC/s"),
        ("copy", peaks.bytes_per_s, "B/s (read and written)"),
    ):
        if figure is None and name not in peaks.reasons and name in _OF_ACCELERATORS:
            continue
        if figure is None:
            parts.append(f"{_WORDS[name]} not measured ({peaks.reasons.get(name, 'no reason was recorded')})")
            continue
        kind = f" ({peaks.int8_types})" if name == "int8" and peaks.int8_types else ""
        parts.append(f"{_WORDS[name]}{kind} {show.magnitude(figure)}{unit}")
    return f"{'; '.join(parts)} ({where})"


def _cells(found: Limits) -> tuple[str, ...]:
    share = _percent(found.compute_share)
    kind = f" ({found.compute_peak})" if found.compute_peak else ""
    return (
        found.verdict or f"not known: {found.reason}",
        _magnitude(found.macs_per_s),
        f"{share}{kind}",
        _magnitude(found.bytes_per_s),
        _percent(found.memory_share),
        _short(found.intensity),
        _short(found.balance),
    )


def _magnitude(value: float | None) -> str:
    return show.NONE if value is None else show.magnitude(value)


def _percent(value: float | None) -> str:
    return show.NONE if value is None else f"{show.short(100 * value)} %"


def _short(value: float | None) -> str:
    return show.NONE if value is None else show.short(value)
