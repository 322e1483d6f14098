"""A store's place, as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.artifact.store import Store
from pipeline.errors import UserError
from pipeline.store import StorePlace, open_store, store_place


def test_a_folder_is_the_store_itself(tmp_path: Path) -> None:
    place = store_place(str(tmp_path))
    assert place == StorePlace(folder=tmp_path)
    assert str(place) == str(tmp_path)
    assert open_store(place) == Store(tmp_path)


def test_an_address_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = store_place("s3://bucket/models/")
    assert (place.address, place.is_shared, str(place)) == ("s3://bucket/models", True, "s3://bucket/models")
    assert place.folder.parent == tmp_path / "slimline"
    assert place.folder.name.startswith("bucket-models-")
    elsewhere = store_place("s3://bucket/models", options={"endpoint_url": "http://127.0.0.1:9000"})
    assert elsewhere.folder != place.folder, "another server's entries are others"
    assert store_place("s3://bucket/models", cache=str(tmp_path / "mine")).folder == tmp_path / "mine"


def test_file_names_a_folder(tmp_path: Path) -> None:
    assert store_place(f"file://{tmp_path}/two%20words").folder == tmp_path / "two words"


def test_a_folder_is_shared_where_that_is_typed_or_another_machine_shares_it(tmp_path: Path) -> None:
    assert store_place(str(tmp_path)).is_shared is False
    assert store_place(str(tmp_path), shared=True).is_shared is True
    (tmp_path / ".leases").mkdir()
    assert store_place(str(tmp_path)).is_shared is True
    assert store_place(str(tmp_path), shared=False).is_shared is False


def test_a_shared_folder_is_locked_by_a_lease(tmp_path: Path) -> None:
    store = open_store(store_place(str(tmp_path), shared=True))
    key = "a" * 64
    with store.lock(key):
        assert [path.name for path in (tmp_path / ".leases" / key).iterdir()] == ["1"]
        work = store.work(key)
        open_store(store_place(str(tmp_path))).sweep()
        assert work.exists(), "it is another machine's, that just begins"
        assert not (tmp_path / ".locks" / key).exists()
    assert list((tmp_path / ".leases").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("s3://me:hush@bucket/x", {}, "store.path=s3://… holds a user or a password"),
        ("sftp://me@host/x", {}, "FSSPEC_SFTP_PASSWORD"),
        ("s3://bucket/x?token=hush", {}, "holds a user or a password"),
        ("s3://bucket/x", {"key": "hush"}, "store.options.key is a secret"),
        (
            "s3://bucket/x",
            {"config_kwargs": {"secret": "hush"}},
            "store.options.config_kwargs.secret is a secret",
        ),
        ("s3://bucket/x", {"endpoint_url": "http://me:hush@host"}, "store.options.endpoint_url holds a user"),
        ("abfs://box/x", {"connection_string": "hush"}, "store.options.connection_string is a secret"),
        ("http://host/x", {}, "a web server can't be written to"),
        ("models/store", {"endpoint_url": "http://host"}, "store.options: only a store at an address has it"),
    ],
)
def test_secrets_and_what_fits_no_place_are_refused(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        store_place(path, options=options)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_plain_options_pass() -> None:
    options = {"endpoint_url": "http://127.0.0.1:9000", "anon": True, "client_kwargs": {"region_name": "eu-west-1"}}
    assert store_place("s3://bucket/x", options=options).options == options
