from pathlib import Path

import pytest

from pipeline.errors import SlimlineError
from pipeline.measure.group import Subject
from pipeline.plan import MeasureSettings, Variant
from pipeline.search.board import Board, Standing
from pipeline.search.look import Look, Looked
from pipeline.search.space import Candidate
from tests.measure.fakes import FEEDS, subject

SHORT = MeasureSettings(cell_ms=0.1, untimed_ms=0.0, warmup_calls=1, warmup_ms=0.0)


def look(reference: Subject, *ready: Subject) -> tuple[Board, Looked]:
    board = Board(
        standings=[
            Standing(candidate=Candidate(variant=Variant(name=name, stages={}), target=one.target, chain=name))
            for one in ready
            for name in [one.key.partition("@")[0]]
        ]
    )
    take = Look(board=board, reference=reference, feed=FEEDS[1], settings=SHORT, seed=1)
    return board, take({one.key.rpartition("/")[0]: one for one in ready}, None)


def test_a_look_notes_speeds_and_drops_what_is_slower_than_the_baseline(tmp_path: Path) -> None:
    board, looked = look(
        subject(tmp_path, "base", call_ms=0.5),
        subject(tmp_path, "fast", call_ms=0.05),
        subject(tmp_path, "slow", call_ms=4.0),
    )
    fast, slow = (board[f"{name}@fake"].speed for name in ("fast", "slow"))
    assert fast is not None
    assert slow is not None
    assert fast.low > 1 > slow.high
    assert list(looked.ended) == ["slow@fake"]
    ending, reason = looked.ended["slow@fake"]
    assert ending == "slower"
    assert reason.endswith("can't reach the baseline")
    assert looked.call_ms >= 0.5


def test_what_can_not_be_loaded_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    board, looked = look(
        subject(tmp_path, "base"), subject(tmp_path, "odd", refuse="no such operator"), subject(tmp_path, "good")
    )
    ending, reason = looked.ended["odd@fake"]
    assert ending == "failed"
    assert "no such operator" in reason
    assert board["good@fake"].speed is not None


def test_without_the_reference_there_is_no_look(tmp_path: Path) -> None:
    with pytest.raises(SlimlineError, match="the baseline could not be timed"):
        look(subject(tmp_path, "base", refuse="broken"), subject(tmp_path, "good"))
