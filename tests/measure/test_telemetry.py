from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.machine.card import CardState
from pipeline.machine.cpu_ticks import Ticks
from pipeline.measure import telemetry
from pipeline.measure.telemetry import Snapshot, block_telemetry, snapshot
from pipeline.measure.workers.worker import Timed

QUIET = Snapshot(steal_ticks=100, throttled=5, suspended_s=0.0)
UNKNOWN = Snapshot(steal_ticks=None, throttled=None, suspended_s=None)


def timed(run_delay_ns: int | None = 0, major_faults: int | None = 0) -> Timed:
    return Timed(durations_ns=np.array([1]), run_delay_ns=run_delay_ns, major_faults=major_faults)


def test_a_block_sums_what_its_cells_saw() -> None:
    found = block_telemetry(QUIET, QUIET, [timed(10, 1), timed(5, 2)])
    assert (found["run_delay_ns"], found["major_faults"]) == (15, 3)


def test_steal_and_run_delay_are_recorded_and_drop_nothing() -> None:
    after = Snapshot(steal_ticks=150, throttled=5, suspended_s=0.0)
    found = block_telemetry(QUIET, after, [timed(10**9)])
    assert found["steal_ticks"] == 50
    assert found["dropped"] is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (Snapshot(steal_ticks=100, throttled=6, suspended_s=0.0), "quota"),
        (Snapshot(steal_ticks=100, throttled=5, suspended_s=30.0), "suspended"),
    ],
)
def test_a_hard_event_drops_the_block(after: Snapshot, reason: str) -> None:
    assert reason in block_telemetry(QUIET, after, [timed()])["dropped"]


def on_card(processes: int | None = 1, slowdown: str | None = None) -> Snapshot:
    return replace(QUIET, card=CardState(sm_clock_mhz=1980, slowdown=slowdown, processes=processes))


def test_a_graphics_card_that_heat_slows_down_drops_the_block_whichever_end_it_was_seen_at() -> None:
    for before, after in ((on_card(slowdown="heat"), on_card()), (on_card(), on_card(slowdown="heat"))):
        assert block_telemetry(before, after, [timed()])["dropped"] == "the graphics card was slowed down by heat"


def test_a_process_that_comes_to_the_card_drops_the_block_and_one_that_stays_is_recorded() -> None:
    assert "another process" in block_telemetry(on_card(1), on_card(2), [timed()])["dropped"]
    stays = block_telemetry(on_card(2), on_card(2), [timed()])
    assert (stays["dropped"], stays["foreign_processes"]) == (None, 1)
    unknown = block_telemetry(on_card(None), on_card(None), [timed()])
    assert (unknown["dropped"], unknown["foreign_processes"]) == (None, None)


def test_what_the_system_does_not_say_is_none_and_not_0() -> None:
    found = block_telemetry(UNKNOWN, UNKNOWN, [timed(None, None)])
    names = ("steal_ticks", "run_delay_ns", "throttled", "major_faults", "dropped")
    assert [found[name] for name in names] == [None] * 5


@pytest.mark.parametrize(("ticks", "stolen"), [(Ticks(200, 100, 40), 40), (None, None)])
def test_a_snapshot_holds_what_the_system_counts(
    ticks: Ticks | None, stolen: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "of_all_cores", lambda: ticks)
    monkeypatch.setattr(telemetry, "throttled_periods", lambda: 7)
    found = snapshot()
    assert (found.steal_ticks, found.throttled) == (stolen, 7)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads /proc/stat")
def test_counters_never_run_backwards() -> None:
    before, after = snapshot(), snapshot()
    assert before.steal_ticks is not None
    assert after.steal_ticks is not None
    assert after.steal_ticks >= before.steal_ticks >= 0
