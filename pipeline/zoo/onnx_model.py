"""An ONNX file of the user's: its declarations, and a copy of it in one piece."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import ONNX_FILE, SINGLE_FILE_BYTES, file_digest
from pipeline.artifact.onnx_graph import all_tensors, fed_inputs, shape_of, symbols_of
from pipeline.errors import UserError
from pipeline.importing.batch_axes import batch_axes
from pipeline.importing.interface import fed_type
from pipeline.importing.vocabulary import rows_of_tables
from pipeline.plan import InputSignature
from pipeline.zoo.file_model import FileModel, existing

if TYPE_CHECKING:
    import onnx

_POINTER = b"version https://git-lfs"
SMALL_BYTES = 1024
"""Tensors up to this size lie in the file itself, because shapes are inferred from the values of some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel(FileModel):
    """An ONNX file of the user's. Stages that need PyTorch take the module that ``FromOnnx`` makes of it."""

    def key(self) -> Mapping[str, Any]:
        """The digests of the file and of its external data."""
        files = self._external_files(self._model())
        return {
            "onnx": file_digest(self.path),
            "external": {location: file_digest(path) for location, path in files.items()},
        }

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs as they are fed; raises UserError where one is no tensor, or of a type that NumPy lacks."""
        graph = self._model().graph
        values, rows = fed_inputs(graph), rows_of_tables(graph)
        axes = batch_axes({value.name: symbols_of(value) for value in values})
        return {
            value.name: InputSignature(
                shape_of(value), fed_type(value, self.path), axes[value.name], rows.get(value.name)
            )
            for value in values
        }

    def write(self, out: Path) -> Mapping[str, Any]:
        """Copy the model, with its external data in the same file, or beside it where both don't fit into one file."""
        model = self._model()
        files = self._external_files(model)
        total = self.path.stat().st_size + sum(path.stat().st_size for path in files.values())
        names = {location: f"{ONNX_FILE}.data" + (f"_{index}" if index else "") for index, location in enumerate(files)}
        for tensor in _external_tensors(model):
            place = _Place.of(tensor, files)
            if total <= SINGLE_FILE_BYTES or place.length(tensor) <= SMALL_BYTES:
                place.embed(tensor)
            else:
                _relocate(tensor, names)
        if total > SINGLE_FILE_BYTES:
            for location, path in files.items():
                shutil.copyfile(path, out / names[location])
        (out / ONNX_FILE).write_bytes(model.SerializeToString())
        if not files:
            return {}
        where = "in the same file now" if total <= SINGLE_FILE_BYTES else f"in {', '.join(names.values())} now"
        return {"external_data": f"the weights in {', '.join(files)} are {where}"}

    def _model(self) -> onnx.ModelProto:
        """The graph without its external data; raises UserError where the file is not a whole ONNX model."""
        import onnx
        from google.protobuf.message import DecodeError

        existing(self.path, "model.path")
        with self.path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise UserError(f"model.path={self.path} is a pointer of Git LFS, not the file: type git lfs pull")
        try:
            model = onnx.load(self.path, load_external_data=False)
        except DecodeError as error:
            raise UserError(f"model.path={self.path} is not a whole ONNX file: {error}") from error
        if not model.graph.node:
            raise UserError(f"model.path={self.path} is not a whole ONNX file: it has no nodes")
        return model

    def _external_files(self, model: onnx.ModelProto) -> dict[str, Path]:
        """The files beside the model that hold its weights; refuses paths that lead out of its folder."""
        folder = self.path.parent.resolve()
        files = {}
        for location in sorted({_entries(tensor).get("location", "") for tensor in _external_tensors(model)}):
            path = (folder / location).resolve()
            if not path.is_relative_to(folder):
                raise UserError(f"model.path={self.path} names external data outside its folder: {location}")
            files[location] = existing(path, f"external data of model.path={self.path}")
        return files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The place of a tensor's bytes."""

    path: Path
    offset: int
    stated: int | None

    @classmethod
    def of(cls, tensor: onnx.TensorProto, files: Mapping[str, Path]) -> _Place:
        entries = _entries(tensor)
        path = files[entries.get("location", "")]
        try:
            offset = int(entries.get("offset") or 0)
            stated = int(entries["length"]) if entries.get("length") else None
        except ValueError as error:
            raise UserError(f"tensor '{tensor.name}' has external data at no place in {path}: {error}") from error
        end = offset + (stated or 0)
        if min(offset, stated or 0) < 0 or end > path.stat().st_size:
            raise UserError(
                f"{path} has {path.stat().st_size} bytes, and tensor '{tensor.name}' lies at {offset} to {end}: "
                "the file is not whole, or another model's"
            )
        return cls(path=path, offset=offset, stated=stated)

    def length(self, tensor: onnx.TensorProto) -> int:
        """Bytes of the tensor: what is stated, else the rest of the file."""
        return self.path.stat().st_size - self.offset if self.stated is None else self.stated

    def embed(self, tensor: onnx.TensorProto) -> None:
        """Put the bytes into the tensor itself."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            tensor.raw_data = file.read(self.length(tensor))
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    import onnx

    return (tensor for tensor in all_tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL)


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _relocate(tensor: onnx.TensorProto, names: Mapping[str, str]) -> None:
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = names[entry.value]
