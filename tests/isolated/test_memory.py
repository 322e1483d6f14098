"""The memory of a process and its descendants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.isolated import memory
from pipeline.isolated.memory import resident_bytes

PAGES = {1: 300, 2: 20, 3: 1}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Process 1 started 2 by one thread and 3 by another."""
    for pid, pages in PAGES.items():
        (tmp_path / f"{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"{pid}/task/{pid}/children").write_text("2 " if pid == 1 else "")
        (tmp_path / f"{pid}/statm").write_text(f"1000 {pages} 0")
    (tmp_path / "1/task/9").mkdir()
    (tmp_path / "1/task/9/children").write_text("3 ")
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    return tmp_path


@pytest.mark.usefixtures("system")
def test_all_descendants_count() -> None:
    assert resident_bytes(1) == 321


def test_one_that_ends_while_its_threads_are_listed_has_no_descendants(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def ending(path: Path) -> Iterator[Path]:
        if path == system / "2/task":
            raise FileNotFoundError(path)
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", ending)
    assert resident_bytes(1) == 321


def test_one_that_is_not_there_has_no_memory(system: Path) -> None:
    assert resident_bytes(4) is None
