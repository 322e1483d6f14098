import os
from dataclasses import replace

import pytest

from pipeline.measure import cores
from pipeline.measure.cores import cores_for, idlest
from tests.measure.fakes import target


def test_the_idlest_core_is_chosen() -> None:
    before = {0: 100, 1: 100, 2: 100}
    assert idlest([0, 1, 2], before, {0: 110, 1: 101, 2: 105}, 1) == (1,)
    assert idlest([0, 1, 2], before, {0: 110, 1: 101, 2: 105}, 2) == (1, 2)


def test_a_core_that_is_not_allowed_is_never_chosen() -> None:
    assert idlest([0, 2], {0: 0, 1: 0, 2: 0}, {0: 9, 1: 0, 2: 8}, 1) == (2,)


def test_all_workers_get_as_many_cores_as_the_one_with_the_most_threads_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    samples = iter([{0: 0, 1: 0, 2: 0, 3: 0}, {0: 5, 1: 0, 2: 9, 3: 1}])
    monkeypatch.setattr(cores, "busy_ticks", lambda: next(samples))
    assert cores_for([target(), target(threads=2)]) == (1, 3)


def test_with_a_thread_for_every_core_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 7}, raising=False)
    assert cores_for([target(threads=8)]) == (4, 7)


def test_an_accelerators_workers_are_not_pinned() -> None:
    assert cores_for([target(), replace(target(), device="cuda")]) is None


def test_room_is_left_where_a_round_does_not_run_on_every_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    assert cores.leave_room((1,))
    assert not cores.leave_room((0, 1))
    assert cores.leave_room(None), "on an accelerator one worker works at a time, wherever the system puts it"
    monkeypatch.setattr(cores, "available_cores", lambda: 1)
    assert not cores.leave_room(None)
