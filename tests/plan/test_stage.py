"""What is set in a stage."""

from __future__ import annotations

from pipeline.plan import changed_fields
from pipeline.stages.quantize_dynamic import QuantizeDynamic


def test_a_stage_as_it_is_has_no_changed_field() -> None:
    assert changed_fields(QuantizeDynamic()) == []


def test_a_field_that_was_set_is_named() -> None:
    assert changed_fields(QuantizeDynamic(op_types=("MatMul",))) == ["op_types"]
