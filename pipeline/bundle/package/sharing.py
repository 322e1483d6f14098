"""Weights that several variants hold are stored once: they move to files that the variants' graphs refer to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.onnx_file import external_files, read_onnx

if TYPE_CHECKING:
    import onnx

SHARED_FILE = "shared_{}.bin"
LEAST_BYTES = 1024
"""The fewest bytes of a weight that is worth a place in another file."""
_ALIGNMENT = 64
Holders = Mapping[bytes, frozenset[str]]
"""The variants that hold a weight, by the digest of its bytes."""


def share_weights(artifacts: Mapping[str, Artifact], folder: Path) -> dict[str, Artifact]:
    """The same models by variant, with the weights that several of them hold in files of the same content beside each;
    they are written to ``folder``. A model that shares none stays as it is.

    A weight counts as the same where its type and its bytes are. A model keeps the digest of the artifact that it was
    made from. ONNX Runtime looks for all weights of a model in one folder, so a model that shares some and had its
    weights in other files before gets all of them into such files.
    """
    holders = _holders(artifacts)
    sharing = {name for names in holders.values() if len(names) > 1 for name in names}
    apart = {name for name in sharing if external_files(read_onnx(artifacts[name].onnx_path))}
    groups = {names for names in holders.values() if len(names) > 1 or names <= apart}
    files = {names: SHARED_FILE.format(place) for place, names in enumerate(sorted(groups, key=sorted), start=1)}
    moved = {digest: files[names] for digest, names in holders.items() if names in files}
    return {
        name: _moved(artifact, moved, folder / name) if name in sharing else artifact
        for name, artifact in artifacts.items()
    }


def _holders(artifacts: Mapping[str, Artifact]) -> Holders:
    holders: dict[bytes, set[str]] = {}
    for name, artifact in artifacts.items():
        for digest, _ in _weights(_loaded(artifact)):
            holders.setdefault(digest, set()).add(name)
    return {digest: frozenset(names) for digest, names in holders.items()}


def _moved(artifact: Artifact, files: Mapping[bytes, str], out: Path) -> Artifact:
    """The model in another folder, with the weights that ``files`` names moved there."""
    import onnx
    from onnx.external_data_helper import set_external_data

    out.mkdir(parents=True)
    model = _loaded(artifact)
    weights = [(digest, tensor) for digest, tensor in _weights(model) if digest in files]
    contents = {digest: tensor.raw_data for digest, tensor in weights}
    offsets = {
        digest: offset
        for file in sorted(set(files.values()))
        for digest, offset in _fill(out / file, {key: contents[key] for key in contents if files[key] == file})
    }
    for digest, tensor in weights:
        set_external_data(tensor, files[digest], offset=offsets[digest], length=len(tensor.raw_data))
        tensor.ClearField("raw_data")
    onnx.save_model(model, out / ONNX_FILE)
    return Artifact(out, artifact.format, artifact.digest)


def _fill(path: Path, contents: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, int]]:
    """Write a file of weights, and yield the place of each. Their order is that of their digests, so that each variant
    writes the same file; without weights there is none."""
    if not contents:
        return
    with path.open("wb") as file:
        for digest in sorted(contents):
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            yield digest, file.tell()
            file.write(contents[digest])


def _weights(model: onnx.ModelProto) -> Iterator[tuple[bytes, onnx.TensorProto]]:
    """The weights that may move, each with the digest of its type and its bytes."""
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= LEAST_BYTES:
            yield hashlib.sha256(b"%d:" % tensor.data_type + tensor.raw_data).digest(), tensor


def _loaded(artifact: Artifact) -> onnx.ModelProto:
    import onnx

    return onnx.load(artifact.onnx_path)
