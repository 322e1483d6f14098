"""The bodies of requests, which may be anybody's."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.bundle.slimline_infer.bodies import EITHER, JSON, NPY, NPZ, read_body, write_body
from pipeline.bundle.slimline_infer.refused import Refused
from pipeline.bundle.slimline_infer.values import Arrays

MOST = 10_000
IMAGE = {"name": "image", "dtype": "float32", "shape": ["N", 2], "preprocessing": {"scale": 1, "mean": 0, "std": 1}}
IDS = {"name": "ids", "dtype": "int32", "shape": ["N", 2], "preprocessing": None}


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz(**arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def refusal(kind: str, body: bytes, *inputs: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as refused:
        read_body(kind, body, inputs or (IMAGE,), MOST)
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    ("kind", "body", "form"),
    [
        (JSON, b'{"inputs": {"image": [[1, 2], [3, 4]]}}', JSON),
        ("Application/JSON; charset=utf-8", b'{"inputs": {"image": [[1.0, 2], [3, 4]]}}', JSON),
        (NPY, npy(np.array([[1, 2], [3, 4]], np.uint8)), NPY),
        (NPY, npy(np.array([[1, 2], [3, 4]], ">f4", order="F")), NPY),
        (NPZ, npz(image=np.array([[1, 2], [3, 4]])), NPZ),
        (EITHER, npy(np.array([[1, 2], [3, 4]])), NPY),
        (EITHER, npz(image=np.array([[1, 2], [3, 4]])), NPZ),
    ],
)
def test_arrays_are_read_in_every_form(kind: str, body: bytes, form: str) -> None:
    found, arrays = read_body(kind, body, (IMAGE,), MOST)
    assert found == form
    np.testing.assert_array_equal(arrays["image"], [[1, 2], [3, 4]])
    assert arrays["image"].flags.writeable


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"inputs": {"image": [[NaN, 1]]}}', "NaN is no number"),
        (b"[1, 2]", 'must be {"inputs": {NAME: nested lists}}; the model has image'),
        (b'{"inputs": [[1, 2]]}', "must be"),
        (b'{"inputs": {"image": [[1, 2], [3]]}}', "different lengths"),
        (b'{"inputs": {"image": [[1, null]]}}', "must hold numbers"),
        (b'{"inputs": {"image": [["a", "b"]]}}', "must hold numbers"),
        (b'{"inputs": {"image": {"a": 1}}}', "must hold numbers"),
        (b'{"inputs": {"picture": [[1, 2]]}}', "there is no input 'picture': the model has image"),
    ],
)
def test_json_that_does_not_fit_is_one_clear_line(body: bytes, words: str) -> None:
    refused = refusal(JSON, body)
    assert refused.status == 400
    assert words in str(refused)


def test_whole_numbers_get_the_type_of_the_input_and_must_fit_into_it() -> None:
    _, arrays = read_body(JSON, b'{"inputs": {"ids": [[1, 2]]}}', (IDS,), MOST)
    assert arrays["ids"].dtype == np.int32
    assert "from -2147483648 to 2147483647" in str(refusal(JSON, b'{"inputs": {"ids": [[1, 4294967296]]}}', IDS))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "can't be read as a .npy file"),
        (npy(np.array([{"a": 1}])), "can't be read as a .npy file"),
        (npy(np.array(["a"])), "it holds no numbers"),
        (npy(np.zeros(2, [("a", "f4"), ("b", "f4")])), "can't be read as a .npy file"),
        (header("(1000000000000, 2)") + b"1234", "its header tells float32 [1000000000000, 2], and 4 bytes follow"),
        (header("(-1, -1)") + b"1234", "its header is none"),
        (header("(1, 2)") + b"1234", "4 bytes follow"),
        (header("(" * 1000), "can't be read as a .npy file"),
        (npy(np.zeros((2, 2)))[:-3], "29 bytes follow"),
    ],
)
def test_an_array_that_lies_about_itself_is_refused_before_memory_is_taken(body: bytes, words: str) -> None:
    refused = refusal(NPY, body)
    assert refused.status == 400
    assert words in str(refused)


def test_a_bare_array_does_not_do_for_several_inputs() -> None:
    assert "the model has 2 inputs" in str(refusal(NPY, npy(np.zeros((1, 2))), IMAGE, IDS))


def test_an_archive_that_unpacks_to_too_much_is_refused() -> None:
    body = npz(image=np.zeros((1, 10**6)))
    assert len(body) < MOST
    assert refusal(NPZ, body).status == 413


def test_odd_archives_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("image.npy", npy(np.zeros((1, 2))))
    assert "neither stored nor deflated" in str(refusal(NPZ, file.getvalue()))
    assert "there is no input 'other'" in str(refusal(NPZ, npz(other=np.zeros(1))))
    assert "it has more than 1000 members" in str(refusal(NPZ, b"PK\x01\x02" * 1001))
    assert "can't be read as a .npz file" in str(refusal(NPZ, b"PK\x03\x04"))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_changed_in_a_body_is_read_or_refused(seed: int) -> None:
    random = np.random.default_rng(seed)
    bodies = {NPZ: npz(image=np.zeros((3, 2))), NPY: npy(np.zeros((3, 2)))}
    for kind, body in bodies.items():
        for _ in range(100):
            changed = np.frombuffer(body, np.uint8).copy()
            changed[random.integers(0, len(changed), 2)] = random.integers(0, 256, 2)
            with contextlib.suppress(Refused):  # and nothing else is raised
                _, arrays = read_body(kind, changed.tobytes()[: random.integers(1, 2 * len(body))], (IMAGE,), MOST)
                assert set(arrays) == {"image"}


def test_a_body_of_another_kind_is_told_what_there_is() -> None:
    for kind in ("", "text/plain"):
        refused = refusal(kind, b"{}")
        assert (refused.status, JSON in str(refused)) == (415, True)


@pytest.mark.parametrize("form", [JSON, NPY, NPZ])
def test_outputs_are_written_in_the_form_of_the_request(form: str) -> None:
    outputs: Arrays = {"y": np.array([[1.5, 2.0]], np.float32)}
    kind, body = write_body(form, outputs, {"classes": ["b"]})
    assert kind == form
    if form == JSON:
        assert json.loads(body) == {"outputs": {"y": [[1.5, 2.0]]}, "classes": ["b"]}
        return
    read = np.load(io.BytesIO(body), allow_pickle=False)
    np.testing.assert_array_equal(read if form == NPY else read["y"], outputs["y"])


def test_several_outputs_of_any_name_are_an_archive_and_numbers_that_are_none_are_null() -> None:
    outputs: Arrays = {"file": np.ones(2), "a/b": np.array([np.nan, np.inf])}
    kind, body = write_body(NPY, outputs, {})
    assert kind == NPZ
    with np.load(io.BytesIO(body), allow_pickle=False) as read:
        assert set(read.files) == set(outputs)
    assert json.loads(write_body(JSON, outputs, {})[1])["outputs"]["a/b"] == [None, None]
