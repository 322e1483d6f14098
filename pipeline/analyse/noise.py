"""Whether the run's own checks passed: a clone must time like its original, and the intervals must be narrow."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.analyse.cells import Cells, differences_by_round, original
from pipeline.plan import MeasureSettings
from pipeline.results import numbers as show
from pipeline.results.record import CLONE, LatencySamples
from pipeline.results.report import Noise
from pipeline.statistics.latency import Estimate, paired_ratio

_CLONE_TOLERANCE = 0.01
"""A clone that differs by less is not held against the run, however sure the difference is."""
_LEVELS = frozenset({"load", "celsius", "clock_mhz", "sm_clock_mhz", "foreign_processes", "battery_percent"})
"""What the telemetry holds of a moment and not of a span: its mean says something, its total nothing."""
_BUSY_LOAD = 1.25
"""Times the cores, beside the run's own load: more than that is somebody else's."""
_OWN_LOAD = 0.5
_BUSY_SHARE = 0.05
_TICK_S = 0.01
_WARMER = 5.0
"""So many degrees are told."""
_SLOWER_CLOCK = 0.03
"""A clock that falls by this share is told with them."""
_PLACE = frozenset({"round", "block", "device", "cores", "dropped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The outcome of the noise checks."""

    noise: Noise
    devices: frozenset[str]
    """The devices whose clone differed from its original: no row on them can be judged."""
    rows: frozenset[str]
    """The subjects whose own interval stayed too wide: only they can't be judged."""

    def noisy_rows(self, devices: Mapping[str, str]) -> set[str]:
        """The subjects that can't be judged, out of those whose device ``devices`` names."""
        return {*self.rows, *(key for key, device in devices.items() if device in self.devices)}


def check_noise(
    cells: Mapping[str, Cells],
    estimates: Mapping[str, Estimate],
    devices: Mapping[str, str],
    samples: LatencySamples,
    measure: MeasureSettings,
    cores: int | None = None,
) -> Checks:
    """Judge the run. ``estimates`` are the rows' estimates, by subject; ``devices`` names each subject's device.

    ``cores`` is the number of cores that the run could use; None: not known.
    """
    telemetry = _telemetry(samples)
    clones, reasons, noisy_devices = [], [], set()
    for key in (key for key in cells if key.startswith(CLONE) and original(key) in cells):
        device = devices[original(key)]
        differences = differences_by_round(cells[key], cells[original(key)])
        if not differences:
            continue
        found = paired_ratio(differences, measure.look_alpha)
        clones.append(
            {"device": device, "reference": original(key), "ratio": found.value, "low": found.low, "high": found.high}
        )
        if not found.low <= 1 <= found.high and abs(math.log(found.value)) > math.log1p(_CLONE_TOLERANCE):
            noisy_devices.add(device)
            reasons.append(
                f"a second copy of {original(key)} was {show.number(found.value, 3)} times as fast as the first "
                f"({show.number(found.low, 3)} to {show.number(found.high, 3)}), and it should be 1"
            )
    wide = _too_wide(estimates, samples, measure)
    if wide:
        reasons.append(_wide_reason(wide, estimates, samples.rounds, measure))
    noise = Noise(
        noisy=bool(reasons),
        reasons=reasons,
        clones=clones,
        telemetry=telemetry,
        busy=[*_on_purpose(measure), *_busy(telemetry, samples.seconds, cores)],
        rounds=samples.rounds,
        blocks=len(samples.telemetry) or _blocks(samples),
        stopped=samples.stopped,
        seconds=samples.seconds,
        warmer=_warmer(samples.telemetry),
        cut=_cut(samples, measure),
        beside=samples.beside,
        timed_share=float(samples.duration_ns.sum()) / 1e9 / samples.seconds if samples.seconds > 0 else 0.0,
    )
    return Checks(noise=noise, devices=frozenset(noisy_devices), rows=frozenset(wide))


def unchecked(samples: LatencySamples, devices: Mapping[str, str]) -> Checks:
    """The checks of a run whose checks could not be made: no row can be judged."""
    noise = Noise(
        noisy=True,
        reasons=["whether the ratios can be relied on is not known"],
        clones=[],
        telemetry={},
        rounds=samples.rounds,
        blocks=len(samples.telemetry),
        stopped=samples.stopped,
        seconds=samples.seconds,
        timed_share=0.0,
    )
    return Checks(noise=noise, devices=frozenset(devices.values()), rows=frozenset())


def _too_wide(estimates: Mapping[str, Estimate], samples: LatencySamples, measure: MeasureSettings) -> Collection[str]:
    """Rows whose interval is too wide to tell faster from slower.

    An interval that is wide, but lies as a whole beyond ±``noisy_half_width``, leaves no doubt which of the two it is:
    a model five times slower need not be known to 3 %.
    """
    if samples.stopped == "width":
        return []
    limit = measure.noisy_half_width
    return [
        key
        for key, found in estimates.items()
        if not found.half_width <= limit and found.low <= math.exp(limit) and found.high >= math.exp(-limit)
    ]


def _wide_reason(
    wide: Collection[str], estimates: Mapping[str, Estimate], rounds: int, measure: MeasureSettings
) -> str:
    worst = max(wide, key=lambda key: estimates[key].half_width)
    width = estimates[worst].half_width
    bounds = f"±{show.number(100 * width, 1)} %" if math.isfinite(width) else "no bounds"
    return (
        f"{len(wide)} of {len(estimates)} speed-ups are less certain than ±{100 * measure.noisy_half_width:g} % "
        f"and may be 1, after {rounds} round{'s' if rounds > 1 else ''} (the worst: {worst}, {bounds}): "
        "let it run longer, or on a quieter machine"
    )


def _cut(samples: LatencySamples, measure: MeasureSettings) -> list[str]:
    found = []
    for plan in samples.plans:
        parts = []
        if plan["blocks"] < plan["full_blocks"]:
            parts.append(f"rounds of {plan['blocks']} blocks instead of {plan['full_blocks']}")
        if plan["stopped"] == "budget":
            parts.append(f"{plan['rounds']} rounds of at most {plan['most_rounds']}")
        if parts:
            found.append(
                f"measure.budget_s={measure.budget_s:g} cut the measuring on {plan['device']}: {', '.join(parts)}"
            )
    return found


def _on_purpose(measure: MeasureSettings) -> list[str]:
    if not measure.busy:
        return []
    return [f"other processes kept {show.counted(measure.busy, 'core')} busy on purpose (measure.busy={measure.busy})"]


def _busy(telemetry: Mapping[str, Any], seconds: float, cores: int | None) -> list[str]:
    """Whether others had a share of the machine, by its load, by what threads waited for a core, and by stolen time.

    A run's own load is about 1, and more while the load average still remembers what was built before.
    """
    signs = []
    load, delay, steal = (telemetry.get(name) for name in ("load", "run_delay_share", "steal_ticks"))
    if load is not None and cores is not None and load > _BUSY_LOAD * cores + _OWN_LOAD:
        signs.append(f"the load was {show.number(load, 1)} on {cores} core{'' if cores == 1 else 's'}")
    if delay is not None and delay > _BUSY_SHARE:
        signs.append(f"timed threads waited for a core for {show.share(delay)} of the time that their calls took")
    if steal is not None and cores and seconds > 0 and steal * _TICK_S > _BUSY_SHARE * seconds * cores:
        share = steal * _TICK_S / (seconds * cores)
        signs.append(f"other virtual machines took {show.share(share)} of the processor")
    if not signs:
        return []
    return [
        f"the machine was busy while latency was measured: {', and '.join(signs)}. Speed-ups compare calls of the same "
        "moments; p50, p90, p99 and throughput are those of a busy machine"
    ]


def _warmer(telemetry: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the machine grew warm while it was timed, and whether its clock fell: its first quarter and its last."""
    degrees = _ends(telemetry, "celsius")
    if degrees is None or degrees[1] - degrees[0] < _WARMER:
        return []
    clocks = _ends(telemetry, "clock_mhz")
    slower = clocks is not None and clocks[1] < (1 - _SLOWER_CLOCK) * clocks[0]
    then = f", and the clock fell from {clocks[0]:.0f} to {clocks[1]:.0f} MHz" if clocks and slower else ""
    return [
        f"the machine grew warmer while latency was measured, from {degrees[0]:.0f} to {degrees[1]:.0f} "
        f"\N{DEGREE SIGN}C{then}. Speed-ups compare calls of the same moments; a machine that has been warm for long "
        "may be slower"
    ]


def _ends(telemetry: Sequence[Mapping[str, Any]], name: str) -> tuple[float, float] | None:
    """The means of a level over the first and the last quarter of the blocks; None where it was not told."""
    values = [entry[name] for entry in telemetry if isinstance(entry.get(name), int | float)]
    count = len(values) // 4
    return (sum(values[:count]) / count, sum(values[-count:]) / count) if count else None


def _blocks(samples: LatencySamples) -> int:
    return len(set(zip(samples.round.tolist(), samples.block.tolist(), strict=True)))


def _telemetry(samples: LatencySamples) -> dict[str, Any]:
    """Totals of counters, means of levels, and how many blocks were dropped for what; None: it was not readable."""
    entries = samples.telemetry
    found: dict[str, Any] = {}
    for name in sorted({name for entry in entries for name in entry} - _PLACE):
        values = [entry[name] for entry in entries if isinstance(entry.get(name), int | float)]
        total = sum(values)
        found[name] = None if not values else total / len(values) if name in _LEVELS else total
    reasons = [entry["dropped"] for entry in entries if entry.get("dropped") is not None]
    found["dropped_blocks"] = len(reasons)
    found["dropped_share"] = len(reasons) / len(entries) if entries else 0.0
    found["dropped_reasons"] = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    timed_ns = float(samples.duration_ns.sum())
    delay = found.get("run_delay_ns")
    found["run_delay_share"] = delay / timed_ns if delay is not None and timed_ns else None
    return found
