"""Why isn't it faster? A row's profile against its reference's, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipeline.analyse.causes import CAUSES, WITHOUT_PROFILE
from pipeline.analyse.evidence import ON_CPU, Evidence, Profile, Sibling
from pipeline.change import can_be_typed
from pipeline.contained import Faults
from pipeline.explanation import Cause, Explanation, NodeTime, OperatorTime, Outcome
from pipeline.record import Record, SubjectRecord, VariantRecord, subject_key
from pipeline.results import Reference, Result, Speedup

SHOWN_NODES = 10


def with_explanations(record: Record, rows: Mapping[str, list[Result]], faults: Faults) -> dict[str, list[Result]]:
    """The rows by variant, each that is to be explained with its explanation (``measure.explain``)."""
    subjects = {subject.key: subject for subject in record.subjects}
    variants = {variant.name: variant for variant in record.variants}
    asked = record.measure.explain
    calls_ms = {
        subject_key(name, row.target, row.batch_size): row.latency_ms.p50.value
        for name, found in rows.items()
        for row in found
        if row.latency_ms is not None
    }
    outcomes: dict[str, dict[str, Outcome]] = {}
    for trial in record.trials:
        outcomes.setdefault(trial.subject, {})[trial.change] = trial.outcome

    def explained(variant: VariantRecord, row: Result) -> Result:
        mine = subjects[subject_key(variant.name, row.target, row.batch_size)]
        speedup = row.speedup
        if asked == "none" or not (_fell_back(mine) or _in_question(speedup, asked)):
            return row
        # The reference itself has no speed-up: it is told where its operators ran, beside its own figures.
        itself = Reference(variant=variant.name, target=row.target, batch_size=row.batch_size)
        compared = speedup.reference if speedup else itself
        reference = subjects.get(subject_key(compared.variant, compared.target, compared.batch_size))
        siblings = [
            Sibling(variant=variants[name], speedup=other.speedup)
            for name, others in rows.items()
            for other in others
            if name != variant.name
            and (other.target, other.batch_size) == (row.target, row.batch_size)
            and other.speedup is not None
            and other.speedup.reference == compared
        ]
        found = _explanation(record, variant, row, mine, reference, calls_ms, siblings)
        if found is not None and speedup is not None and speedup.verdict == "SAME":
            found = replace(found, nodes=[])  # none has lost anything that could be told
        return replace(row, explanation=None if found is None else _with_outcomes(found, outcomes.get(mine.key, {})))

    def contained(variant: VariantRecord, row: Result) -> Result:
        part = f"the explanation of {subject_key(variant.name, row.target, row.batch_size)}"
        return faults.contain(part, lambda: explained(variant, row), row)

    return {name: [contained(variants[name], row) for row in found] for name, found in rows.items()}


def _in_question(speedup: Speedup | None, asked: str) -> bool:
    if speedup is None:
        return False
    surely = speedup.verdict in ("FASTER", "FASTER, not confirmed")
    faster = surely or (speedup.verdict == "SCREENED" and speedup.low > 1)
    return asked == "all" or not faster


def _fell_back(row: SubjectRecord) -> bool:
    """Whether operators of an accelerator's row ran on the CPU: that is told however fast the row is."""
    nodes = (row.profile or {}).get("nodes", ())
    return row.device != "cpu" and any(node["provider"] == ON_CPU for node in nodes)


def _explanation(
    record: Record,
    variant: VariantRecord,
    row: Result,
    mine: SubjectRecord,
    reference: SubjectRecord | None,
    calls_ms: Mapping[str, float],
    siblings: Sequence[Sibling],
) -> Explanation | None:
    if mine.profile is None or reference is None or reference.profile is None:
        return None
    backend, other = (record.targets[subject.target].backend for subject in (mine, reference))
    comparable = backend == other and "reason" not in reference.profile
    reason = mine.profile.get("reason")
    evidence = Evidence(
        variant=variant,
        target=row.target,
        backend=backend,
        device=row.device,
        batch_size=row.batch_size,
        profile=_profile(mine, calls_ms) if reason is None else Profile(call_ms=0.0, nodes=[], channels=[]),
        reference=_profile(reference, calls_ms) if comparable else None,
        same_model=mine.variant == reference.variant,
        limits=row.limits,
        peaks=record.peaks.get(row.target),
        isa=frozenset(record.machine.get("isa") or ()),
        threads=record.targets[row.target].threads,
        session=record.targets[row.target].session,
        device_time=row.device_ms,
        siblings=siblings,
        has_gpu=bool(record.machine.get("gpu")),
    )
    return explain(evidence) if reason is None else _without_profile(evidence, reason)


def _profile(subject: SubjectRecord, calls_ms: Mapping[str, float]) -> Profile:
    """In the time of the row's own median call, so that two profiles of different minutes can be compared."""
    return Profile.of(subject.profile or {}).scaled_to(calls_ms.get(subject.key))


def _with_outcomes(found: Explanation, outcomes: Mapping[str, Outcome]) -> Explanation:
    """With what the changes brought that were tried. What failed, or can't be typed, is not proposed."""
    causes = [_with_outcome(cause, outcomes.get(str(cause.change))) for cause in found.causes]
    return replace(found, causes=causes)


def _with_outcome(cause: Cause, outcome: Outcome | None) -> Cause:
    failed = outcome is not None and outcome.value is None
    if failed or (cause.change is not None and not can_be_typed(cause.change)):
        return replace(cause, change=None)
    return replace(cause, outcome=cause.outcome or outcome)


def explain(row: Evidence) -> Explanation:
    """The causes, those that take most of the call first, and the operators that lost most."""
    return Explanation(
        causes=sorted(causes_of(row), key=lambda cause: -(cause.share or 0.0)),
        operators=_operators(row.profile, row.reference),
        nodes=_nodes(row.profile, row.reference),
        between_ms=row.profile.between_ms,
        reference_between_ms=None if row.reference is None else row.reference.between_ms,
        providers=dict(Counter(node.provider for node in row.profile.nodes)),
    )


def causes_of(row: Evidence) -> Iterable[Cause]:
    """Every cause that the evidence supports."""
    return [cause for find in CAUSES for cause in find(row)]


def _operators(mine: Profile, theirs: Profile | None) -> list[OperatorTime]:
    counts = Counter(node.op for node in mine.nodes)
    found = []
    for op in dict.fromkeys(node.op for node in (*mine.nodes, *(theirs.nodes if theirs else ()))):
        own, other = (None if profile is None else _ms(profile, op) for profile in (mine, theirs))
        found.append(OperatorTime(op=op, nodes=counts[op], ms=own or 0.0, reference_ms=other))
    return sorted(found, key=lambda entry: (entry.reference_ms or 0.0) - entry.ms)


def _ms(profile: Profile, op: str) -> float:
    return sum(node.ms for node in profile.select({op}))


def _nodes(mine: Profile, theirs: Profile | None) -> list[NodeTime]:
    before = {node.name: node.ms for node in theirs.nodes} if theirs else {}
    found = [
        NodeTime(name=node.name, op=node.op, kernel=node.kernel, ms=node.ms, reference_ms=before.get(node.name))
        for node in mine.nodes
    ]
    lost = [node for node in found if node.ms > (node.reference_ms or 0.0)]
    return sorted(lost, key=lambda node: (node.reference_ms or 0.0) - node.ms)[:SHOWN_NODES]


def _without_profile(row: Evidence, reason: str) -> Explanation:
    causes = [cause for find in WITHOUT_PROFILE for cause in find(row)]
    return Explanation(
        causes=causes, operators=[], nodes=[], between_ms=0.0, reference_between_ms=0.0, providers={}, reason=reason
    )
