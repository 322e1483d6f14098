"""The whole call: how much of it each step takes, and how much faster it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

from pipeline.plan import CallStep
from pipeline.report.rows import Row, all_rows
from pipeline.report.sections.section import Part, Section, Table, grid, lines
from pipeline.results import numbers as show
from pipeline.results.figures import StepTime, WholeCall
from pipeline.results.intervals import Ratio
from pipeline.results.report import Report

TITLE = "The whole call"
_NOTE = (
    "Milliseconds for one example, step by step, in processes like those in which the models are timed, and with the "
    "same examples in each row. In brackets: 95 % intervals of the share of the call, or of the speed-up."
)
_DOING: Mapping[CallStep, str] = {
    "decode": "decoding",
    "preprocess": "preprocessing",
    "model": "the model",
    "postprocess": "post-processing",
}


def whole_call(report: Report) -> Section | None:
    """A line for each row whose steps were timed, and a sentence for each that is compared with another."""
    found = [(row, row.result.call) for row in all_rows(report) if row.result is not None and row.result.call]
    if not found:
        return None
    there = {step.step for _, call in found for step in call.steps}
    steps = [step for step in get_args(CallStep) if step in there]
    missing = [step for step in report.measure.stages if step not in there]
    sentences = [text for row, call in found for text in _sentence(row, call)]
    notes = [
        _NOTE,
        *([f"Not timed, as this run has no such step that can be: {', '.join(missing)}."] if missing else []),
    ]
    return Section(
        title=TITLE,
        notes=notes,
        parts=[Part(lines=lines(sentences), tables=[_table(found, steps, _in_full)])],
        brief=[
            Part(title=TITLE, tables=[_table(found, steps, _share)]),
            Part(lines=lines([*sentences, *notes[1:]])),
        ],
    )


def _table(found: Sequence[tuple[Row, WholeCall]], steps: Sequence[CallStep], told: Callable[[StepTime], str]) -> Table:
    """A line for each row; ``told`` writes a step's cell."""
    rows = [
        (
            row.variant.name,
            row.place,
            show.number(call.ms),
            show.NONE if call.speedup is None else _ratio(call.speedup),
            *(show.NONE if (step := call.step(name)) is None else told(step) for name in steps),
        )
        for row, call in found
    ]
    return grid(["variant", "measured on", "call (ms)", "speed-up", *steps], rows, words=2)


def _share(step: StepTime) -> str:
    return show.share(step.share.value)


def _in_full(step: StepTime) -> str:
    """The time, and the share with its interval."""
    low, high = (f"{100 * end:.0f}" for end in (step.share.low, min(step.share.high, 1.0)))
    return f"{show.number(step.ms)} ms, {show.share(step.share.value)} [{low}, {high}]"


def _sentence(row: Row, call: WholeCall) -> Iterator[str]:
    """What the row does to the model and to the call, and the largest of the other steps."""
    others = [step for step in call.steps if step.step != "model"]
    if call.speedup is None or call.model_speedup is None or not others:
        return
    largest = max(others, key=lambda step: step.ms)
    yield (
        f"{row.variant.name} on {row.place} makes the model {_ratio(call.model_speedup)} and the call "
        f"{_ratio(call.speedup)} as fast: {_DOING[largest.step]} is now {show.share(largest.share.value)} of the call."
    )


def _ratio(found: Ratio) -> str:
    return show.ratio(found.value, found.low, found.high)
