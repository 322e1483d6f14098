"""Open files and temporary files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.folders.surroundings import allow_open_files, own_temporary_files


def test_temporary_files_lie_in_one_folder_that_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a folder with spaces"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with own_temporary_files() as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
        show = "import tempfile; print(tempfile.gettempdir())"
        child = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
        assert Path(child.stdout.strip()) == folder
    assert list(place.iterdir()) == []
    assert tempfile.gettempdir() == str(place)


def test_a_killed_run_s_folder_goes_with_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import os, signal, tempfile
from pipeline.folders.surroundings import own_temporary_files
with own_temporary_files():
    tempfile.mkdtemp(prefix="slimline-workers-")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with own_temporary_files() as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_what_no_run_has_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = Path(tempfile.mkdtemp(prefix="slimline-workers-", dir=tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with own_temporary_files():
        assert others.is_dir()


def test_too_few_open_files_are_one_line_and_a_low_limit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (24, 24))
    with pytest.raises(UserError, match=r"may open 24 files here, .*'ulimit -n 1024'"):
        allow_open_files()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 100_000))
    allow_open_files()
    assert given == [(4096, 100_000)]
