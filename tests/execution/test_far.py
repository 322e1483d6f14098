"""A call as it is carried out on another machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pipeline.errors import OutOfSpace, WorkerFailed
from pipeline.execution import far
from pipeline.execution.far import FarCall
from pipeline.isolated.call import Raised
from tests.execution.calls import filling, here, placed


def test_a_machine_without_room_for_temporary_files_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OutOfSpace("there is no room left in /tmp")

    monkeypatch.setattr(far, "own_surroundings", full)
    outcome = FarCall.of(placed(here, "x")).carry_out(lambda message: None)
    assert isinstance(outcome, Raised)
    assert (outcome.kind, outcome.words) == (WorkerFailed, (f"on {platform.node()}: there is no room left in /tmp",))


def test_a_full_disk_names_the_machine_and_is_the_reason_of_one_call(tmp_path: Path) -> None:
    outcome = FarCall.of(placed(filling, tmp_path / "file")).carry_out(lambda message: None)
    assert isinstance(outcome, Raised)
    assert (outcome.kind, outcome.words) == (
        WorkerFailed,
        (f"on {platform.node()}: no space left on device: {tmp_path / 'file'}",),
    )
