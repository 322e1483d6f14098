"""Samples of fields that are numbers: candidates that come as they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.plan import Plan
from pipeline.search.board import Board, Standing
from pipeline.search.journal import Journal
from pipeline.search.space import ranges_of, with_field

_OF = ":"
"""What stands between a candidate's key and the field, in the name of a sampled value."""


def draw(plan: Plan, board: Board, journal: Journal) -> None:
    """Put a sample of the ranges of each chain that is fast enough and drifts too far on the board."""
    for standing in list(board.standings):
        candidate = standing.candidate
        ranges = ranges_of(plan.searched.ranges, candidate.chain)
        drawn = sum(one.candidate.after == standing.key and one.drawn for one in board.standings)
        if candidate.changes or not ranges or drawn >= plan.searched.samples or not board.wants_rescue(standing):
            continue
        names = {f"{standing.key}{_OF}{stage}.{name}": ends for (stage, name), ends in ranges.items()}
        sample = journal.sample(names)
        for one in _sampled(plan, board, sample.params):
            board.standings.append(replace(one, sample=sample))


def take_up(plan: Plan, board: Board, journal: Journal) -> None:
    """Put the samples that an earlier, stopped run of the same search has tried on the board."""
    for values in journal.samples:
        board.standings.extend(_sampled(plan, board, values))


def _sampled(plan: Plan, board: Board, values: Mapping[str, float]) -> list[Standing]:
    """The candidate that has a sample's values, by their names in the journal; none where the space has changed."""
    parents = {name.partition(_OF)[0] for name in values}
    parent = next((one.candidate for one in board.standings if {one.key} == parents), None)
    if parent is None:
        return []
    candidate = parent
    for name, value in values.items():
        stage, _, field_name = name.partition(_OF)[2].partition(".")
        candidate = with_field(plan, candidate, (stage, field_name), float(f"{value:.3g}"))
    return [Standing(candidate=replace(candidate, after=parent.key), drawn=True)]
