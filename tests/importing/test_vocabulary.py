"""How large the whole numbers may be that a model is fed."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper

from pipeline.importing.vocabulary import rows_of_tables
from pipeline.zoo.source import OnnxModel
from tests.importing.graphs import model, save, value, weight

IDS = value("ids", ["n", "tokens"], TensorProto.INT32)
SEGMENTS = value("segments", ["n", "tokens"], TensorProto.INT64)


def test_the_smallest_table_that_an_input_chooses_from_bounds_it_also_behind_a_cast(tmp_path: Path) -> None:
    made = model(
        [
            helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64),
            helper.make_node("Gather", ["words", "wide"], ["a"]),
            helper.make_node("Gather", ["short", "wide"], ["b"]),
            helper.make_node("Gather", ["kinds", "segments"], ["c"]),
            helper.make_node("Add", ["a", "b"], ["ab"]),
            helper.make_node("Add", ["ab", "c"], ["y"]),
        ],
        [IDS, SEGMENTS],
        [value("y", None)],
        [weight("words", 50, 4), weight("short", 30, 4), weight("kinds", 2, 4)],
    )
    assert rows_of_tables(made.graph) == {"ids": 30, "segments": 2}
    signature = OnnxModel(path=save(made, tmp_path) / "model.onnx").signature()
    assert [entry.below for entry in signature.values()] == [30, 2]


def test_a_fused_embedding_and_a_table_that_is_stored_in_int8_bound_their_inputs() -> None:
    made = model(
        [
            helper.make_node("DequantizeLinear", ["words", "scale"], ["table"]),
            helper.make_node("Gather", ["table", "ids"], ["a"]),
            helper.make_node(
                "EmbedLayerNormalization",
                ["ids", "segments", "more", "places", "kinds", "gamma", "beta"],
                ["y", "mask"],
                domain="com.microsoft",
            ),
        ],
        [IDS, SEGMENTS],
        [value("y", None)],
        [weight(name, *shape) for name, shape in {"words": (40, 4), "more": (60, 4), "kinds": (3, 4)}.items()],
    )
    assert rows_of_tables(made.graph) == {"ids": 40, "segments": 3}


def test_numbers_that_choose_from_nothing_stored_are_not_bounded() -> None:
    made = model([helper.make_node("Gather", ["x", "ids"], ["y"])], [IDS, value("x", ["n", 4])], [value("y", None)])
    assert rows_of_tables(made.graph) == {}
