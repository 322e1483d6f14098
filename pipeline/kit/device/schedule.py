"""How much is measured, and what is measured together: the blocks of a round, and groups that the memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

FEWEST_BLOCKS = 4
FEWEST_ROUNDS = 2
USABLE = 0.6
"""The share of the free memory that the models of a round may take together."""
CLONE = "clone:"
_VISIT_MS = 0.5
_MS_PER_S = 1e3
Row = Mapping[str, Any]


class Expected(NamedTuple):
    """What measuring will take, judged by the calls of the first round's warm-up."""

    blocks: int
    full_blocks: int
    rounds: tuple[int, int]
    seconds: tuple[float, float]


def expect(calls_ms: Sequence[float], setup_s: float, settings: Mapping[str, Any], budget_s: float | None) -> Expected:
    """Plan the rounds. A budget makes rounds shorter first, then fewer."""
    block_s = sum(_visit_ms(call, settings) for call in calls_ms) / _MS_PER_S
    full = blocks = blocks_per_round(calls_ms, settings)
    fewest, most = settings["looks"][0], settings["looks"][-1]
    if budget_s is not None:
        blocks = min(blocks, max(int((budget_s / fewest - setup_s) / block_s), FEWEST_BLOCKS))
    round_s = setup_s + blocks * block_s
    if budget_s is not None:
        most = max(FEWEST_ROUNDS, min(most, int(budget_s / round_s) + 1))
        fewest = min(fewest, most)
    return Expected(blocks, full, (fewest, most), (fewest * round_s, most * round_s))


def blocks_per_round(calls_ms: Sequence[float], settings: Mapping[str, Any]) -> int:
    """The number of blocks: fewer for slow models, never below a third of the setting."""
    cells_ms = [
        call if _is_long(call, settings) else max(settings["cell_ms"], settings["min_calls"] * call)
        for call in calls_ms
    ]
    blocks = round(float(settings["blocks"] * settings["cell_ms"] * len(cells_ms) / sum(cells_ms)))
    return max(blocks, int(settings["blocks"]) // 3, FEWEST_BLOCKS)


def groups(rows: Sequence[Row], free_bytes: int | None) -> list[list[Row]]:
    """Rows that are measured together. Each group has the baselines of its rows, and the clone of the first.

    Memory bounds a group: each of its models is loaded in a process of its own. Where even one row beside its baseline
    is too much, it is tried all the same.
    """
    by_key = {row["key"]: row for row in rows}
    own = [row for row in rows if row["reference"] != row["key"] and row["reference"] in by_key]
    if not own:
        return [list(rows)]
    found: list[list[Row]] = []
    for row in own:
        joined = [*(found[-1] if found else []), row]
        if found and _fits(_with_references(joined, by_key), free_bytes):
            found[-1].append(row)
        else:
            found.append([row])
    return [_with_references(part, by_key) for part in found]


def clone_of(group: Sequence[Row]) -> Row:
    """The hidden clone of a group: the first row's reference once more."""
    return next((row for row in group if row["key"] == group[0]["reference"]), group[0])


def _with_references(rows: Iterable[Row], by_key: Mapping[str, Row]) -> list[Row]:
    wanted = {row["key"]: None for row in rows}
    keys = dict.fromkeys([*(by_key[key]["reference"] for key in wanted), *wanted])
    return [by_key[key] for key in keys]


def _fits(group: Sequence[Row], free_bytes: int | None) -> bool:
    needed = sum(row["memory_bytes"] or 0 for row in [*group, clone_of(group)])
    return free_bytes is None or needed <= USABLE * free_bytes


def _is_long(call_ms: float, settings: Mapping[str, Any]) -> bool:
    return settings["long_call_ms"] is not None and call_ms >= settings["long_call_ms"]


def _visit_ms(call_ms: float, settings: Mapping[str, Any]) -> float:
    if _is_long(call_ms, settings):
        return call_ms + _VISIT_MS
    timed_ms = max(float(settings["cell_ms"]) + call_ms / 2, int(settings["min_calls"]) * call_ms)
    return max(float(settings["untimed_ms"]) + call_ms / 2, call_ms) + timed_ms + _VISIT_MS
