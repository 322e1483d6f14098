"""The counters of energy that hardware has: RAPL's of processor packages, a battery's, NVML's of a graphics card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.errors import Skipped
from pipeline.machine.card import Card, used_card
from pipeline.plan import Device

POWERCAP = Path("/sys/class/powercap")
SUPPLIES = Path("/sys/class/power_supply")
_MICROJOULES = 1e-6
_MILLIJOULES = 1e-3
_JOULES_PER_MICROWATT_HOUR = 3.6e-3

Reading = tuple[int, ...]


class EnergyCounter(Protocol):
    """A counter of energy."""

    @property
    def source(self) -> str:
        """The source, in words for the report."""
        ...

    def read(self) -> Reading:
        """The present readings, in units of the counter; raises Skipped where that has become impossible."""
        ...

    def joules(self, before: Reading, after: Reading) -> float:
        """The energy between two readings."""
        ...


@contextmanager
def energy_counter(device: Device, powercap: Path = POWERCAP, supplies: Path = SUPPLIES) -> Iterator[EnergyCounter]:
    """The counter of a device for as long as the context lasts; raises Skipped with the reason where there is none."""
    if device == "cpu":
        yield _of_the_machine(powercap, supplies)
        return
    with _nvml() as counter:
        yield counter


def _of_the_machine(powercap: Path, supplies: Path) -> EnergyCounter:
    """The packages' counters, or else the battery that the machine runs on; raises Skipped for want of packages."""
    try:
        return rapl(powercap)
    except Skipped:
        found = battery(supplies)
        if found is None:
            raise
        return found


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery that the whole machine runs on. Its gauge has coarse steps, of some joules to some tens of joules."""

    folder: Path

    @property
    def source(self) -> str:
        """The name of the battery."""
        return f"the battery {self.folder.name}, the whole machine"

    def read(self) -> Reading:
        """What is left, in microwatt hours; raises Skipped where it no longer runs down."""
        if _text(self.folder / "status") != "Discharging":
            raise Skipped(f"the battery {self.folder.name} does not run down: unplug the machine")
        if (self.folder / "energy_now").exists():
            return (_number(self.folder / "energy_now"),)
        charge_uah, voltage_uv = (_number(self.folder / name) for name in ("charge_now", "voltage_now"))
        return (round(charge_uah * voltage_uv * _MICROJOULES),)

    def joules(self, before: Reading, after: Reading) -> float:
        """The energy between two readings; 0 where the gauge took no step."""
        return max(0, before[0] - after[0]) * _JOULES_PER_MICROWATT_HOUR


def battery(supplies: Path = SUPPLIES) -> Battery | None:
    """The first battery that runs down now; None where there is none."""
    for folder in sorted(supplies.glob("*")):
        if _text(folder / "type") == "Battery" and _text(folder / "status") == "Discharging":
            return Battery(folder)
    return None


@dataclass(frozen=True, slots=True)
class Rapl:
    """All processor packages, in microjoules: Intel's interface, which AMD's processors show, too."""

    packages: Sequence[Path]
    ranges: Sequence[int]
    """The highest value of each counter; after it the counter begins again at 0."""

    @property
    def source(self) -> str:
        """The number of packages."""
        count = len(self.packages)
        return "RAPL, the whole processor package" if count == 1 else f"RAPL, {count} whole processor packages"

    def read(self) -> Reading:
        """``energy_uj`` of each package."""
        return tuple(_number(package / "energy_uj") for package in self.packages)

    def joules(self, before: Reading, after: Reading) -> float:
        """The energy between two readings; a counter that fell has wrapped around once."""
        rises = [
            end - start if end >= start else end - start + highest
            for start, end, highest in zip(before, after, self.ranges, strict=True)
        ]
        return sum(rises) * _MICROJOULES


def rapl(powercap: Path = POWERCAP) -> Rapl:
    """The packages' counters; raises Skipped where there are none or they may not be read.

    Only domains called ``package-…`` count: the others are parts of a package (core, uncore, dram) or more than it
    (psys).
    """
    zones = sorted(powercap.glob("intel-rapl:*"))
    packages = [zone for zone in zones if zone.name.count(":") == 1 and _text(zone / "name").startswith("package")]
    if not packages:
        raise Skipped(f"there is no processor package's energy counter in {powercap}")
    found = Rapl(packages, [_number(package / "max_energy_range_uj") for package in packages])
    found.read()
    return found


@dataclass(frozen=True, slots=True)
class NvmlDevice:
    """One graphics card: millijoules since the driver was loaded."""

    card: Card

    @property
    def source(self) -> str:
        """The name of the card."""
        return f"NVML, the whole card ({self.card.name})"

    def read(self) -> Reading:
        """The driver's counter."""
        import pynvml

        try:
            return (int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.card.handle)),)
        except pynvml.NVMLError as error:
            raise Skipped(f"the energy counter of {self.card.name} can't be read: {error}") from error

    def joules(self, before: Reading, after: Reading) -> float:
        """The energy between two readings of a 64-bit counter, which does not wrap around."""
        return (after[0] - before[0]) * _MILLIJOULES


@contextmanager
def _nvml() -> Iterator[NvmlDevice]:
    """The card's counter; raises Skipped where it is not the model's alone."""
    with used_card() as card:
        if card.divided:
            raise Skipped(f"{card.name} is divided into instances (MIG), and its counter counts them all")
        found = NvmlDevice(card)
        found.read()
        yield found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise Skipped(f"{path} may be read by root alone: sudo chmod a+r {path}") from error
    except (OSError, ValueError) as error:
        raise Skipped(f"{path} can't be read: {error}") from error
