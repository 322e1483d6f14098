"""What the machine did between runs, and how far ratios of two models move from run to run by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.analyse.cells import Cells, original
from pipeline.compare.anchors import ratio, ratio_of, reference_key, same_bytes
from pipeline.compare.runs import Run
from pipeline.plan import BASELINE
from pipeline.results.comparison import Drift
from pipeline.results.record import PROBE
from pipeline.statistics.sessions import Ratio, Shifts, shifts_of


def shifts(before: Sequence[Run], after: Run) -> dict[str, Shifts]:
    """How ratios that should have stayed moved, by device: the fixed model beside an unchanged baseline in all runs,
    and each unchanged row over the earlier runs.

    Runs with other versions of a library don't count: there a shift may be the library's.
    """
    libraries = before[0].record.machine.libraries
    earlier = [run for run in before if run.record.machine.libraries == libraries]
    every = [*earlier, after] if after.record.machine.libraries == libraries else earlier
    devices = dict.fromkeys(row.device for row in after.record.subjects)
    return {
        device: shifts_of([_beside(device, every, after)]) + shifts_of(_over(device, earlier)) for device in devices
    }


def _beside(device: str, runs: Sequence[Run], after: Run) -> list[Ratio]:
    """The ratio of the baseline to the fixed model in each run that has both, and the same baseline."""
    if device not in after.probes:
        return []
    beside = after.probes[device][0]
    alike = [run for run in runs if device in run.probes and run.probes[device][0] == beside]
    found = [
        ratio_of(run, run.cells.get(beside), run.probes[device][1]) for run in alike if same_bytes(run, after, beside)
    ]
    return [one for one in found if one is not None]


def _over(device: str, runs: Sequence[Run]) -> list[list[Ratio]]:
    """The ratios of each row to its baseline in the earlier runs that have the same bytes of both."""
    latest = runs[0]
    rows = [row for row in latest.record.subjects if row.device == device and row.key != reference_key(latest, row)]
    found = []
    for row in rows:
        keys = (row.key, reference_key(latest, row))
        alike = [run for run in runs if all(same_bytes(run, latest, key) for key in keys)]
        found.append([one for run in alike if (one := ratio(run, row, "baseline")) is not None])
    return found


def drifts(before: Run, after: Run, moved: Mapping[str, Shifts]) -> Iterator[Drift]:
    """What the machine did since an earlier run, on each device: how much faster ran what did not change?"""
    for device in dict.fromkeys(row.device for row in after.record.subjects):
        fixed = [key for key in after.cells if key in before.cells and _is_fixed(key, before, after, device)]
        speed = {key: _times_as_fast(before.cells[key], after.cells[key]) for key in fixed}
        if device in after.probes and device in before.probes:
            beside, cells = after.probes[device]
            speed[f"{PROBE}{beside}"] = _times_as_fast(before.probes[device][1], cells)
        if speed:
            sd, seen = math.sqrt(moved[device].variance), moved[device].freedom
            yield Drift(device=device, speed=speed, session_sd=sd, seen=seen)


def _is_fixed(key: str, before: Run, after: Run, device: str) -> bool:
    row = after.rows.get(original(key))
    return row is not None and row.device == device and row.variant == BASELINE and same_bytes(before, after, row.key)


def _times_as_fast(before: Cells, after: Cells) -> float:
    means = [float(np.mean(list(cells.log_median.values()))) for cells in (before, after)]
    return math.exp(means[0] - means[1])
