from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Skipped
from pipeline.machine.energy_counters import Battery, battery, energy_counter, rapl
from pipeline.measure.energy import UseEnergy, energy_of
from pipeline.measure.workers.start import alone
from pipeline.measure.workers.worker import Job, Load, State
from tests.machine.fake_nvml import FakeNvml
from tests.measure.fakes import job

HIGHEST = 262_143_328_850


def measure_energy(what: Job, seconds: float | None, powercap: Path) -> dict[str, Any]:
    with alone(what) as worker:
        worker.ask(Load(calls=1, warmup_ns=0))
        return energy_of(worker, what.target.device, 1, seconds, powercap)


def zone(powercap: Path, number: str, name: str, energy_uj: int = 1000) -> Path:
    """A domain as the kernel shows it."""
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", HIGHEST)):
        (folder / file).write_text(f"{value}\n")
    return folder


def test_only_whole_packages_are_counted(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 10)
    zone(tmp_path, "0:0", "core", 20)
    zone(tmp_path, "0:1", "dram", 30)
    zone(tmp_path, "1", "package-1", 40)
    zone(tmp_path, "2", "psys", 50)
    counter = rapl(tmp_path)
    assert counter.read() == (10, 40)
    assert counter.source == "RAPL, 2 whole processor packages"
    assert counter.joules((10, 40), (1_000_010, 2_000_040)) == pytest.approx(3.0)


def a_battery(supplies: Path, status: str = "Discharging", **gauge: int) -> Path:
    """A battery as the kernel shows it, beside a charger."""
    shown: dict[str, dict[str, str | int]] = {
        "AC": {"type": "Mains"},
        "BAT0": {"type": "Battery", "status": status, **gauge},
    }
    for name, files in shown.items():
        (supplies / name).mkdir(parents=True, exist_ok=True)
        for file, value in files.items():
            (supplies / name / file).write_text(f"{value}\n")
    return supplies / "BAT0"


@pytest.mark.parametrize("gauge", [{"energy_now": 40_000_000}, {"charge_now": 4_000_000, "voltage_now": 10_000_000}])
def test_a_machine_without_packages_counters_is_measured_by_its_battery(tmp_path: Path, gauge: dict[str, int]) -> None:
    folder = a_battery(tmp_path / "supplies", "Discharging", **gauge)
    with energy_counter("cpu", tmp_path / "none", tmp_path / "supplies") as counter:
        before = counter.read()
        first = next(iter(gauge))
        (folder / first).write_text(str(gauge[first] - gauge[first] // 1000))
        assert counter.joules(before, counter.read()) == pytest.approx(144.0), "a thousandth of 40 Wh"
        assert counter.joules(before, before) == 0.0
    assert counter.source == "the battery BAT0, the whole machine"


def test_a_battery_that_is_charged_counts_nothing(tmp_path: Path) -> None:
    folder = a_battery(tmp_path / "supplies", status="Charging", energy_now=1)
    with (
        pytest.raises(Skipped, match="no processor package's energy counter"),
        energy_counter("cpu", tmp_path / "none", tmp_path / "supplies"),
    ):
        pass
    assert battery(tmp_path / "supplies") is None
    with pytest.raises(Skipped, match="the battery BAT0 does not run down: unplug the machine"):
        Battery(folder).read()


def test_packages_count_before_a_battery(tmp_path: Path) -> None:
    zone(tmp_path / "powercap", "0", "package-0")
    a_battery(tmp_path / "supplies", energy_now=1)
    with energy_counter("cpu", tmp_path / "powercap", tmp_path / "supplies") as counter:
        assert counter.source == "RAPL, the whole processor package"


def test_a_counter_that_wraps_around_loses_nothing(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0")
    assert rapl(tmp_path).joules((HIGHEST - 1_500_000,), (500_000,)) == pytest.approx(2.0)


def test_without_a_counter_there_is_a_reason_and_no_figure(tmp_path: Path) -> None:
    found = measure_energy(job(tmp_path), seconds=0.01, powercap=tmp_path / "none")
    assert found == {"reason": f"not measured: there is no processor package's energy counter in {tmp_path / 'none'}"}


def test_a_counter_that_is_roots_alone_says_how_to_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = zone(tmp_path, "0", "package-0")
    original = Path.read_text

    def guarded(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(Skipped, match=f"may be read by root alone: sudo chmod a.r {package}/energy_uj"):
        rapl(tmp_path)


def test_a_counter_that_stands_still_is_not_taken_for_no_energy(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0")
    found = measure_energy(job(tmp_path), seconds=0.01, powercap=tmp_path)
    assert "RAPL, the whole processor package stood still for 0.0" in found["reason"]


def test_energy_that_was_not_asked_for_says_so(tmp_path: Path) -> None:
    assert measure_energy(job(tmp_path), None, tmp_path) == {"reason": "not measured: measure.energy_s is null"}


def test_a_worker_that_cannot_run_its_model_is_the_reason(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0")
    with alone(job(tmp_path)) as worker:
        found = energy_of(worker, "cpu", 1, 0.01, tmp_path)
    assert found == {"reason": "not measured: RuntimeError: a worker was told to run a model that it has not loaded"}


@dataclass
class Burning:
    """A model each call of which takes 2 mJ, as the counter tells."""

    counter: Path

    def __call__(self, feed: Any) -> list[Any]:
        self.counter.write_text(f"{int(self.counter.read_text()) + 2000}\n")
        return []


def test_the_counter_is_read_around_the_calls_and_nothing_else(tmp_path: Path) -> None:
    package = zone(tmp_path, "0", "package-0")
    used = UseEnergy(device="cpu", seconds=0.005, powercap=tmp_path)(
        State(job(tmp_path), Burning(package / "energy_uj"))
    )
    assert used.calls >= 1
    assert used.joules / used.calls == pytest.approx(0.002)
    assert used.seconds >= 0.005


@pytest.fixture(autouse=True)
def _no_cuda_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def test_a_graphics_card_counts_its_millijoules(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeNvml(monkeypatch)
    with energy_counter("cuda") as counter:
        assert counter.joules(counter.read(), counter.read()) == pytest.approx(1.5)
        assert counter.source == "NVML, the whole card (NVIDIA card 0)"
    assert driver.closed == 1


@pytest.mark.parametrize(
    ("visible", "order", "used"),
    [("GPU-4f0", None, "card GPU-4f0"), ("2", "PCI_BUS_ID", "card 2")],
)
def test_among_several_cards_the_visible_one_is_counted(
    visible: str, order: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeNvml(monkeypatch, cards=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if order is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    with energy_counter("cuda") as counter:
        assert used in counter.source


def count_on_cuda() -> None:
    with energy_counter("cuda"):
        pass


@pytest.mark.parametrize("visible", ["", "1", "GPU-4f0,GPU-5a1"])
def test_a_card_is_not_guessed(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(monkeypatch, cards=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(Skipped, match="which of 4 graphics cards is used can't be told: set CUDA_VISIBLE_DEVICES"):
        count_on_cuda()


def test_a_divided_card_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(monkeypatch, divided=True)
    with pytest.raises(Skipped, match="divided into instances"):
        count_on_cuda()


def test_a_card_without_a_counter_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(monkeypatch).millijoules = -1
    with pytest.raises(Skipped, match="energy counter of NVIDIA card 0 can't be read: Not Supported"):
        count_on_cuda()
