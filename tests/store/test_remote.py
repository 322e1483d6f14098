"""A store on a real server of S3: whole or not there, verified, and served from the cache while the server is away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import CorruptEntry, UserError
from pipeline.store import StorePlace, open_store
from pipeline.store.copies import Copies
from pipeline.store.remote import RemoteStore
from tests.store.serving import S3, SERVED, names_of, objects_of, opened, put, serving

KEY = "a" * 64
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.store import StorePlace
from pipeline.store.objects import Objects
from tests.store.serving import opened, put

def killed_at(number):
    def counted(plain):
        def call(*arguments):
            nonlocal number
            if number == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            number -= 1
            return plain(*arguments)
        return call
    Objects.upload, Objects.write = counted(Objects.upload), counted(Objects.write)

import s3fs  # before the children, which would each take half a second for it
url, address, folder = sys.argv[1:]
for number in range(3):
    child = os.fork()
    if child == 0:
        killed_at(number)
        place = StorePlace(
            folder=Path(folder, str(number)), address=f"{address}/{number}", options={"endpoint_url": url}
        )
        put(opened(place), "a" * 64)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def test_what_one_machine_builds_another_gets(place: StorePlace) -> None:
    written = put(opened(place), KEY)
    there = opened(place, "another")
    peeked = there.peek(KEY, verified=False)
    assert peeked is not None
    assert (peeked.artifact.digest, peeked.facts) == (written.artifact.digest, {"seconds": 1.0})
    assert not peeked.artifact.path.exists(), "a look fetches no files"
    found = there.get(KEY)
    assert found is not None
    assert found.artifact.digest == written.artifact.digest
    assert (found.artifact.path / "weights" / "w.bin").read_bytes() == b"modelmodel"
    assert found.artifact.path.is_relative_to(place.folder.with_name("another"))
    assert found.facts == written.facts
    assert [entry.label for entry in there.entries()] == ["label a"]


def test_what_is_cached_needs_no_server(place: StorePlace) -> None:
    written = put(opened(place), KEY)
    Copies(objects_of(place)).remove(KEY)
    assert opened(place).get(KEY) == written
    assert opened(place).peek(KEY) == written
    assert opened(place, "another").get(KEY) is None


def test_two_that_write_one_key_at_once_leave_one_good_entry(place: StorePlace) -> None:
    meeting = threading.Barrier(4)

    def write(number: int) -> str:
        meeting.wait()
        return put(opened(place, f"machine-{number}"), KEY, b"content %d" % number).artifact.digest

    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(write, range(4)))
    found = opened(place, "another").get(KEY)
    assert found is not None
    assert found.artifact.digest in digests


@pytest.mark.slow
def test_an_upload_that_is_killed_leaves_nothing_that_reads_as_whole(s3: S3, tmp_path: Path) -> None:
    address = "s3://bucket/killed"
    words = [sys.executable, "-c", KILLED, s3.url, address, str(tmp_path)]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], env={**os.environ, **SERVED})
    for number in range(3):
        place = s3.place(f"killed/{number}", tmp_path / str(number))
        assert len(names_of(place)) == number, "so many objects were written"
        assert opened(place, f"another-{number}").get(KEY) is None
        assert (place.folder / ".unsent" / KEY).exists()
        found = opened(place).get(KEY)  # what was built is here, and is sent now
        assert found is not None
        assert not (place.folder / ".unsent" / KEY).exists()
        fetched = opened(place, f"again-{number}").get(KEY)
        assert fetched is not None
        assert fetched.artifact.digest == found.artifact.digest


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone", "added"])
def test_damage_at_the_address_is_found_and_built_over(place: StorePlace, damage: str) -> None:
    digest = put(opened(place), KEY).artifact.digest
    name = f"{KEY}/{digest}/model.onnx"
    objects = objects_of(place)
    if damage == "gone":
        objects.remove(name)
    elif damage == "added":
        objects.write(f"{KEY}/{digest}/extra", b"")
    else:
        objects.write(name, b"nodel" if damage == "changed" else b"mo")
    there = opened(place, "another")
    with pytest.raises(CorruptEntry, match="has changed since it was written, or lacks files"):
        there.get(KEY)
    there.remove(KEY)
    assert there.get(KEY) is None
    put(there, KEY)
    found = opened(place, "third").get(KEY)
    assert found is not None
    assert found.artifact.digest == digest


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": "onnx"}', b"\xff"])
def test_a_damaged_entry_file_at_the_address_is_found(memory: StorePlace, text: bytes) -> None:
    put(opened(memory), KEY)
    objects_of(memory).write(f"{KEY}/entry.json", text)
    with pytest.raises(CorruptEntry):
        opened(memory, "another").get(KEY)


def test_files_that_would_lie_outside_of_the_entry_are_refused(memory: StorePlace) -> None:
    digest = put(opened(memory), KEY).artifact.digest
    objects_of(memory).write(f"{KEY}/{digest}/../../outside", b"")
    with pytest.raises(CorruptEntry, match="has files that lie outside of it"):
        opened(memory, "another").get(KEY)


def test_damage_in_the_cache_is_fetched_again(place: StorePlace, caplog: pytest.LogCaptureFixture) -> None:
    written = put(opened(place), KEY)
    (written.artifact.path / "model.onnx").write_bytes(b"nodel")
    assert opened(place).get(KEY) == written
    assert "it is fetched again" in caplog.text


def test_a_server_that_goes_away_costs_nothing(tmp_path: Path, s3: S3, caplog: pytest.LogCaptureFixture) -> None:
    other = "b" * 64
    with serving() as server:
        place = server.place("going-away", tmp_path / "cache")
        store = opened(place)
        written = put(store, KEY)
        port = int(server.url.rpartition(":")[2])
    assert store.get(KEY) == written
    assert store.get(other) is None
    with store.lock(other):
        built = put(store, other)
    assert "can't be reached" in caplog.text
    assert "what is built is sent by the next run" in caplog.text
    store.in_use.close()
    assert [entry.key for entry in store.collect(0)] == [KEY], "what was not sent stays, whatever its size"
    with serving(port):
        store.collect(1)
        found = opened(place, "another").get(other)
    assert found is not None
    assert found.artifact.digest == built.artifact.digest


def test_a_server_that_is_away_at_the_beginning_is_one_line(tmp_path: Path, s3: S3) -> None:
    with serving() as server:
        place = server.place("away", tmp_path)
    with pytest.raises(UserError, match=r"^s3://bucket/away can't be reached: .*AWS_ENDPOINT_URL=URL") as caught:
        open_store(place).check()
    assert "\n" not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_one_line(place: StorePlace) -> None:
    with pytest.raises(UserError, match=r"^s3://none/x: the specified bucket does not exist: make the bucket first"):
        open_store(replace(place, address="s3://none/x")).check()


def test_nobody_signed_in_is_one_line(place: StorePlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SERVED:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match=r"nobody is signed in: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_store(replace(place, options={**place.options, "client_kwargs": {"region_name": "eu-west-1"}})).check()


@pytest.mark.parametrize(("address", "said"), [("foo://x", "Protocol not known: foo"), ("gs://b", "gcsfs")])
def test_an_address_that_nothing_knows_is_one_line(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_store(StorePlace(folder=tmp_path, address=address)).check()


def test_a_model_is_built_by_one_machine_at_a_time(place: StorePlace) -> None:
    order: list[str] = []
    one, other = opened(place), opened(place, "another")
    assert one.leases is not None
    with one.lock(KEY):
        waiter = threading.Thread(target=lambda: _built_or_found(other, order))
        waiter.start()
        assert one.leases.is_held(KEY)
        put(one, KEY)
        order.append("built")
    waiter.join()
    assert order == ["built", "found"]
    assert [name for name in names_of(place) if name.startswith(".")] == [], "no lease is left"


def _built_or_found(store: RemoteStore, order: list[str]) -> None:
    with store.lock(KEY):
        order.append("found" if store.get(KEY) else "missing")


def test_a_killed_builder_elsewhere_is_taken_over(place: StorePlace) -> None:
    store = opened(place)
    assert store.leases is not None
    store.leases.files.create(f"{KEY}/1", b'{"pid": 1, "host": "node-7", "command": "", "since": 1}')
    quick = replace(store, leases=replace(store.leases, stale_s=0.2, pause_s=0.02))
    with quick.lock(KEY):
        put(quick, KEY)
    assert [name for name in names_of(place) if name.startswith(".")] == []


def test_checkpoints_stay_on_this_machine(memory: StorePlace) -> None:
    store = opened(memory)
    (store.work(KEY) / "epoch").touch()
    assert names_of(memory) == []
    store.finish_work(KEY)
    assert list(store.work(KEY).iterdir()) == []
