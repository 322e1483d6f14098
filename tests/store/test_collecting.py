"""Making room at an address: the longest unused goes, and nothing that is new, being built or somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.artifact.store import BYTES_PER_GB
from pipeline.errors import UserError
from pipeline.store import StorePlace
from pipeline.store.collecting import collect_at, entries_at
from tests.store.serving import names_of, objects_of, opened, put

KEYS = [letter * 64 for letter in "abc"]
HOUR, DAY = 3600.0, 24 * 3600.0


def aged(place: StorePlace, beginning: str, seconds: float) -> None:
    """Make objects older, as the server tells it."""
    then = datetime.now(tz=UTC) - timedelta(seconds=seconds)
    for path, file in MemoryFileSystem.store.items():
        if f"{place.address}/{beginning}".removeprefix("memory:/") in path:
            file.created = file.modified = then


@pytest.fixture
def filled(memory: StorePlace) -> StorePlace:
    """Three entries, used three, two and one hours ago."""
    for number, key in enumerate(KEYS):
        put(opened(memory), key, b"x" * 100)
        aged(memory, key, (3 - number) * HOUR)
    return memory


def test_entries_are_listed_the_longest_unused_first(filled: StorePlace) -> None:
    entries = entries_at(objects_of(filled))
    assert [entry.key for entry in entries] == KEYS
    assert [entry.label for entry in entries] == ["label a", "label b", "label c"]
    assert all(entry.size_bytes > 300 for entry in entries)


def test_the_longest_unused_goes_first(filled: StorePlace) -> None:
    size = sum(entry.size_bytes for entry in entries_at(objects_of(filled)))
    removed = collect_at(objects_of(filled), (size - 1) / BYTES_PER_GB)
    assert [entry.key for entry in removed] == KEYS[:1]
    assert [entry.key for entry in entries_at(objects_of(filled))] == KEYS[1:]
    assert not any(name.startswith(KEYS[0]) for name in names_of(filled))


def test_fetching_an_entry_is_a_use(filled: StorePlace) -> None:
    assert opened(filled, "another").get(KEYS[0]) is not None
    assert [entry.key for entry in entries_at(objects_of(filled))] == [*KEYS[1:], KEYS[0]]
    assert [entry.key for entry in collect_at(objects_of(filled), 0)] == KEYS[1:], "what was used just now stays"


def test_what_is_being_built_stays(filled: StorePlace) -> None:
    with opened(filled).lock(KEYS[1]):
        assert [entry.key for entry in collect_at(objects_of(filled), 0)] == [KEYS[0], KEYS[2]]


def test_an_upload_that_was_cut_off_goes_after_a_day(memory: StorePlace) -> None:
    objects = objects_of(memory)
    objects.write(f"{KEYS[0]}/{'d' * 64}/model.onnx", b"half")
    collect_at(objects, 0)
    assert f"{KEYS[0]}/{'d' * 64}/model.onnx" in names_of(memory)
    aged(memory, KEYS[0], 2 * DAY)
    collect_at(objects, 0)
    assert names_of(memory) == [".clock"]


def test_what_another_writer_left_beside_an_entry_goes_after_a_day(memory: StorePlace) -> None:
    put(opened(memory), KEYS[0])
    objects_of(memory).write(f"{KEYS[0]}/{'d' * 64}/model.onnx", b"another's")
    collect_at(objects_of(memory), 1)
    assert any("d" * 64 in name for name in names_of(memory))
    aged(memory, KEYS[0], 2 * DAY)
    collect_at(objects_of(memory), 1)
    assert not any("d" * 64 in name for name in names_of(memory))
    assert opened(memory, "another").get(KEYS[0]) is not None


def test_a_lease_of_a_machine_that_is_gone_goes_after_a_day(memory: StorePlace) -> None:
    objects_of(memory).write(f".leases/{KEYS[0]}/1", b"{}")
    collect_at(objects_of(memory), 0)
    assert f".leases/{KEYS[0]}/1" in names_of(memory)
    aged(memory, ".leases", 2 * DAY)
    collect_at(objects_of(memory), 0)
    assert names_of(memory) == [".clock"]


def test_what_is_no_entry_of_a_store_is_never_touched(memory: StorePlace) -> None:
    mine = ["photos/one.jpg", "notes.txt", "photos/two/entry.json"]
    for name in mine:
        objects_of(memory).write(name, b"mine")
    aged(memory, "", 90 * DAY)
    collect_at(objects_of(memory), 0)
    assert set(mine) <= set(names_of(memory))


@pytest.mark.parametrize("max_gb", [-1, float("nan"), float("inf")])
def test_a_limit_that_is_no_size_is_refused(memory: StorePlace, max_gb: float) -> None:
    with pytest.raises(UserError, match="give a number from 0 on"):
        collect_at(objects_of(memory), max_gb)
