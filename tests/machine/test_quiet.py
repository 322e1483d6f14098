from pathlib import Path

import pytest

from pipeline.machine import cpu_ticks
from pipeline.machine.quiet import Quiet, sample_quiet

BEFORE = "cpu  100 0 50 800 10 0 0 40 7 0\ncpu0 1 2 3 4 5 6 7 8\n"
AFTER = "cpu  160 0 60 910 20 0 0 50 9 0\ncpu0 1 2 3 4 5 6 7 8\n"
"""Later by 60 + 10 ticks of work, 110 + 10 of idling and 10 that were stolen."""


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stat"
    path.write_text(BEFORE)
    monkeypatch.setattr(cpu_ticks, "_STAT", path)
    return path


def test_shares_are_of_what_passed_between_two_readings(stat: Path) -> None:
    def sleep(seconds: float) -> None:
        stat.write_text(AFTER)

    found = sample_quiet(2.0, sleep=sleep)
    assert found == Quiet(stolen=10 / 200, busy=70 / 200)


def test_nothing_is_told_where_no_tick_passed(stat: Path) -> None:
    assert sample_quiet(0.0, sleep=lambda seconds: None) is None


def test_nothing_is_told_where_the_system_does_not_count(stat: Path) -> None:
    stat.unlink()
    assert sample_quiet(0.0, sleep=lambda seconds: None) is None
