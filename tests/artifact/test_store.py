"""The store: atomic, verified on read."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.artifact.store import BYTES_PER_GB, Entry, Store
from pipeline.errors import CorruptEntry, OutOfSpace, UserError, reporting_disk


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
    store.in_use.close()
    removed = store.collect((size - 1) / BYTES_PER_GB)
    assert [entry.key for entry in removed] == ["middle"]
    assert {entry.key for entry in store.entries()} == {"old", "new"}


def test_collecting_keeps_everything_that_fits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a")
    assert store.collect(1) == []
    assert len(store.entries()) == 1


def test_checkpoints_outlive_a_stopped_stage_and_go_when_it_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.work("a") / "checkpoint").write_bytes(b"epoch 1")
    assert (store.work("a") / "checkpoint").read_bytes() == b"epoch 1"
    store.finish_work("a")
    assert list(store.work("a").iterdir()) == []


def test_a_full_disk_is_reported_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpace, match=str(tmp_path)), reporting_disk(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_may_not_be_written_is_one_line_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/x: permission denied: type hydra\.run\.dir"), reporting_disk(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "x"))


def test_errors_of_other_files_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), reporting_disk(tmp_path / "outputs"):
        (tmp_path / "model.onnx").read_bytes()


def test_numpy_says_without_a_number_that_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(OutOfSpace, match="no space left to write"), reporting_disk(tmp_path):
        raise OSError("62720000 requested and 1048576 written")


def test_it_is_the_temporary_files_disk_where_that_is_the_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0 if folder == temporary else 10**12))
    with pytest.raises(OutOfSpace, match=r"temporary files in .*tmp: type TMPDIR=FOLDER"), reporting_disk(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_every_flipped_bit_of_an_entry_file_is_found_or_harmless(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = put(store, "a" * 64)
    path = tmp_path / ("a" * 64) / "entry.json"
    whole = path.read_bytes()
    served = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 7)
        path.write_bytes(damaged)
        try:
            assert store.get("a" * 64) == entry
            served += 1
        except CorruptEntry:
            continue
    assert served < len(whole) / 10, "only white space may change unseen"


@pytest.mark.parametrize(
    "damage",
    [
        {"facts": None},
        {"facts": []},
        {"format": "pickle"},
        {"label": None},
        {"digest": 1},
        {"seal": None},
        {"format": []},
    ],
)
def test_an_entry_that_says_something_else_is_built_again(tmp_path: Path, damage: dict[str, Any]) -> None:
    store = Store(tmp_path)
    put(store, "a")
    path = tmp_path / "a" / "entry.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(CorruptEntry):
        store.get("a")


def test_an_entry_of_an_older_version_has_no_seal_and_is_built_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a")
    path = tmp_path / "a" / "entry.json"
    plain = json.loads(path.read_text())
    del plain["seal"]
    path.write_text(json.dumps(plain))
    with pytest.raises(CorruptEntry):
        store.get("a")


def folder_for_file(entry: Path) -> None:
    (entry / "entry.json").unlink()
    (entry / "entry.json").mkdir()


def link_in_a_loop(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.symlink_to(entry)


def file_for_folder(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.touch()


def loop_inside(entry: Path) -> None:
    (entry / "artifact" / "model.onnx").unlink()
    (entry / "artifact" / "model.onnx").symlink_to(entry / "artifact" / "model.onnx")


@pytest.mark.parametrize("damage", [folder_for_file, link_in_a_loop, file_for_folder, loop_inside])
def test_an_entry_that_is_no_entry_is_found_and_replaced(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = Store(tmp_path)
    put(store, "a" * 64)
    damage(tmp_path / ("a" * 64))
    with pytest.raises(CorruptEntry):
        store.get("a" * 64)
    store.entries()
    written = put(store, "a" * 64)
    assert store.get("a" * 64) == written
    assert list((tmp_path / ".new").iterdir()) == []


@pytest.mark.parametrize("name", [".locks", ".locks/key", ".new", ".work"])
def test_what_stands_in_the_way_is_one_line(tmp_path: Path, name: str) -> None:
    if name == ".locks/key":
        (tmp_path / name).mkdir(parents=True)
    else:
        (tmp_path / name).touch()
    store = Store(tmp_path)
    with pytest.raises(UserError, match=r"store\.path=FOLDER"), store.lock("key"):  # noqa: SIM117
        with store.writing("key"):
            store.work("key")


def test_a_read_only_store_serves_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = put(Store(tmp_path), "a")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    for name in ("utime", "mkdir", "rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    store = Store(tmp_path)
    store.sweep()
    assert store.get("a") == written
    with pytest.raises(UserError, match=r"read-only file system: .*store\.path=FOLDER"), store.lock("b"):
        pass


@pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_size_removes_nothing(tmp_path: Path, limit: float) -> None:
    store = Store(tmp_path)
    put(store, "a")
    with pytest.raises(UserError, match="a number from 0 on"):
        store.collect(limit)
    assert len(store.entries()) == 1


def test_an_entry_in_use_is_never_collected(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a")
    with store.in_use:
        assert Store(tmp_path).collect(0) == []
    assert [entry.key for entry in Store(tmp_path).collect(0)] == ["a"]


def test_collecting_beside_builders_loses_nothing_and_raises_nothing(tmp_path: Path) -> None:
    """Two processes build, find and use entries while a third one removes all that it may."""
    program = """
import sys, time
from pathlib import Path
from pipeline.artifact.store import Store
root, number, role = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for turn in range(60):
    store = Store(root)
    if role == "collect":
        store.collect(0)
        continue
    for key in ("a", "b", "c"):
        with store.lock(key):
            entry = store.get(key)
            if entry is None:
                with store.writing(key) as out:
                    (out / "model.onnx").write_bytes(key.encode() * 1000)
                    entry = store.put(key, out, "onnx", key, {})
        time.sleep(0.001)
        assert entry.artifact.onnx_path.read_bytes() == key.encode() * 1000
        store.entries()
"""
    roles = ["build", "build", "collect", "collect"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(number), role], stderr=subprocess.PIPE, text=True
        )
        for number, role in enumerate(roles)
    ]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], said
    Store(tmp_path).sweep()
    assert list((tmp_path / ".new").iterdir()) == []
    assert list((tmp_path / ".locks").iterdir()) == []


def test_a_killed_builder_leaves_nothing_but_its_checkpoints(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from pipeline.artifact.store import Store
store = Store(Path(sys.argv[1]))
with store.lock("a"), store.writing("a") as out:
    (out / "half").touch()
    (store.work("a") / "checkpoint").touch()
    store.work("empty")
    print("at work", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.utime(tmp_path / ".new", (0, 0))
        store = Store(tmp_path)
        store.sweep()
        assert len(list((tmp_path / ".new").iterdir())) == 1, "it is at work"
        process.kill()
    store.sweep()
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".work/a/checkpoint"}
    assert [path.name for path in (tmp_path / ".work").iterdir()] == ["a"]
    day_ago = time.time() - 2 * 24 * 3600
    for path in (tmp_path / ".work" / "a", tmp_path / ".work" / "a" / "checkpoint"):
        os.utime(path, (day_ago, day_ago))
    store.sweep()
    assert list((tmp_path / ".work").iterdir()) == []


def test_a_store_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        Store(tmp_path / "file").check()


def test_only_entries_are_listed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "file").touch()
    store = Store(tmp_path)
    assert store.entries() == []
    store.collect(0)
    assert (tmp_path / "my data" / "file").exists()


def test_a_peek_verifies_an_entry_and_does_not_count_as_its_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written = put(store, "a" * 64)
    store.in_use.close()
    os.utime(tmp_path / ("a" * 64) / "entry.json", (1.0, 1.0))
    assert Store(tmp_path).peek("a" * 64) == written
    assert Store(tmp_path).peek("b" * 64) is None
    assert [entry.used for entry in store.entries()] == [1.0]
    assert [entry.key for entry in Store(tmp_path).collect(0)] == ["a" * 64], "it is not in use"
    put(store, "c" * 64).artifact.onnx_path.write_bytes(b"changed")
    with pytest.raises(CorruptEntry):
        Store(tmp_path).peek("c" * 64)
    unread = Store(tmp_path).peek("c" * 64, verified=False)
    assert unread is not None
    assert unread.key == "c" * 64


def test_the_facts_of_all_entries_are_told_but_for_those_that_can_not_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("a" * 64, "b" * 64, "c" * 64):
        put(store, key)
    (tmp_path / ("b" * 64) / "entry.json").write_text("{")
    entry = tmp_path / ("c" * 64) / "entry.json"
    entry.write_text(entry.read_text().replace("1.0", "2.0"))
    assert list(store.facts()) == [(f"label {'a' * 64}", {"seconds": 1.0})]
