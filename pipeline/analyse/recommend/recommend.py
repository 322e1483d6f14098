"""Which row to deploy.

The rule, in order:

1. The place. One target is decided on, because a speed-up is against the baseline of its own target: the first target,
   in the order of the config, with a measured row; on it the smallest measured batch size. Where
   ``measure.reference`` names one row for all, as in a search, the speed-ups of every target are comparable, and all
   targets compete.
2. Who qualifies: a row that was measured, is neither NOISY nor merely screened, keeps the accuracy margin with the
   lower end of its interval, and keeps every limit in ``constraints``. The baseline is a row like any other, but for
   accuracy, which it keeps by definition; where every comparison is NOISY, so is the reference.
3. Who wins: of the rows whose whole interval lies above 1, the one with the highest lower end, unless the intervals of
   others overlap its own: which of them is the fastest is not known, so the plainest chain wins (the fewest lossy
   stages, then the fewest stages), then the most accurate row. If no row lies above 1, the reference row (the baseline,
   as a rule) stays: a change that is not faster for sure is not worth making, so a row that is SAME or INCONCLUSIVE
   never wins over a baseline that keeps the limits, however small it is. Only where the reference itself breaks a limit
   does the qualifying row with the highest lower end win, even one that is slower. ``constraints.min_speedup`` asks
   more of a row than 1; the reference row need not keep it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.analyse import phrases
from pipeline.analyse.recommend.contest import Contest
from pipeline.analyse.recommend.eligible import Row, row_name
from pipeline.plan import BASELINE
from pipeline.results.figures import Reference
from pipeline.results.report import Recommendation, VariantResult


def recommend(variants: Sequence[VariantResult], contest: Contest | None) -> tuple[Recommendation | None, str | None]:
    """The row to deploy; or None, and why there is none. ``contest`` is None where nothing was measured."""
    if contest is None:
        return None, _nothing_measured(variants)
    measure = contest.run.measure
    if measure.screening:
        return None, f"measure={measure.profile} is a quick look and recommends nothing: run with measure=default."
    rows, reference, against = contest.rows, contest.reference, contest.against
    qualified = contest.qualified
    if not qualified:
        return None, " ".join(f"{row.name}: {'; '.join(against[row.name])}." for row in rows)
    winner = _winner(qualified, reference)
    return (
        Recommendation(
            variant=winner.variant,
            target=winner.result.target,
            batch_size=winner.result.batch_size,
            why=_why(winner, contest),
            next_best=_next_best(winner, contest),
        ),
        None,
    )


def _nothing_measured(variants: Sequence[VariantResult]) -> str:
    failed = [(variant.name, variant.reason) for variant in variants if variant.reason is not None]
    rows = [
        (result.target, result.reason)
        for variant in variants
        for result in variant.results
        if result.reason is not None
    ]
    names: dict[str, dict[str, None]] = {}
    for name, reason in failed or rows:
        names.setdefault(reason, {})[name] = None
    return " ".join(["No variant was measured.", *(f"{', '.join(names[reason])}: {reason}." for reason in names)])


def _rank(row: Row) -> tuple[float, float]:
    value = 1.0 if row.result.speedup is None else row.result.speedup.value
    return row.sure_speedup, value


def _winner(qualified: Sequence[Row], reference: Reference) -> Row:
    best = max(qualified, key=_rank)
    if best.sure_speedup > 1:
        return min(_peers(best, qualified), key=_preference)
    return next((row for row in qualified if row.reference == reference), best)


def _peers(row: Row, qualified: Sequence[Row]) -> list[Row]:
    """The rows that are faster for sure and whose interval overlaps this row's, the row itself included."""
    return [
        other
        for other in qualified
        if other.sure_speedup > 1
        and other.possible_speedup >= row.sure_speedup
        and other.sure_speedup <= row.possible_speedup
    ]


def _preference(row: Row) -> tuple[tuple[int, int], float, float]:
    """Among rows of which none is known to be the fastest; the smallest wins."""
    return row.plainness, -_accuracy(row), -row.sure_speedup


def _accuracy(row: Row) -> float:
    return 1.0 if row.result.accuracy is None else row.result.accuracy.merit


def _preferred_for(winner: Row, other: Row) -> str:
    """What decides between two rows whose intervals overlap, said of the winner."""
    if winner.lossy_stages != other.lossy_stages:
        return f"has the plainer chain ({winner.lossy_stages} lossy stages against {other.lossy_stages})"
    if winner.stages != other.stages:
        return f"has the plainer chain ({winner.stages} stages against {other.stages})"
    if _accuracy(winner) != _accuracy(other):
        return "is the more accurate"
    return "has the interval that starts higher"


def _why(winner: Row, contest: Contest) -> str:
    rows, reference, against = contest.rows, contest.reference, contest.against
    speedup = winner.result.speedup
    if speedup is None:
        name = f"{phrases.reference(winner.reference)} at batch size {winner.result.batch_size}"
        name = name[0].upper() + name[1:] if winner.variant == BASELINE else name
        if len(rows) == 1:
            return f"{name} is the only row that was measured, and it keeps every limit."
        others = "no other row that qualifies" if any(against.values()) else "no other row"
        return f"{name} keeps every limit, and {others} is faster for sure."
    first = f"{phrases.outcome(winner.variant, winner.result, contest.run)}."
    if speedup.low > 1:
        return f"{first} {_among(winner, [row for row in rows if not against[row.name]], rows)}"
    broken = "; ".join(against.get(row_name(reference), ["it was not measured"]))
    return f"{first} It is not faster for sure, but {phrases.reference(reference)} does not qualify: {broken}."


def _among(winner: Row, qualified: Sequence[Row], rows: Sequence[Row]) -> str:
    """How it compares with the other rows that qualify."""
    best = max(qualified, key=_rank)
    if winner is best:
        return "No other row that qualifies has an interval that starts higher."
    ends = "" if best.result.speedup is None else f" ({phrases.short(best.result.speedup)})"
    return (
        f"The interval of {_name(best, rows)}{ends} overlaps it, so which of the two is "
        f"faster is not known: {_name(winner, rows)} {_preferred_for(winner, best)}."
    )


def _next_best(winner: Row, contest: Contest) -> str | None:
    """The row that lost most narrowly: a faster one that more examples may clear, as there is something to do about it;
    else the fastest."""
    rows, reference, against = contest.rows, contest.reference, contest.against
    others = [row for row in rows if row is not winner]
    if not others:
        return None
    faster = [row for row in others if row.sure_speedup > winner.possible_speedup and contest.may_qualify(row)]
    runner_up = max(faster or others, key=_rank)
    speedup = runner_up.result.speedup
    name, best = _name(runner_up, rows), _name(winner, rows)
    if speedup is not None:
        name += f" ({phrases.short(speedup)})"
    if against[runner_up.name]:
        return f"{name} lost: {'; '.join(against[runner_up.name])}."
    if runner_up.reference == reference:
        return f"{name} lost: {best} is faster for sure."
    if winner.reference == reference:
        return f"{name} lost: its interval does not lie above 1, so it is not faster for sure."
    if runner_up in _peers(winner, rows):
        return f"{name} lost: its interval overlaps that of {best}, which {_preferred_for(winner, runner_up)}."
    return f"{name} lost: its interval starts lower than that of {best}."


def _name(row: Row, rows: Sequence[Row]) -> str:
    """The variant, and its target where several compete."""
    several = len({other.result.target for other in rows}) > 1
    return f"{row.variant} on {row.result.target}" if several else row.variant
