"""A process that a test leaves serves the next one."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
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


def surroundings(module: str) -> tuple[str, str, str]:
    """Where the call works, keeps temporary files, and finds a module."""
    return str(Path.cwd()), tempfile.gettempdir(), str(importlib.import_module(module).__file__)


def test_in_a_folder_of_its_own_a_test_gets_the_same_and_its_call_works_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = parent()
    (tmp_path / "only_here.py").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert parent() == usual
    with Template(("numpy",)) as template:
        found = run(surroundings, "only_here", start=template)
    assert found == (str(tmp_path), str(tmp_path / "temporary"), str(tmp_path / "only_here.py"))


def test_another_environment_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = parent()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert parent() != usual
