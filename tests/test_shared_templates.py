"""A process that a test leaves serves the next one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.isolated import run
from pipeline.isolated.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a fork")


def parent() -> int:
    """The process that a call's own was forked from."""
    with Template(("numpy",)) as template:
        return run(os.getppid, start=template)


def test_what_was_used_is_used_again() -> None:
    assert parent() == parent()


def test_in_a_folder_of_its_own_a_test_gets_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = parent()
    monkeypatch.chdir(tmp_path)
    assert len({usual, parent(), parent()}) == 3
