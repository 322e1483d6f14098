"""How warm the machine is and how fast its cores run, as far as the system tells; virtual machines rarely do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

THERMAL = Path("/sys/class/thermal")
CPUS = Path("/sys/devices/system/cpu")
_MILLI = 1e-3
_KHZ_PER_MHZ = 1e3
_POSSIBLE = range(-40, 150)
"""The temperatures that are believed: a sensor that is switched off tells others."""


def celsius(thermal: Path = THERMAL) -> float | None:
    """The temperature of the warmest zone; None where the system has none."""
    found = (number * _MILLI for number in _numbers(thermal.glob("thermal_zone*/temp")))
    return max((value for value in found if int(value) in _POSSIBLE), default=None)


def clock_mhz(cpus: Path = CPUS, cores: Collection[int] | None = None) -> float | None:
    """The mean clock of these cores, all by default; None where the system does not tell.

    Asking a core that is idle may wake it, so whoever times on some asks only those.
    """
    folders = cpus.glob("cpu[0-9]*") if cores is None else (cpus / f"cpu{core}" for core in cores)
    found = [number / _KHZ_PER_MHZ for number in _numbers(folder / "cpufreq/scaling_cur_freq" for folder in folders)]
    return sum(found) / len(found) if found else None


def _numbers(paths: Iterable[Path]) -> Iterable[int]:
    """What the files hold; one that can't be read, or holds no number, is left out."""
    for path in paths:
        try:
            yield int(path.read_text())
        except (OSError, ValueError):
            continue
