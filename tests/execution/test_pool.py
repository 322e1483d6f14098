"""Several calls side by side on one machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import StageFailed, UserError, WorkerFailed
from pipeline.execution import Pool
from pipeline.execution.pool import Seats, shares_of_cores
from pipeline.isolated import Limits
from pipeline.isolated.template import Template
from pipeline.machine.environment import available_cores
from tests.execution.calls import endless, failing, here, met, placed, saying


@pytest.fixture(scope="module")
def places() -> Iterator[Seats]:
    with Template() as template, Pool(places=min(2, available_cores())).open(template) as opened:
        assert isinstance(opened, Seats)
        yield opened


def side_by_side(*calls: threading.Thread) -> None:
    for call in calls:
        call.start()
    for call in calls:
        call.join()


@pytest.mark.skipif(available_cores() < 2, reason="one core has room for one call")
def test_two_calls_are_under_way_at_the_same_time_on_cores_of_their_own(places: Seats, tmp_path: Path) -> None:
    found: dict[str, bool] = {}

    def call(own: str, other: str) -> None:
        found[own] = places.run(placed(met, tmp_path / own, tmp_path / other))

    side_by_side(threading.Thread(target=call, args=("a", "b")), threading.Thread(target=call, args=("b", "a")))
    assert found == {"a": True, "b": True}
    mine = sorted(os.sched_getaffinity(0))
    cores = [places.run(placed(here, "x"))[2] for _ in range(4)]
    assert all(set(some) < set(mine) for some in cores)
    assert len({tuple(some) for some in cores}) == 2


def test_cores_are_dealt_out_whole() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert shares_of_cores(1) == [mine]
    dealt = [core for share in shares_of_cores(len(mine)) for core in share or ()]
    assert sorted(dealt) == mine
    assert shares_of_cores(len(mine) + 1)[-1] is None


def test_a_call_is_heard_and_its_error_is_the_one_that_was_raised(places: Seats) -> None:
    said: list[tuple[float, str]] = []
    assert places.run(placed(saying, hear=said.append)) == "done"
    assert said == [(0.5, "half way")]
    with pytest.raises(StageFailed, match="a layer has no weights"):
        places.run(placed(failing))


def test_places_share_the_memory_that_one_call_may_have(places: Seats) -> None:
    with pytest.raises(WorkerFailed, match=r"execution\.places=1 gives one of them all; limits\.memory_gb=GIGABYTES"):
        places.run(placed(endless, Path(os.devnull), limits=Limits(memory_bytes=1000)))


def test_what_runs_is_ended_with_the_places(tmp_path: Path) -> None:
    started = tmp_path / "started"
    errors: list[Exception] = []

    def call(places: Seats) -> None:
        try:
            places.run(placed(endless, started))
        except WorkerFailed as error:
            errors.append(error)

    with Template() as template, Pool(places=1).open(template) as opened:
        thread = threading.Thread(target=call, args=(opened,))
        thread.start()
        while not started.exists() or not started.read_text():
            time.sleep(0.05)
    thread.join()
    assert [str(error) for error in errors] == ["it was stopped"]
    assert not Path(f"/proc/{started.read_text()}").exists()


def test_more_places_than_cores_are_refused() -> None:
    with pytest.raises(UserError, match=f"type execution.places={available_cores()}"):
        Pool(places=available_cores() + 1).check()
    Pool(places=available_cores()).check()
