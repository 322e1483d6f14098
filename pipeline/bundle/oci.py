"""A bundle as an OCI image layout, which registries and ORAS take. The same bundle gives the same bytes again.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md; a layer for each file, with the file's path as
its title, is how ORAS keeps files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifact import file_digest, model_files
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.errors import UserError
from pipeline.folders.writing import whole_folder

ARTIFACT_TYPE = "application/vnd.slimline.bundle.v1"
LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
BLOBS = "blobs/sha256"
_INDEX = "application/vnd.oci.image.index.v1+json"
_IMAGE = "application/vnd.oci.image.manifest.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_FILE = "application/octet-stream"
_ANNOTATION = "org.opencontainers.image"


def write_oci(bundle: Path, out: Path) -> None:
    """Write the layout of a bundle's folder; an older layout is replaced. Its tag is the variant's name.

    Raises UserError where ``out`` holds anything but such a layout.
    """
    require_layout(out)
    facts = json.loads((bundle / MANIFEST_FILE).read_text(encoding="utf-8"))
    with whole_folder(out) as folder:
        (folder / BLOBS).mkdir(parents=True)
        image = {
            "schemaVersion": 2,
            "mediaType": _IMAGE,
            "artifactType": ARTIFACT_TYPE,
            "config": {**_blob(folder, b"{}", _EMPTY), "data": "e30="},
            "layers": [_layer(folder, bundle, path) for path in model_files(bundle)],
            "annotations": {f"{_ANNOTATION}.created": facts["created"], f"{_ANNOTATION}.title": facts["name"]},
        }
        tagged = {
            **_blob(folder, _json(image), _IMAGE),
            "artifactType": ARTIFACT_TYPE,
            "annotations": {f"{_ANNOTATION}.ref.name": facts["name"]},
        }
        (folder / INDEX_FILE).write_bytes(_json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [tagged]}))
        (folder / LAYOUT_FILE).write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def require_layout(out: Path) -> None:
    """Raise UserError where a folder holds anything but an OCI image layout."""
    if not out.exists() or (out / LAYOUT_FILE).is_file() or (out.is_dir() and not any(out.iterdir())):
        return
    raise UserError(f"{out} exists, and is no OCI image layout that could be replaced: name a folder that is not there")


def _layer(folder: Path, bundle: Path, path: Path) -> dict[str, Any]:
    """A file as a blob. Files with the same content share one."""
    digest = file_digest(path)
    if not (folder / BLOBS / digest).exists():
        shutil.copyfile(path, folder / BLOBS / digest)
    title = path.relative_to(bundle).as_posix()
    return {**_descriptor(_FILE, digest, path.stat().st_size), "annotations": {f"{_ANNOTATION}.title": title}}


def _blob(folder: Path, content: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / BLOBS / digest).write_bytes(content)
    return _descriptor(media_type, digest, len(content))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
