"""What a file of torch.export says of its inputs, read from its JSON (torch/_export/serde/schema.py). No code runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.importing.batch_axes import Size, batch_axes
from pipeline.plan import InputSignature

_GRAPHS = ("models/model.json", "serialized_exported_program.json")
"""The end of the graph's name in the archive; the second is that of older files."""
_TYPES: Mapping[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "float32",
}
"""NumPy's names of the schema's ScalarType. NumPy has no bfloat16 (13): such an input is fed float32."""


def signature_of(path: Path) -> Mapping[str, InputSignature]:
    """The inputs in order; raises UserError where the file can't be read, or an input is of a type that NumPy lacks."""
    try:
        module = _graph_module(path)
        specs = [spec["user_input"]["arg"] for spec in module["signature"]["input_specs"] if "user_input" in spec]
        names = [spec["as_tensor"]["name"] for spec in specs if "as_tensor" in spec]
        values = {name: module["graph"]["tensor_values"][name] for name in names}
        shapes = {name: [_size(size) for size in value["sizes"]] for name, value in values.items()}
        kinds = {name: value["dtype"] for name, value in values.items()}
    except (OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"model.path={path} can't be read as a program of torch.export: its graph is damaged, or of a version that "
            f"is not known here ({type(error).__name__})"
        ) from error
    axes = batch_axes(shapes)
    return {
        name: InputSignature(
            tuple(size if isinstance(size, int) else None for size in shape), _type(path, name, kinds[name]), axes[name]
        )
        for name, shape in shapes.items()
    }


def _graph_module(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        name = next(name for end in _GRAPHS for name in archive.namelist() if name.endswith(end))
        return json.loads(archive.read(name))["graph_module"]


def _size(size: Mapping[str, Any]) -> Size:
    return int(size["as_int"]) if "as_int" in size else str(size["as_expr"]["expr_str"])


def _type(path: Path, name: str, kind: int) -> str:
    if kind not in _TYPES:
        raise UserError(f"model.path={path}: input '{name}' is of a type that NumPy lacks (ScalarType {kind})")
    return _TYPES[kind]
