"""What an output likely holds is told by its sizes, its name, its maker and its values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.inspection.inspection import Likely
from pipeline.inspection.meanings import Seen, likely

PLAIN = Seen(name="y", sizes=(10,), dtype="float32", maker="Mul", weighted=False)
TOKENS: dict[str, Any] = {"lengths": frozenset({16})}
PICTURES: dict[str, Any] = {"sides": frozenset({(32, 32)})}
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(4, 10)).astype(np.float32)
SHARES = np.exp(NUMBERS) / np.exp(NUMBERS).sum(axis=1, keepdims=True)
UNIT = NUMBERS / np.linalg.norm(NUMBERS, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("changes", "kind", "why"),
    [
        ({"maker": "Softmax"}, "class scores", "a Softmax makes 10 numbers"),
        ({"maker": "Gemm", "weighted": True}, "class scores", "a Gemm with weights makes 10 numbers"),
        ({"name": "logits"}, "class scores", "its name is 'logits'"),
        ({"values": SHARES}, "class scores", "sum to 1"),
        ({"values": UNIT, "maker": "Gemm", "weighted": True}, "embedding", "has the length 1"),
        ({"name": "sentence_embedding"}, "embedding", "its name is 'sentence_embedding'"),
        ({"maker": "GlobalAveragePool"}, "embedding", "a GlobalAveragePool makes"),
        ({"values": NUMBERS}, "unknown", "neither"),
        ({"sizes": ()}, "one score", "one number an example"),
        ({"sizes": (1,), "maker": "Sigmoid"}, "one score", "out of a sigmoid"),
        ({"sizes": (), "dtype": "int64"}, "unknown", "maybe the class itself"),
        ({"sizes": (16, 9), "name": "logits", **TOKENS}, "token scores", "9 numbers for each token"),
        ({"sizes": (16, 9), "maker": "MatMul", "weighted": True, **TOKENS}, "token scores", "a MatMul with weights"),
        ({"sizes": (16, 384), "name": "last_hidden_state", **TOKENS}, "sequence", "a vector of 384 for each token"),
        ({"sizes": (16,), **TOKENS}, "sequence", "one number for each of 16 tokens"),
        ({"sizes": (21, 32, 32), **PICTURES}, "pixel scores", "21 numbers for each pixel"),
        ({"sizes": (21, 16, 16), **PICTURES}, "unknown", "neither"),
        ({"sizes": (100, 4)}, "boxes", "a list of 4 numbers"),
        ({"sizes": (25, 6), "name": "bboxes"}, "boxes", "its name is 'bboxes'"),
        ({"sizes": None}, "unknown", "its shape is not known"),
        ({"rows": False}, "unknown", "no row for each example"),
    ],
)
def test_an_output_is_told_with_what_speaks_for_it(changes: dict[str, Any], kind: Likely, why: str) -> None:
    found, said = likely(replace(PLAIN, **changes))
    assert (found, why in said) == (kind, True), said


def test_values_that_are_no_numbers_tell_nothing() -> None:
    assert likely(replace(PLAIN, values=np.full((4, 10), np.nan, np.float32)))[0] == "unknown"
