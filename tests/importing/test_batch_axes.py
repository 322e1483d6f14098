"""Where the inputs of an ONNX model have their batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from pipeline.importing.batch_axes import Size, batch_axes


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        ({"x": ["n", 64], "rate": []}, {"x": 0, "rate": None}),
        ({"x": ["n", 12, 16], "h0": [2, "n", 8]}, {"x": 0, "h0": 1}),
        ({"h0": [2, "n", 8], "x": ["n", "t", 16]}, {"h0": 1, "x": 0}),
        ({"x": [None, 64], "h0": [1, None, 8], "table": [5, 3]}, {"x": 0, "h0": 1, "table": None}),
        ({"x": [4, 64], "h0": [1, 4, 8], "rate": [1]}, {"x": 0, "h0": 1, "rate": None}),
        ({"x": [1, 64], "y": [1, 3]}, {"x": 0, "y": 0}),
        ({"ids": ["n", "t"], "mask": ["n", "t"]}, {"ids": 0, "mask": 0}),
        ({"x": None, "y": [3, 4]}, {"x": 0, "y": None}),
        ({"x": [None, None, 3]}, {"x": 0}),
    ],
)
def test_the_batch_is_found_by_its_symbol_or_by_the_sizes(
    shapes: Mapping[str, Sequence[Size] | None], axes: dict[str, int | None]
) -> None:
    assert batch_axes(shapes) == axes
