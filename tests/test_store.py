"""The store: atomic, verified on read."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from pipeline.errors import CorruptEntry, OutOfSpace, reporting_full_disk
from pipeline.store import Entry, Store


def put(store: Store, key: str, content: bytes = b"model") -> Entry:
    with store.writing(key) as out:
        (out / "model.onnx").write_bytes(content)
        return store.put(key, out, "onnx", f"label {key}", {"seconds": 1.0})


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written = put(store, "a" * 64)
    found = store.get("a" * 64)
    assert found == written
    assert found is not None
    assert found.artifact.onnx_path.read_bytes() == b"model"
    assert found.facts == {"seconds": 1.0}


def test_an_unknown_key_gives_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path).get("b" * 64) is None


def test_a_flipped_byte_is_detected(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = put(store, "a" * 64)
    entry.artifact.onnx_path.write_bytes(b"nodel")
    with pytest.raises(CorruptEntry, match="has changed since it was written"):
        store.get("a" * 64)


def test_an_extra_file_is_detected(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = put(store, "a" * 64)
    (entry.artifact.path / "extra").write_bytes(b"")
    with pytest.raises(CorruptEntry):
        store.get("a" * 64)


@pytest.mark.parametrize("content", ["", "{", '{"format": "onnx"}', "[]"])
def test_a_damaged_entry_file_is_detected(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    put(store, "a" * 64)
    (tmp_path / ("a" * 64) / "entry.json").write_text(content)
    with pytest.raises(CorruptEntry):
        store.get("a" * 64)


def test_what_was_not_put_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("a" * 64) as out:
        (out / "model.onnx").write_bytes(b"half")
    assert store.get("a" * 64) is None
    assert list((tmp_path / ".new").iterdir()) == []


def test_putting_again_replaces_the_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a" * 64)
    put(store, "a" * 64, b"other")
    found = store.get("a" * 64)
    assert found is not None
    assert found.artifact.onnx_path.read_bytes() == b"other"


def test_collecting_removes_the_longest_unused_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for age, key in ((300, "old"), (200, "middle"), (100, "new")):
        put(store, key, b"x" * 1000)
        stamp = time.time() - age
        os.utime(tmp_path / key / "entry.json", (stamp, stamp))
    store.get("old")  # reading counts as use
    size = sum(entry.size_bytes for entry in store.entries())
    removed = store.collect(size - 1)
    assert [entry.key for entry in removed] == ["middle"]
    assert {entry.key for entry in store.entries()} == {"old", "new"}


def test_collecting_keeps_everything_that_fits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a")
    assert store.collect(10**9) == []
    assert len(store.entries()) == 1


def test_checkpoints_outlive_a_stopped_stage_and_go_when_it_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.work("a") / "checkpoint").write_bytes(b"epoch 1")
    assert (store.work("a") / "checkpoint").read_bytes() == b"epoch 1"
    store.finish_work("a")
    assert list(store.work("a").iterdir()) == []


def test_a_full_disk_is_reported_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpace, match=str(tmp_path)), reporting_full_disk(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_other_errors_of_the_system_are_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), reporting_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
