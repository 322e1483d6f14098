"""The answers of a search: the fastest that is proven, the fastest that is likely, the smallest, the most accurate.

One is told only where it is another row than those before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.analyse import phrases
from pipeline.analyse.recommend.contest import Contest
from pipeline.analyse.recommend.eligible import Row, limit_obstacles
from pipeline.results import numbers as show
from pipeline.results.answers import Answer, AnswerKind
from pipeline.results.figures import Reference, Speedup
from pipeline.results.intervals import Ratio, rounded_up
from pipeline.results.record import Record
from pipeline.results.report import Recommendation, Result
from pipeline.results.search import SearchTrial

_FAST = 1.5
"""A row is fast where its speed-up is this large for sure: among those the most accurate is an answer."""
_SMALLER = 0.95
"""A row is smaller where its size is below this share of the recommended row's."""


def answers(record: Record, contest: Contest | None, recommendation: Recommendation | None) -> list[Answer]:
    """The answers of a run that had a search; none of another run. Where the data is noise, nothing is said of
    accuracy."""
    if record.search is None or contest is None:
        return []
    claimed = record.claims_accuracy
    winner = next((row for row in contest.rows if _is(row, recommendation)), None)
    fitting = [trial for trial in record.search.trials if not limit_obstacles(_as_row(trial), record.constraints)]
    every: list[Answer | None] = [
        None if winner is None else _fastest(winner, contest, claimed),
        _likely(fitting, contest, winner, claimed),
        None if winner is None else _smallest(winner, contest, claimed),
        _most_accurate(contest, winner) if claimed else None,
    ]
    return list(_distinct([answer for answer in every if answer is not None]))


def _distinct(found: Sequence[Answer]) -> Iterator[Answer]:
    places = [(answer.variant, answer.target, answer.batch_size) for answer in found]
    return (answer for number, answer in enumerate(found) if places[number] not in places[:number])


def _is(row: Row, recommendation: Recommendation | None) -> bool:
    chosen = recommendation
    return chosen is not None and row.reference == Reference(
        variant=chosen.variant, target=chosen.target, batch_size=chosen.batch_size
    )


def _fastest(winner: Row, contest: Contest, claimed: bool) -> Answer:
    if winner.reference == contest.reference:
        return _answer("fastest", winner, f"{_name(winner)}: no row that qualifies is faster for sure.", claimed)
    return _answer("fastest", winner, f"{_name(winner)} is {_speed(winner)}{_kept(winner, claimed)}.", claimed)


def _smallest(winner: Row, contest: Contest, claimed: bool) -> Answer | None:
    sized = [(row.size_bytes, row) for row in contest.qualified if row.size_bytes is not None]
    if not sized or winner.size_bytes is None:
        return None
    size, row = min(sized, key=lambda pair: (pair[0], -pair[1].sure_speedup))
    if size >= _SMALLER * winner.size_bytes:
        return None
    told = f"{_name(row)} has {show.megabytes(size)} MB in place of {show.megabytes(winner.size_bytes)}, and is "
    return _answer("smallest", row, f"{told}{_speed(row)}{_kept(row, claimed)}.", claimed)


def _most_accurate(contest: Contest, winner: Row | None) -> Answer | None:
    """Where several are as accurate, the recommended row."""
    fast = [row for row in contest.qualified if row.result.accuracy is not None and row.sure_speedup >= _FAST]
    if not fast:
        return None
    row = max(fast, key=lambda one: (_figure(one), one is winner, one.sure_speedup))
    return _answer("most accurate", row, f"{_name(row)} is {_speed(row)}{_kept(row, True)}.", True)


def _figure(row: Row) -> float:
    return 0.0 if row.result.accuracy is None else row.result.accuracy.merit


def _likely(trials: Sequence[SearchTrial], contest: Contest, winner: Row | None, claimed: bool) -> Answer | None:
    """The fastest of those that may be faster than the recommended row, and of which that is not proven."""
    bar = 1.0 if winner is None or winner.result.speedup is None else winner.result.speedup.value
    found = [_open(row, contest, winner, bar, claimed) for row in contest.rows if row is not winner]
    if claimed:
        found += [_only_screened(trial, contest, bar) for trial in trials]
    return max((answer for answer in found if answer is not None), key=_value, default=None)


def _open(row: Row, contest: Contest, winner: Row | None, bar: float, claimed: bool) -> Answer | None:
    """A faster row that may qualify: its accuracy, or its speed, is not decided."""
    speedup, accuracy = row.result.speedup, row.result.accuracy
    if speedup is None:
        return None
    would = f"{_name(row)} would be {_speed(row)}"
    if not contest.judge(row):
        if winner is None and speedup.low > bar:
            return _answer("likely", row, f"{would}: a quick look proves nothing.", claimed)
        if speedup.verdict == "INCONCLUSIVE" and speedup.value > bar:
            return _answer("likely", row, f"{would}{_blocks(speedup.blocks_to_settle)}.", claimed)
        return None
    if accuracy is None or not claimed or speedup.low <= bar or not contest.may_qualify(row):
        return None
    more = None if accuracy.n_to_decide is None else max(1, accuracy.n_to_decide - accuracy.n)
    labelled = "labelled " if accuracy.against == "labels" else ""
    return replace(_answer("likely", row, f"{would}; {_examples(more, labelled)}.", claimed), examples=more)


def _only_screened(trial: SearchTrial, contest: Contest, bar: float) -> Answer | None:
    """A faster candidate that was not proven, because the test split has too few examples for its drift."""
    speed, drift = trial.speed, trial.drift
    if trial.ending != "kept" or speed is None or drift is None or speed.low <= bar:
        return None
    if drift.decidable or drift.delta <= -drift.margin:
        return None
    tested = max((row.result.accuracy.n for row in contest.rows if row.result.accuracy is not None), default=0)
    more = None if drift.needed is None or drift.needed <= tested else drift.needed - tested
    ratio = Ratio(value=speed.value, low=speed.low, high=speed.high)
    return Answer(
        kind="likely",
        variant=trial.variant,
        target=trial.target,
        batch_size=contest.reference.batch_size,
        speedup=ratio,
        sentence=f"{trial.variant} on {trial.target} would be {_written(ratio)} (screened); "
        f"{_examples(more, _labelled(contest))}.",
        screened=True,
        size_bytes=trial.size_bytes,
        examples=more,
    )


def _as_row(trial: SearchTrial) -> Row:
    """The trial as a row, of which only the size is known."""
    result = Result(target=trial.target, device="", batch_size=1, status="skipped", reason=trial.reason)
    return Row(variant=trial.variant, size_bytes=trial.size_bytes, result=result)


def _labelled(contest: Contest) -> str:
    """The word for examples that must have labels, with a space; empty where the baseline's own predictions judge."""
    against = {row.result.accuracy.against for row in contest.rows if row.result.accuracy is not None}
    return "labelled " if "labels" in against else ""


def _examples(more: int | None, labelled: str) -> str:
    count = "" if more is None else f"about {show.count(rounded_up(more))} "
    return f"{count}more {labelled}examples would decide"


def _blocks(needed: int | None) -> str:
    return "" if needed is None else f"; about {show.count(needed)} blocks would settle it"


def _answer(kind: AnswerKind, row: Row, sentence: str, claimed: bool) -> Answer:
    speedup, accuracy = row.result.speedup, row.result.accuracy
    return Answer(
        kind=kind,
        variant=row.variant,
        target=row.result.target,
        batch_size=row.result.batch_size,
        speedup=None if speedup is None else Ratio(value=speedup.value, low=speedup.low, high=speedup.high),
        sentence=sentence,
        accuracy=accuracy.value if claimed and accuracy is not None else None,
        size_bytes=row.size_bytes,
    )


def _name(row: Row) -> str:
    return f"{row.variant} on {row.result.target}"


def _speed(row: Row) -> str:
    found = row.result.speedup
    return "the row that all are compared with" if found is None else _written(found)


def _written(found: Ratio | Speedup) -> str:
    return show.ratio(found.value, found.low, found.high if math.isfinite(found.high) else None)


def _kept(row: Row, claimed: bool) -> str:
    """What it comes to in accuracy, where that is said."""
    found = row.result.accuracy
    return f", with {phrases.accuracy(found)}" if claimed and found is not None else ""


def _value(answer: Answer) -> float:
    return 0.0 if answer.speedup is None else answer.speedup.value
