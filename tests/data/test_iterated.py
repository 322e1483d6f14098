"""Examples that a function of the user's own yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import iterated, rows
from pipeline.data.hashing import SPLITS
from pipeline.data.iterated import Iterated
from pipeline.data.rows import Rows
from pipeline.errors import UserError
from pipeline.measure.accuracy import assert_disjoint


def examples(count: int = 300) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"x": np.full(4, number, np.float32), "labels": number % 3}


class Indexed:
    """A sequence that never says where it ends, as PyTorch's data sets."""

    def __len__(self) -> int:
        return 300

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"x": np.full(4, place, np.float32), "labels": place % 3}


@pytest.fixture
def yielding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Iterated]:
    def made(source: object, **fields: Any) -> Iterated:
        monkeypatch.setattr(iterated, "locate", lambda path: source)
        iterated._read.cache_clear()
        return Iterated(factory="mine.examples", **fields)

    return made


@pytest.mark.parametrize("memory", [2**26, 100])
def test_it_is_gone_through_once_and_divided_whatever_its_size(
    yielding: Callable[..., Iterated], memory: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rows, "IN_MEMORY", memory)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    calls: list[int] = []

    def once() -> Iterator[dict[str, Any]]:
        calls.append(1)
        return examples()

    data = yielding(once)
    splits = {name: data.split(name) for name in SPLITS}
    assert calls == [1]
    assert isinstance(splits["test"].inputs["x"], Rows) == (memory == 100)
    assert {name: len(split) for name, split in splits.items()} == {
        "test": 150, "train": 90, "calibration": 30, "validation": 30,
    }  # fmt: skip
    assert_disjoint(splits)
    for split in splits.values():
        np.testing.assert_array_equal(split.arrays["x"][:, 0].astype(int) % 3, split.labels)


def test_a_sequence_is_read_by_its_length(yielding: Callable[..., Iterated]) -> None:
    expected = yielding(examples).split("test").digest()
    assert yielding(Indexed).split("test").digest() == yielding(Indexed()).split("test").digest() == expected


def broken() -> Iterator[dict[str, Any]]:
    yield {"x": np.zeros(2)}
    raise RuntimeError("the disk is on fire")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (broken, r"data\.factory=mine\.examples failed: .*the disk is on fire \(.*test_iterated\.py, line \d+\)"),
        (lambda: [(np.zeros(2), 1)], r"yields a tuple as example 0: give a mapping .* such as \{'image': array"),
        (list, "yields no examples"),
        (lambda: [{"labels": 1}], "yields only 'labels'"),
        (lambda: [{"x": np.zeros(2)}, {"x": np.zeros(3)}], r"example 1 has 'x' float64 \[3\], and example 0 has"),
        (lambda: [{"x": 1.0, "labels": "a"}], r"holds names: .*data\.class_names=\[a\]"),
        (7, r"data\.factory=mine\.examples failed: TypeError"),
    ],
)
def test_what_is_no_example_is_told_with_its_place(
    yielding: Callable[..., Iterated], source: object, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        yielding(source).split("test")
    assert "\n" not in str(caught.value)


def test_a_path_that_can_not_be_imported_is_told() -> None:
    with pytest.raises(UserError, match=r"data\.factory=no_module_here\.f can't be imported: .*type package\.module"):
        Iterated(factory="no_module_here.f").split("test")
