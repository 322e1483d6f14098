"""A bundle in one file, and as an OCI layout: the same bytes again, with all that the folder holds."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from pipeline.bundle import verify_bundle
from pipeline.bundle.archive import write_zip
from pipeline.bundle.oci import write_oci
from pipeline.bundle.packing import Packing
from pipeline.errors import UserError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def touched(bundle: Path) -> Path:
    """The bundle with other times and modes, and written in another order."""
    for path in sorted(bundle.rglob("*"), reverse=True):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o700)
    return bundle


def test_a_zip_of_the_same_bundle_has_the_same_bytes(written: Path, touched: Path, tmp_path: Path) -> None:
    write_zip(written, tmp_path / "one" / "bundle.zip")
    write_zip(touched, tmp_path / "two.zip")
    assert touched.name != written.name
    assert (tmp_path / "one" / "bundle.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_zip_holds_the_bundle_in_a_folder_of_its_variants_name(written: Path, tmp_path: Path) -> None:
    write_zip(written, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path)
    unpacked = tmp_path / json.loads((written / "manifest.json").read_text())["name"]
    assert contents(unpacked) == contents(written)
    assert all(check.passed for check in verify_bundle(unpacked)[:6])


def test_an_oci_layout_of_the_same_bundle_has_the_same_bytes(written: Path, touched: Path, tmp_path: Path) -> None:
    write_oci(written, tmp_path / "one")
    write_oci(touched, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_oci_layout_gives_the_bundle_back(written: Path, tmp_path: Path) -> None:
    """As ORAS pulls it: the index names the manifest, whose layers name the files."""
    write_oci(written, layout := tmp_path / "layout")

    def blob(descriptor: dict[str, object]) -> bytes:
        algorithm, _, digest = str(descriptor["digest"]).partition(":")
        content = (layout / "blobs" / algorithm / digest).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (descriptor["size"], digest)
        return content

    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (tagged,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert tagged["annotations"] == {"org.opencontainers.image.ref.name": "static_int8"}
    image = json.loads(blob(tagged))
    assert image["artifactType"] == "application/vnd.slimline.bundle.v1"
    assert blob(image["config"]) == b"{}"
    files = {layer["annotations"]["org.opencontainers.image.title"]: blob(layer) for layer in image["layers"]}
    assert files == contents(written)


def test_an_older_layout_is_replaced_and_nothing_else_is(written: Path, tmp_path: Path) -> None:
    write_oci(written, tmp_path / "layout")
    (tmp_path / "layout" / "left_over").write_text("old")
    write_oci(written, tmp_path / "layout")
    assert not (tmp_path / "layout" / "left_over").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists, and is no OCI image layout"):
        Packing(oci=tmp_path / "mine").check()
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
