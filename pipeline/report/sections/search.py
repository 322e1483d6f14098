"""The search: what it tried, where each trial stopped and why, what it cost, and what it found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipeline.report.rows import Row, groups, unit_of
from pipeline.report.sections.section import Cell, Column, Facts, Line, Part, Section, Table, TableRow, grid, lines
from pipeline.results import numbers as show
from pipeline.results.answers import AnswerKind
from pipeline.results.figures import Accuracy, Speedup
from pipeline.results.intervals import Unit
from pipeline.results.report import Report
from pipeline.results.search import Drift, Ending, ScreenedSpeed, SearchFindings, SearchTrial

TITLE = "Search"
NOTE = (
    "A search looks at many candidates for a short time. What it sees (SCREENED) only chooses which of them to prove, "
    "since the best of many looks is partly luck. The finalists were timed anew and judged on the test split, which no "
    "trial saw, and the answers come from these rounds. Drift: how much a candidate's answers on validation examples "
    "differ from the baseline's; below 0 is worse. In brackets: intervals."
)
HEADS: dict[AnswerKind, str] = {
    "fastest": "Fastest within the limits:",
    "likely": "Likely faster, not proven:",
    "smallest": "Smallest within the limits:",
    "most accurate": "Most accurate at 1.5x or more:",
}
ENDINGS: dict[Ending, str] = {
    "finalist": "in the proof",
    "kept": "looked at to the end",
    "slower": "slower",
    "drifts": "drifting too far",
    "failed": "failed",
    "not needed": "not needed",
    "no time": "without time",
}
"""The words for trials that stopped there."""
MEANINGS: dict[Ending, str] = {
    "finalist": "it was timed anew and judged on the test split",
    "kept": "it was looked at to the end, and is not among the finalists",
    "slower": "its interval can't reach the best",
    "drifts": "it can't keep the accuracy limit",
    "failed": "it could not be built, loaded or run",
    "not needed": "what it could bring was known, so it was not built",
    "no time": "the budget ended before it was built or looked at",
}
"""The meaning of the column ``stopped``."""
SPEED, DRIFT = "speed-up (SCREENED)", "drift on validation examples"
COST, WHY = "cost (s)", "why"
_FOLDED_FROM = 12
"""A table with more rows than this is folded."""
_NAMED = 8
"""The most candidates of one reason that are named."""


def search(report: Report) -> Section | None:
    """The story, the answers, the front of what was confirmed, every trial, and what the rules left out; the terminal
    has the story in a line, and the answers."""
    found = report.search
    if found is None:
        return None
    told = answers(report)
    trials = _trials(report, found)
    return Section(
        title=TITLE,
        notes=[NOTE],
        parts=[
            Part(lines=[*lines(story(found)), *lines(_proof(report))]),
            *([Part(title="Answers", lines=told)] if told else []),
            *_front(report),
            *([trials] if trials is not None else []),
            *([Part(title="Left out by rules", lines=left_out(found))] if found.left_out else []),
        ],
        brief=[Part(title=TITLE, lines=[*lines([summary(found)], "quiet"), *told])],
    )


def summary(found: SearchFindings) -> str:
    """The search in a line."""
    kinds = [f"{count} {ENDINGS[ending]}" for ending, count in _counts(found)]
    ruled = f"; {len(found.left_out)} left out by rules" if found.left_out else ""
    told = f"{_counted(len(found.trials), 'candidate')} in {show.duration(found.seconds)}: {', '.join(kinds)}{ruled}."
    return f"{told} {_without_a_look(found)}".rstrip()


def _without_a_look(found: SearchFindings) -> str:
    """What to do where the budget ended before any candidate was looked at; empty where one was."""
    endings = {trial.ending for trial in found.trials}
    if "no time" not in endings or endings - {"no time", "not needed"}:
        return ""
    return (
        "Making the baseline took the time for looking, so no candidate was looked at: type the same again, as what "
        f"was built is kept, or allow more, such as search.budget_s={2 * found.budget_s:g}."
    )


def story(found: SearchFindings) -> Iterator[str]:
    """The search in sentences: how many candidates, what they cost, when the first answer came."""
    yield summary(found)
    yield (
        f"Building took {show.duration(found.building_s)}, timing {show.duration(found.timing_s)}, judging "
        f"{show.duration(found.judging_s)}; the budget of the whole run was {show.duration(found.budget_s)} "
        "(search.budget_s)."
    )
    if found.first_answer_s is not None:
        yield f"The first answer came after {show.duration(found.first_answer_s)}."
    if found.continued:
        yield f"{_counted(found.continued, 'trial')} had ended in an earlier run of this search, which was stopped."
    if not found.rules:
        yield "The rules were off (search.rules=false): everything that can be built was a candidate."


def answers(report: Report) -> list[Line]:
    """The answers, each after its question."""
    return [
        Line(
            text=answer.sentence,
            word=HEADS[answer.kind],
            tone="caution" if answer.kind == "likely" else "good",
        )
        for answer in report.answers
    ]


def left_out(found: SearchFindings) -> list[Line]:
    """What the rules left out: a line for each reason, with how many candidates it left out and some of them."""
    names: dict[str, list[str]] = {}
    for candidate in found.left_out:
        names.setdefault(candidate.reason, []).append(f"{candidate.variant} on {candidate.target}")
    return [Line(text=f"{reason} ({some(found)})", word=f"{len(found)}:") for reason, found in names.items()]


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f", and {rest} more" if rest > 0 else "")


def _counts(found: SearchFindings) -> list[tuple[Ending, int]]:
    endings = [trial.ending for trial in found.trials]
    return [(ending, endings.count(ending)) for ending in ENDINGS if ending in endings]


def _proof(report: Report) -> list[str]:
    rows = [row for group in groups(report) for row in group.rows]
    if not rows or not report.noise.blocks:
        return []
    return [f"The proof of {_counted(len(rows), 'row')} was timed for {show.duration(report.noise.seconds)}."]


def _front(report: Report) -> list[Part]:
    """The confirmed rows that no other beats for sure, the fastest first; none where there is one row only."""
    rows = [row for group in groups(report) for row in group.rows if row.result is not None and row.result.pareto]
    if len(rows) < 2 or not report.claims_accuracy:
        return []
    metrics = {row.result.accuracy.metric for row in rows if row.result is not None and row.result.accuracy is not None}
    heads = ("row", "speed-up", " or ".join(sorted(metrics)) or "accuracy", "change", "size (MB)")
    table = grid(heads, [_confirmed(row) for row in sorted(rows, key=_speed_of)[::-1]])
    said = "The confirmed rows that no other beats for sure on speed and accuracy together:"
    return [Part(title="The front of what was confirmed", lines=lines([said]), tables=[table])]


def _speed_of(row: Row) -> float:
    return 1.0 if row.result is None or row.result.speedup is None else row.result.speedup.value


def _confirmed(row: Row) -> tuple[str, ...]:
    result, size = row.result, row.variant.size_bytes
    accuracy = None if result is None else result.accuracy
    return (
        row.name,
        "reference" if result is None or result.speedup is None else _ratio(result.speedup),
        *_accuracy(accuracy),
        show.NONE if size is None else show.megabytes(size),
    )


def _accuracy(found: Accuracy | None) -> tuple[str, str]:
    if found is None:
        return show.NONE, show.NONE
    figure = f"{show.figure(found.value, found.unit)} {show.figure_interval(found.low, found.high, found.unit)}"
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        return figure, show.NONE
    return figure, _change(found.delta, found.delta_low, found.delta_high, found.unit)


def _trials(report: Report, found: SearchFindings) -> Part | None:
    """A table of every trial, in the order in which they were taken up."""
    if not found.trials:
        return None
    claimed, unit = report.claims_accuracy, unit_of(*report.variants)
    heads = ["candidate", "target", SPEED, *([DRIFT] if claimed else []), "stopped", COST, WHY]
    columns = tuple(Column(head=head, align="right" if head == COST else "left", wraps=head == WHY) for head in heads)
    table = Table(columns=columns, rows=[_trial(trial, unit, claimed=claimed) for trial in found.trials])
    meanings = [(ending, f"{MEANINGS[ending]}.") for ending, _ in _counts(found)]
    return Part(
        title=f"Every trial ({len(found.trials)})",
        facts=[Facts(pairs=meanings)],
        tables=[table],
        folded=len(found.trials) > _FOLDED_FROM,
    )


def _trial(trial: SearchTrial, unit: Unit, *, claimed: bool) -> TableRow:
    cost = trial.build_s + trial.look_s
    drift = [(_drift(trial.drift, unit), None if trial.drift is None else trial.drift.delta)] if claimed else []
    cells: list[tuple[Cell, object]] = [
        ((trial.variant,), trial.variant),
        ((trial.target,), trial.target),
        ((_ratio(trial.speed),) if trial.speed else (), None if trial.speed is None else trial.speed.value),
        *drift,
        ((trial.ending,), trial.ending),
        (_cost(trial), cost),
        ((trial.reason,) if trial.reason else (), trial.reason),
    ]
    return TableRow(
        cells=tuple(cell for cell, _ in cells),
        keys=tuple(key for _, key in cells),
        mark="finalist" if trial.ending == "finalist" else "",
    )


def _cost(trial: SearchTrial) -> Cell:
    """The seconds in all, and those of building where the model was built for it."""
    cost = trial.build_s + trial.look_s
    return tuple(
        f"{show.short(seconds)}{word}" for seconds, word in ((cost, ""), (trial.build_s, " building")) if seconds
    )


def _drift(found: Drift | None, unit: Unit) -> Cell:
    if found is None:
        return ()
    flips = "" if found.flips is None else f"{found.flips} of {show.count(found.n)} examples flip"
    return tuple(filter(None, (_change(found.delta, found.low, found.high, unit), flips)))


def _change(value: float, low: float, high: float, unit: Unit) -> str:
    return f"{show.change(value, unit)} {show.change_interval(low, high, unit)}"


def _ratio(found: ScreenedSpeed | Speedup) -> str:
    return show.ratio(found.value, found.low, found.high if math.isfinite(found.high) else None)


def _counted(number: int, word: str) -> str:
    return f"{show.count(number)} {word}{'' if number == 1 else 's'}"
