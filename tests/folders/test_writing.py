"""Files appear whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipeline.folders.writing import whole, write_whole


def test_a_file_takes_the_place_of_the_older_one_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with whole(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_could_not_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with suppress(RuntimeError), whole(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_line_ends_and_halves_of_characters_are_kept(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "a\r\nb\n\udc80")
    assert (tmp_path / "a.txt").read_bytes() == b"a\r\nb\n\\udc80"
