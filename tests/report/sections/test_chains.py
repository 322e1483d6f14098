"""The section "Chains of stages": what was set, not what is a default."""

from __future__ import annotations

from dataclasses import replace

from pipeline.report.sections.chains import chains
from tests.report import example


def fields_told(changed: list[str] | None) -> list[str]:
    stage = replace(example.stage("quantize", "QuantizeStatic", calibration="mse", per_channel=True), changed=changed)
    variant = replace(example.variant("static_int8", []), stages=[stage])
    section = chains(example.report([variant]))
    assert section is not None
    [part] = section.parts[0].parts
    return [name for facts in part.facts if facts.title == "Fields" for name, _ in facts.pairs]


def test_only_fields_that_are_not_at_their_defaults_are_told() -> None:
    assert fields_told(["calibration"]) == ["calibration"]


def test_a_record_that_did_not_keep_the_defaults_tells_every_field() -> None:
    assert fields_told(None) == ["calibration", "per_channel"]
