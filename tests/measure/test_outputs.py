"""Outputs by example, and how far two sets of them are apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.measure.accuracy import Predicted
from pipeline.measure.difference import relative_difference
from pipeline.measure.likeness import likenesses, remarks_on
from pipeline.measure.outputs import (
    KEPT_BYTES,
    Kept,
    axes_in,
    by_example,
    likeness,
    not_numbers,
)
from pipeline.plan import MeasureSettings


def test_the_axis_of_the_examples_is_the_one_that_follows_the_batch() -> None:
    def outputs(size: int) -> list[object]:
        return [np.zeros((size, 3)), np.zeros((2, size)), np.zeros((size, size)), np.zeros(()), [{0: 1.0}]]

    assert axes_in(outputs(4), outputs(3), (4, 3)) == [0, 1, None, None, None]
    found = by_example(outputs(4), [0, 1, None, None, None], 4)
    assert [None if output is None else output.shape for output in found] == [(4, 3), (4, 2), None, None, None]


def test_a_difference_is_relative_to_the_largest_value_and_infinite_where_numbers_are_lost() -> None:
    first = np.array([1.0, -4.0, np.inf])
    assert relative_difference(first, first) == 0
    assert relative_difference(first, first + 0.1) == pytest.approx(0.025)
    assert relative_difference(first, np.array([1.0, np.nan, np.inf])) == np.inf
    assert relative_difference(first, first[:2]) == np.inf
    assert relative_difference(np.zeros(2), np.zeros(2)) == 0


def test_minus_infinity_is_a_number_here() -> None:
    assert not_numbers(np.array([[0.0, -np.inf], [np.nan, 0.0], [np.inf, 0.0]])) == 2
    assert not_numbers(np.array([1, 2])) == 0


def kept(folder: Path, *outputs: np.ndarray) -> Path:
    found = Kept()
    for start in range(0, len(outputs[0]), 7):
        found.add([output[start : start + 7] for output in outputs])
    found.save(folder)
    return folder


def test_outputs_are_compared_with_the_baselines_and_with_those_on_another_runtime(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    folders = {
        "baseline@a": kept(tmp_path / "0", scores),
        "baseline@b": kept(tmp_path / "1", scores * np.float32(1 + 1e-6)),
        "int8@a": kept(tmp_path / "2", scores + np.float32(0.1)),
        "int8@b": kept(tmp_path / "3", -scores),
    }
    found = likenesses(folders, MeasureSettings(reference="baseline@a"))
    assert found["baseline@b"]["relative"] == pytest.approx(1e-6, rel=0.2)
    assert found["baseline@b"]["examples"] == 300
    assert found["int8@a"]["cosine"] > 0.99
    assert found["int8@b"]["against"] == "baseline@a"
    assert found["int8@b"]["elsewhere"]["against"] == "int8@a"
    assert found["int8@b"]["elsewhere"]["cosine"] < -0.9
    assert "baseline@a" not in found


def test_only_the_first_examples_of_large_outputs_are_kept(tmp_path: Path) -> None:
    large = np.broadcast_to(np.float32(1), (3, KEPT_BYTES // 8))
    found = Kept()
    for row in large:
        found.add([row[None]])
    found.save(tmp_path / "a")
    same = likeness(tmp_path / "a", tmp_path / "a")
    assert same is not None
    assert (same.examples, same.relative) == (2, 0)


def test_an_example_that_is_zero_on_one_side_only_is_not_alike(tmp_path: Path) -> None:
    for name, rows in (("a", [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]), ("b", [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])):
        found = Kept()
        found.add([np.array(rows, np.float32)])
        found.save(tmp_path / name)
    alike = likeness(tmp_path / "a", tmp_path / "b")
    assert alike is not None
    assert alike.cosine == pytest.approx(0.5)  # the third is zero on both sides, and tells nothing


def test_what_is_odd_about_outputs_is_a_remark() -> None:
    assert remarks_on(Predicted(predictions=None), 10) == []
    odd = Predicted(predictions=None, reason="no rows", not_numbers=3, repeat=0.5)
    assert [remark[:27] for remark in remarks_on(odd, 10)] == [
        "no rows",
        "its outputs are random: run",
        "its output is not a number ",
    ]
