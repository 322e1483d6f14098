"""What a graphics card tells while it is timed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pynvml
import pytest

from pipeline.errors import Skipped
from pipeline.machine.card import Card, CardState, used_card
from pipeline.measure.rounds import Round
from pipeline.measure.workers.worker import Cell, Command, Load, Loaded, Timed
from pipeline.plan import MeasureSettings
from tests.machine.fake_nvml import FakeNvml


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return FakeNvml(monkeypatch)


def test_a_card_tells_its_clock_and_who_computes_on_it(driver: FakeNvml) -> None:
    driver.processes = 3
    with used_card() as card:
        assert card.state() == CardState(sm_clock_mhz=1980, slowdown=None, processes=3)
    assert driver.closed == 1


@pytest.mark.parametrize(
    ("reason", "slowdown"),
    [
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "heat"),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "heat"),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "the power brake"),
        (pynvml.nvmlClocksEventReasonSwPowerCap, None),
        (pynvml.nvmlClocksEventReasonGpuIdle, None),
    ],
)
def test_a_card_at_its_power_limit_is_not_slowed_down(driver: FakeNvml, reason: int, slowdown: str | None) -> None:
    driver.reasons = reason
    with used_card() as card:
        assert card.state().slowdown == slowdown


def test_what_a_card_does_not_say_is_none(driver: FakeNvml) -> None:
    driver.processes = None
    with used_card() as card:
        assert card.state().processes is None


def test_without_a_driver_there_is_a_reason() -> None:
    with pytest.raises(Skipped, match="NVML can't be used"), used_card():
        pass


class Busy:
    """A worker that does what it is told at once, and counts how often it was kept busy."""

    def __init__(self) -> None:
        self.visits = 0

    def ask(self, command: Command) -> Loaded | Timed:
        if isinstance(command, Load):
            return Loaded(load_ns=1, first_ns=1, warm_ns=1.0)
        assert isinstance(command, Cell)
        self.visits += 1
        return Timed(durations_ns=np.array([1]), run_delay_ns=0, major_faults=0)


def a_round(worker: Busy, card: Card | None) -> Round:
    return Round(workers={"a": worker}, failures={}, settings=MeasureSettings(), card=card)  # type: ignore[dict-item]


def test_a_round_begins_when_the_cards_clock_stands_still(driver: FakeNvml) -> None:
    driver.clocks = [210, 900, 1500, 1900, 1975, 1980, 1980, 1980]
    worker = Busy()
    with used_card() as card:
        a_round(worker, card).load(np.random.default_rng(0))
    assert worker.visits == 8


def test_a_clock_that_never_stands_still_is_not_waited_for_for_ever(driver: FakeNvml) -> None:
    driver.clocks = [1000, 2000] * 50
    worker = Busy()
    with used_card() as card:
        a_round(worker, card).load(np.random.default_rng(0))
    assert worker.visits == 30


def test_on_the_cpu_nothing_is_waited_for() -> None:
    worker = Busy()
    a_round(worker, None).load(np.random.default_rng(0))
    assert worker.visits == 0


def test_a_blocks_telemetry_has_the_cards(driver: FakeNvml, tmp_path: Path) -> None:
    driver.processes = 3
    with used_card() as card:
        (block,) = a_round(Busy(), card).run(1, np.random.default_rng(0), lambda done: None)
    assert block.telemetry["sm_clock_mhz"] == 1980
    assert block.telemetry["foreign_processes"] == 2
    assert not block.dropped
    driver.reasons = pynvml.nvmlClocksEventReasonHwThermalSlowdown
    with used_card() as card:
        blocks = a_round(Busy(), card).run(4, np.random.default_rng(0), lambda done: None)
    assert len(blocks) == 5, "a quarter of them was timed again"
    assert all(block.telemetry["dropped"] == "the graphics card was slowed down by heat" for block in blocks)
