"""What nobody foresaw costs a part and no more."""

from __future__ import annotations

import logging

import pytest

from pipeline.errors import OutOfSpace, StageFailed
from pipeline.errors.contained import RAISING, Faults, contained


def _broken() -> int:
    return 1 // 0


def test_a_fault_of_our_own_is_raised_in_tests() -> None:
    with pytest.raises(ZeroDivisionError):
        contained("a part", _broken, lambda reason: reason)


def test_elsewhere_it_is_the_parts_reason_and_the_log_has_its_whole_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(RAISING)
    faults = Faults()
    with caplog.at_level(logging.DEBUG):
        assert faults.contain("the speed-up of a", _broken, None) is None
    [sentence] = faults.sentences
    assert sentence.startswith("the speed-up of a could not be made: ZeroDivisionError: ")
    assert "Traceback" in caplog.text


def test_an_error_of_ours_is_told_in_its_own_words_and_a_full_disk_is_raised() -> None:
    def fail() -> str:
        raise StageFailed("it broke")

    def full() -> str:
        raise OutOfSpace("no space left")

    assert contained("a part", fail, lambda reason: reason) == "a part could not be made: it broke"
    with pytest.raises(OutOfSpace):
        contained("a part", full, lambda reason: reason)
