"""The lines below the battery's table."""

from __future__ import annotations

from tests.battery.__main__ import TARGETS, reasons
from tests.battery.trial import Cell


def cells(variant: str, reason: str, *, skipped: bool = False) -> list[Cell]:
    return [Cell(variant=variant, target=target, reason=reason, skipped=skipped) for target in TARGETS]


def test_a_reason_is_one_line_with_all_models_that_it_meets() -> None:
    found = {
        "a": [*cells("fp16", "it drops 0.25"), *cells("pruned", "it has nothing to prune", skipped=True)],
        "b": cells("fp16", "it drops 0.5"),
        "c": cells("fp16", "it is too large")[:1],
        "d": [Cell(variant="", target="", reason="it is random")],
    }
    assert list(reasons(found)) == [
        "- it drops …: `a`, `b` (fp16)",
        "- it is random: `d` (refused)",
        "- it is too large: `c` (fp16 on ort_cpu)",
    ]
