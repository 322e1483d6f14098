"""A server of S3, and stores on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.artifact.store import Entry
from pipeline.store import StorePlace, open_store
from pipeline.store.objects import Objects
from pipeline.store.remote import RemoteStore

BUCKET = "bucket"
SERVED = {
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "mine",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # or a test of a server that is away takes a minute
}
COUNT = itertools.count()


@dataclass(frozen=True, slots=True)
class S3:
    """A server that runs."""

    url: str

    def place(self, prefix: str, cache: Path) -> StorePlace:
        return StorePlace(
            folder=cache, address=f"s3://{BUCKET}/{prefix}", is_shared=True, options={"endpoint_url": self.url}
        )

    def make_bucket(self) -> None:
        import s3fs

        s3fs.S3FileSystem(endpoint_url=self.url).mkdir(BUCKET)


@contextmanager
def serving(port: int = 0) -> Iterator[S3]:
    """A server in a thread of this process. What it holds is this process's: a later one has it, too."""
    from moto.server import ThreadedMotoServer  # it takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()


def opened(place: StorePlace, cache: str = "") -> RemoteStore:
    """The store of a place, which is asked again at once where it is away; with another cache, another machine's."""
    store = open_store(replace(place, folder=place.folder.with_name(cache)) if cache else place)
    assert isinstance(store, RemoteStore)
    for reach in (store.reading, store.writing_there):
        reach.pauses_s, reach.rest_s = (), 0.0
    return store


def put(store: RemoteStore, key: str, content: bytes = b"model") -> Entry:
    with store.writing(key) as out:
        (out / "model.onnx").write_bytes(content)
        (out / "weights").mkdir()
        (out / "weights" / "w.bin").write_bytes(content * 2)
        return store.put(key, out, "onnx", f"label {key[0]}", {"seconds": 1.0})


def objects_of(place: StorePlace) -> Objects:
    assert place.address is not None
    return Objects(place.address, place.options)


def names_of(place: StorePlace) -> list[str]:
    """What lies at the address."""
    return sorted(info.name for info in objects_of(place).find())
