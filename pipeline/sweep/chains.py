"""Where the same chain wins, and where not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.plan import BASELINE
from pipeline.results import numbers as show
from pipeline.results.report import Report, VariantResult
from pipeline.results.sweep import Standing, SweepChain, SweepJob, SweepRow
from pipeline.sweep.settings import but_seeds, in_words

_SHOWN = 4
_NOT_SET = "–"
_WORDS: Mapping[Standing, str] = {
    "beaten": "is faster and beaten by another row",
    "slower": "is slower than the baseline",
    "not faster": "is not faster for sure",
    "loses too much": "loses too much accuracy",
    "undecided": "has an accuracy that is not known to keep the margin",
    "over a limit": "is over a limit",
    "noisy": "can't be judged, as the run is NOISY",
    "screened": "was only screened",
    "not compared": "stands on a target or at a batch size that is not decided on",
    "failed": "failed",
    "skipped": "was skipped",
}


def chains_of(jobs: Sequence[SweepJob], reports: Mapping[str, Report]) -> list[SweepChain]:
    """Every row but those of the baseline, over all jobs that have it; what wins most often comes first.

    ``reports`` has those of the jobs, by name.
    """
    rows: dict[str, dict[str, SweepRow]] = {}
    for job in jobs:
        for row in job.rows:
            if row.variant != BASELINE:
                rows.setdefault(row.key, {})[job.name] = row
    by_name = {job.name: job for job in jobs}
    chains = [_chain(by_name, found, reports) for found in rows.values()]
    return sorted(chains, key=_rank)


def _rank(chain: SweepChain) -> tuple[int, int]:
    return -len(chain.standings.get("wins", ())), -len(chain.standings.get("beaten", ()))


def _chain(jobs: Mapping[str, SweepJob], rows: Mapping[str, SweepRow], reports: Mapping[str, Report]) -> SweepChain:
    standings: dict[Standing, list[str]] = {}
    for name, row in rows.items():
        standings.setdefault(row.standing, []).append(name)
    first = next(iter(rows.values()))
    return SweepChain(
        variant=first.variant,
        target=first.target,
        batch_size=first.batch_size,
        standings=standings,
        differs=_differing([variant for name in rows for variant in _variants(reports[name], first.variant)]),
        sentence=_sentence(jobs, rows, standings),
    )


def _variants(report: Report, name: str) -> Iterator[VariantResult]:
    return (variant for variant in report.variants if variant.name == name)


def _differing(variants: Iterable[VariantResult]) -> list[str]:
    """The fields of the stages that are not the same everywhere."""
    every = [_fields(variant) for variant in variants]
    keys = dict.fromkeys(key for fields in every for key in fields)
    return [key for key in keys if len({repr(fields.get(key, _NOT_SET)) for fields in every}) > 1]


def _fields(variant: VariantResult) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in variant.stages:
        found |= {stage.name: stage.kind, **{f"{stage.name}.{key}": value for key, value in stage.fields.items()}}
    return found


def _sentence(
    jobs: Mapping[str, SweepJob], rows: Mapping[str, SweepRow], standings: Mapping[Standing, list[str]]
) -> str:
    name = _name(next(iter(rows.values())))
    won = standings.get("wins", [])
    counted = f"{len(won)} of {show.counted(len(rows), 'job')}"
    begin = f"{name} wins in {counted}" + (f": {_listed(jobs, rows, won)}" if won else "")
    others = [
        f"it {_WORDS[standing]} in {_listed(jobs, rows, names)}"
        for standing, names in standings.items()
        if standing != "wins"
    ]
    return "; ".join([begin, *others]) + "."


def _name(row: SweepRow) -> str:
    name = f"{row.variant} on {row.target}"
    return name if row.batch_size == 1 else f"{name}, batch {row.batch_size}"


def _listed(jobs: Mapping[str, SweepJob], rows: Mapping[str, SweepRow], names: Sequence[str]) -> str:
    """Jobs with their speed-ups; those that differ in their seed only are told together."""
    groups: dict[str, list[str]] = {}
    for name in names:
        alone = len(jobs[name].settings) == 0
        groups.setdefault(f"job {name}" if alone else in_words(but_seeds(jobs[name].settings)), []).append(name)
    told = [_group(settings, jobs, [(name, rows[name]) for name in group]) for settings, group in groups.items()]
    rest = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _group(settings: str, jobs: Mapping[str, SweepJob], found: Sequence[tuple[str, SweepRow]]) -> str:
    name = in_words(jobs[found[0][0]].settings) or settings
    if len(found) > 1:
        name = f"{settings}, {len(found)} seeds" if settings else f"{len(found)} seeds"
    speeds = sorted(row.speedup.value for _, row in found if row.speedup is not None)
    ends = list(dict.fromkeys(f"{show.number(speed, 2)}x" for speed in speeds[:1] + speeds[-1:]))
    return f"{name} ({' to '.join(ends)})" if ends else name
