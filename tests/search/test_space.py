"""The space of a search: every chain, its other fields, on every target."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.plan import Plan, SearchSettings
from pipeline.search.space import space
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import plan


def searched(folder: Path, **settings: Any) -> Plan:
    export = ExportOnnx()
    chains: dict[str, dict[str, Any]] = {
        "baseline": {"export": export},
        "static_int8": {"export": export, "quantize": QuantizeStatic()},
    }
    return replace(plan(folder, chains), search=SearchSettings(**settings))


def test_each_chain_is_a_candidate_on_each_target_with_its_choices_and_its_rescues(tmp_path: Path) -> None:
    asked = searched(
        tmp_path,
        choices={"static_int8": {"quantize": {"symmetric": (True,)}}},
        rescues={"static_int8": {"quantize": {"calibration": ("entropy", "mse")}}},
    )
    (one,) = asked.targets.values()
    asked = replace(asked, targets={one.name: one, "other": replace(one, name="other")})
    keys = [candidate.key for candidate in space(asked)]
    assert [key for key in keys if key.endswith("@other")] == [
        "baseline@other",
        "static_int8@other",
        "static_int8-symmetric-true@other",
        "static_int8-calibration-entropy@other",
        "static_int8-calibration-mse@other",
        "static_int8-symmetric-true-calibration-entropy@other",
        "static_int8-symmetric-true-calibration-mse@other",
    ]
    assert len(keys) == 14


def test_a_choice_is_rescued_by_other_fields_than_its_own(tmp_path: Path) -> None:
    asked = searched(
        tmp_path,
        choices={"static_int8": {"quantize": {"calibration": ("mse",)}}},
        rescues={"static_int8": {"quantize": {"calibration": ("entropy",)}}},
    )
    names = [candidate.variant.name for candidate in space(asked)]
    assert names == ["baseline", "static_int8", "static_int8-calibration-mse", "static_int8-calibration-entropy"]


def test_a_changed_candidate_has_the_changed_stage_and_tells_what_to_type(tmp_path: Path) -> None:
    asked = searched(tmp_path, rescues={"static_int8": {"quantize": {"calibration": ("mse",)}}})
    _, plain, rescue = space(asked)
    assert rescue.variant.stages["quantize"] == QuantizeStatic(calibration="mse")
    assert rescue.after == plain.key
    assert [str(change) for change in rescue.changes] == ["variants.static_int8.stages.quantize.calibration=mse"]
    assert plain.variant.stages["quantize"] == QuantizeStatic()


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"static_int8": {"prune": {"pruning_ratio": (0.3,)}}}, "prune is not in this run"),
        ({"static_int8": {"quantize": {"colour": (1,)}}}, "colour"),
        ({"static_int8": {"quantize": {"calibration": ("guess",)}}}, "calibration must be"),
    ],
)
def test_what_does_not_exist_is_told(
    tmp_path: Path, choices: dict[str, dict[str, dict[str, tuple[object, ...]]]], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        space(searched(tmp_path, choices=choices))


def test_what_is_said_of_variants_that_are_not_selected_does_not_count(tmp_path: Path) -> None:
    asked = searched(tmp_path, choices={"pruned": {"prune": {"pruning_ratio": (0.3,)}}}, sessions={"gpu": {"x": (1,)}})
    assert [candidate.key for candidate in space(asked)] == ["baseline@ort_cpu", "static_int8@ort_cpu"]
