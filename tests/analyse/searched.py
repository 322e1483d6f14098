"""A run that never happened and that a search chose the rows of: the baseline, and finalists on their own targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.record import Record
from pipeline.results.search import Drift, Ending, ScreenedSpeed, SearchFindings, SearchTrial
from tests.analyse.synthetic import Made, make_record

TARGETS = {"ort_cpu": "cpu", "openvino_cpu": "cpu", "openvino_cpu_bf16": "cpu"}
REFERENCE = "baseline@ort_cpu"
TESTED = 10_000


def drift(delta: float, half_width: float = 0.004, *, decidable: bool = True, needed: int | None = None) -> Drift:
    """The drift of a candidate on 500 validation examples, of which 0.94 points may be lost."""
    return Drift(
        delta=delta,
        low=delta - half_width,
        high=delta + half_width,
        n=500,
        flips=6,
        margin=0.0094,
        verdict="NO MEANINGFUL DROP" if decidable else "UNDECIDED",
        decidable=decidable,
        needed=needed,
    )


def trial(
    name: str, target: str, speed: float | None, ending: Ending = "kept", *, found: Drift | None = None, **more: object
) -> SearchTrial:
    """A candidate of a search; its interval is 5 % wide on both sides."""
    seen = None if speed is None else ScreenedSpeed(value=speed, low=speed / 1.05, high=speed * 1.05, rounds=3)
    facts: Mapping[str, object] = {"reason": None if ending == "finalist" else "others were faster", **more}
    return SearchTrial(
        variant=name,
        target=target,
        chain=name.partition("-")[0],
        changes=[],
        ending=ending,
        speed=seen,
        drift=found,
        **facts,  # type: ignore[arg-type]
    )


def searched(
    rows: Mapping[str, Made],
    *,
    trials: Sequence[SearchTrial] = (),
    constraints: Constraints | None = None,
    measure: MeasureSettings | None = None,
    data: str = "data",
) -> Record:
    """The proof of a search: the baseline on ort_cpu, and each finalist on the target that ``rows`` names it by."""
    made = make_record(
        *rows.values(),
        targets=TARGETS,
        constraints=constraints,
        measure=replace(measure or MeasureSettings(), reference=REFERENCE),
    )
    asked = {("baseline", "ort_cpu"), *((found.name, target) for target, found in rows.items())}
    subjects = [subject for subject in made.subjects if (subject.variant, subject.target) in asked]
    keys = {f"{variant}@{target}" for variant, target in asked}
    predictions = {key: found for key, found in made.accuracy.predictions.items() if key in keys}
    return replace(
        made,
        subjects=subjects,
        data=data,
        accuracy=replace(made.accuracy, predictions=predictions),
        search=SearchFindings(budget_s=600.0, rules=True, trials=list(trials)),
    )
