"""The bodies of requests and answers: JSON, a .npy or a .npz file.

A body is anybody's: nothing in it is unpickled, and an array's header does not decide how much memory is taken.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .command import plain
from .refused import Refused
from .values import Arrays, Entry, InputError, first_line, printable

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"
EITHER = "application/octet-stream"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_MEMBERS = 1000
_MEMBER, _ARCHIVE = b"PK\x01\x02", b"PK"
_UNREADABLE = (ValueError, TypeError, LookupError, OverflowError, SyntaxError, RecursionError, MemoryError)
_MAGIC, _VERSIONS = b"\x93NUMPY", {b"\x01": 2, b"\x02": 4}
"""How many bytes tell the length of a header, by the version of the format."""
_LONGEST_HEADER = 2000
_HEADER = re.compile(r"""\{[\w'",:()<>=|? \[\]]*\}""", re.ASCII)


def read_body(kind: str, body: bytes, inputs: Sequence[Entry], most_bytes: int) -> tuple[str, Arrays]:
    """The form of the body, and its arrays by the inputs' names; ``kind`` is the request's Content-Type.

    Raises Refused where it can't be read, names an input that the model lacks, or unpacks to more than ``most_bytes``.
    """
    kind = kind.partition(";")[0].strip().lower()
    if kind == EITHER:
        kind = NPZ if body.startswith(_ARCHIVE) else NPY
    if kind == JSON:
        return kind, _from_json(body, inputs)
    if kind == NPZ:
        return kind, _from_npz(body, inputs, most_bytes)
    if kind != NPY:
        told = f"not '{kind}'" if kind else "and this request has none"
        raise Refused(415, f"the Content-Type can be {JSON}, {NPY}, {NPZ} or {EITHER}, {told}")
    if len(inputs) != 1:
        raise Refused(400, f"the model has {len(inputs)} inputs, give an array for each ({_names(inputs)}) as {NPZ}")
    return kind, {inputs[0]["name"]: _array(body, "the body")}


def write_body(kind: str, outputs: Arrays, told: Mapping[str, Any]) -> tuple[str, bytes]:
    """The Content-Type and the body of an answer in the request's form; JSON has what is ``told`` beside the outputs.

    Several outputs don't fit into a .npy file: they are answered as .npz.
    """
    if kind == JSON:
        return JSON, json_bytes({"outputs": {name: array.tolist() for name, array in outputs.items()}, **told})
    if kind == NPY and len(outputs) == 1:
        return NPY, _npy(next(iter(outputs.values())))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in outputs.items():
            archive.writestr(f"{name}.npy", _npy(array))
    return NPZ, file.getvalue()


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """JSON in its narrow sense: a number that is not finite becomes null."""
    try:
        return json.dumps(value, allow_nan=False).encode() + b"\n"
    except ValueError:
        return json.dumps(plain(value), allow_nan=False).encode() + b"\n"


def _from_json(body: bytes, inputs: Sequence[Entry]) -> Arrays:
    try:
        asked = json.loads(body, parse_constant=_no_number)
    except RecursionError as error:
        raise Refused(400, "the body is not JSON that can be read: it is nested too deep") from error
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {first_line(error)}") from error
    given = asked.get("inputs") if isinstance(asked, dict) else None
    if not isinstance(given, dict):
        raise Refused(400, f'the body must be {{"inputs": {{NAME: nested lists}}}}; the model has {_names(inputs)}')
    entries = {entry["name"]: entry for entry in inputs}
    _require_known(given, inputs)
    return {name: _nested(values, entries[name]) for name, values in given.items()}


def _nested(values: Any, entry: Entry) -> NDArray[Any]:
    """Nested lists as an array; whole numbers get the type of an input of whole numbers, if they fit in."""
    name = printable(entry["name"])
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(400, f"input '{name}' is no array: its lists have different lengths or depths") from error
    if array.dtype.kind not in "biuf":
        raise Refused(400, f"input '{name}' must hold numbers in lists of equal lengths, [N, ...]")
    wanted: np.dtype[Any] = np.dtype(entry["dtype"])
    if entry["preprocessing"] or wanted.kind not in "iu" or array.dtype.kind not in "iu":
        return array
    limits = np.iinfo(wanted)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        raise Refused(400, f"input '{name}' must hold {wanted} values, from {limits.min} to {limits.max}")
    return array.astype(wanted)


def _from_npz(body: bytes, inputs: Sequence[Entry], most_bytes: int) -> Arrays:
    """An archive says how large it gets before it is unpacked, and is held to it by zipfile."""
    try:
        if body.count(_MEMBER) > _MOST_MEMBERS:
            raise InputError(f"it has more than {_MOST_MEMBERS} members")
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise InputError("a name is there twice")
            _require_known(members, inputs)
            if sum(info.file_size for info in members.values()) > most_bytes:
                raise Refused(413, f"the arrays take more than {most_bytes} bytes unpacked")
            if any(info.compress_type not in _METHODS for info in members.values()):
                raise InputError("it is neither stored nor deflated")
            return {name: _array(archive.read(info), f"array '{name}'") for name, info in members.items()}
    except (InputError, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise Refused(400, f"the body can't be read as a .npz file: {first_line(error)}") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OverflowError) as error:
        raise Refused(400, f"the body can't be read as a .npz file: {first_line(error)}") from error


def _array(content: bytes, told: str) -> NDArray[Any]:
    """The array of a .npy file's content: its header has to agree with the number of bytes that follow.

    It is a copy, because runtimes want to own what they read, at an address that suits them.
    """
    try:
        shape, fortran, dtype, start = _header(content)
        if dtype.kind not in "biufc":
            raise InputError(f"it holds no numbers ({dtype})")
        if math.prod(shape) * dtype.itemsize != len(content) - start or min(shape, default=0) < 0:
            raise InputError(f"its header tells {dtype} {list(shape)}, and {len(content) - start} bytes follow")
        return np.ndarray(shape, dtype, content, start, order="F" if fortran else "C").copy()
    except _UNREADABLE as error:
        raise Refused(400, f"{told} can't be read as a .npy file: {first_line(error)}") from error


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether the first axis varies fastest, type, and where the values begin.

    NumPy's own reader raises and warns of whatever a header may hold; this one raises one of _UNREADABLE.
    """
    if not content.startswith(_MAGIC) or content[6:7] not in _VERSIONS:
        raise InputError("it does not begin as one of version 1 or 2")
    size = _VERSIONS[content[6:7]]
    start = 8 + size + int.from_bytes(content[8 : 8 + size], "little")
    text = content[8 + size : start].decode("latin1").strip()
    if len(text) > _LONGEST_HEADER or not _HEADER.fullmatch(text):
        raise InputError("its header is none of an array of numbers")
    told = ast.literal_eval(text)
    shape, fortran = told["shape"], told["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape) or type(fortran) is not bool:
        raise InputError("its header is none of an array of numbers")
    return shape, fortran, np.dtype(str(told["descr"])), start


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return file.getvalue()


def _require_known(names: Mapping[str, Any], inputs: Sequence[Entry]) -> None:
    known = {entry["name"] for entry in inputs}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise Refused(400, f"there is no input '{printable(unknown)[:100]}': the model has {_names(inputs)}")


def _names(inputs: Sequence[Entry]) -> str:
    return ", ".join(printable(entry["name"]) for entry in inputs)


def _no_number(text: str) -> None:
    raise InputError(f"{text} is no number")
