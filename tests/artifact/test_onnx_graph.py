"""Reading ONNX graphs."""

from __future__ import annotations

import pytest

from pipeline.artifact.onnx_graph import fixed_batch_in
from pipeline.bundle.slimline_infer.model import fixed_batch


@pytest.mark.parametrize(
    ("shapes", "batch"),
    [
        ([(4, 3)], 4),
        ([("n", 3)], None),
        ([(None, 3)], None),
        ([("n", 3), (1, "n", 8)], None),
        ([(1, 3), (1, 1, 8)], 1),
        ([(4, 3), ()], 4),
        ([()], None),
        ([], None),
    ],
)
def test_a_batch_is_fixed_where_every_input_fixes_it(shapes: list[tuple[object, ...]], batch: int | None) -> None:
    assert fixed_batch_in(shapes) == batch
    assert fixed_batch([{"shape": list(shape)} for shape in shapes]) == batch
