"""Why isn't it faster? A row's profile against its reference's, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pipeline.analyse.explain.causes import CAUSES, WITHOUT_PROFILE
from pipeline.analyse.explain.evidence import ON_CPU, Evidence, Profile, Sibling
from pipeline.errors.contained import Faults
from pipeline.results.change import can_be_typed
from pipeline.results.explanation import Cause, Explanation, NodeTime, OperatorTime, Outcome
from pipeline.results.figures import Reference, Speedup
from pipeline.results.record import Record, SubjectRecord, VariantRecord, subject_key
from pipeline.results.report import Result

SHOWN_NODES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run's rows, and what is known of them by their key."""

    record: Record
    rows: Mapping[str, list[Result]]
    """The rows, by variant."""
    subjects: Mapping[str, SubjectRecord]
    calls_ms: Mapping[str, float]
    """The median call of each row that was timed."""
    outcomes: Mapping[tuple[str, str], Outcome]
    """The outcomes of the changes that were tried, by the row and by what is typed."""


def with_explanations(record: Record, rows: Mapping[str, list[Result]], faults: Faults) -> dict[str, list[Result]]:
    """The rows by variant; each row that is to be explained (``measure.explain``) has its explanation."""
    run = _Run(
        record=record,
        rows=rows,
        subjects={subject.key: subject for subject in record.subjects},
        calls_ms={
            _key(name, row): row.latency_ms.p50.value
            for name, results in rows.items()
            for row in results
            if row.latency_ms is not None
        },
        outcomes={(trial.subject, trial.change): trial.outcome for trial in record.trials},
    )
    variants = {variant.name: variant for variant in record.variants}

    def contained(variant: VariantRecord, row: Result) -> Result:
        part = f"the explanation of {_key(variant.name, row)}"
        return faults.contain(part, lambda: _explained(run, variant, row), row)

    return {name: [contained(variants[name], row) for row in results] for name, results in rows.items()}


def _key(variant: str, row: Result | Reference) -> str:
    return subject_key(variant, row.target, row.batch_size)


def _explained(run: _Run, variant: VariantRecord, row: Result) -> Result:
    subject, asked, speedup = run.subjects[_key(variant.name, row)], run.record.measure.explain, row.speedup
    if asked == "none" or not (_fell_back(subject) or _in_question(speedup, asked)):
        return row
    # The reference itself has no speed-up: it is told where its operators ran, beside its own figures.
    itself = Reference(variant=variant.name, target=row.target, batch_size=row.batch_size)
    explanation = _explanation(run, variant, row, subject, speedup.reference if speedup else itself)
    if explanation is None:
        return row
    if speedup is not None and speedup.verdict == "SAME":
        explanation = replace(explanation, nodes=[])  # none has lost anything that could be told
    causes = [_settled(cause, run.outcomes.get((subject.key, str(cause.change)))) for cause in explanation.causes]
    return replace(row, explanation=replace(explanation, causes=causes))


def _settled(cause: Cause, outcome: Outcome | None) -> Cause:
    """The cause with what its change brought, where the change was tried. A change that failed, or that can't be typed,
    is not proposed."""
    failed = outcome is not None and outcome.value is None
    if failed or (cause.change is not None and not can_be_typed(cause.change)):
        return replace(cause, change=None)
    return replace(cause, outcome=cause.outcome or outcome)


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
    run: _Run, variant: VariantRecord, row: Result, subject: SubjectRecord, compared: Reference
) -> Explanation | None:
    record, reference = run.record, run.subjects.get(_key(compared.variant, compared))
    if subject.profile is None or reference is None or reference.profile is None:
        return None
    target = record.targets[row.target]
    comparable = target.backend == record.targets[reference.target].backend and "reason" not in reference.profile
    reason = subject.profile.get("reason")
    evidence = Evidence(
        variant=variant,
        target=row.target,
        backend=target.backend,
        device=row.device,
        batch_size=row.batch_size,
        profile=_profile(run, subject) if reason is None else Profile(call_ms=0.0, nodes=[], channels=[]),
        reference=_profile(run, reference) if comparable else None,
        same_model=subject.variant == reference.variant,
        limits=row.limits,
        peaks=record.peaks.get(row.target),
        isa=frozenset(record.machine.isa),
        threads=target.threads,
        session=target.session,
        call_ms=run.calls_ms.get(subject.key),
        device_time=row.device_ms,
        siblings=list(_siblings(run, variant, row, compared)),
        has_gpu=bool(record.machine.gpu),
    )
    return explain(evidence) if reason is None else _without_profile(evidence, reason)


def _siblings(run: _Run, variant: VariantRecord, row: Result, compared: Reference) -> Iterator[Sibling]:
    """The other variants' rows on the same target and batch size that have the same reference."""
    for other in run.record.variants:
        for result in run.rows.get(other.name, []):
            alike = (result.target, result.batch_size) == (row.target, row.batch_size)
            if other.name != variant.name and alike and result.speedup and result.speedup.reference == compared:
                yield Sibling(variant=other, speedup=result.speedup)


def _profile(run: _Run, subject: SubjectRecord) -> Profile:
    """The profile in the time of the row's own median call, so that two profiles of different minutes can be
    compared."""
    return Profile.of(subject.profile or {}).scaled_to(run.calls_ms.get(subject.key))


def explain(row: Evidence) -> Explanation:
    """The causes, the largest share of the call first, and the operators that lost most."""
    return Explanation(
        causes=sorted(causes_of(row), key=lambda cause: -(cause.share or 0.0)),
        operators=_operators(row.profile, row.reference),
        nodes=_nodes(row.profile, row.reference),
        between_ms=row.profile.between_ms,
        reference_between_ms=None if row.reference is None else row.reference.between_ms,
        providers=dict(Counter(node.provider for node in row.profile.nodes)),
    )


def causes_of(row: Evidence) -> Iterable[Cause]:
    """The causes that the evidence supports."""
    return [cause for find in CAUSES for cause in find(row)]


def _operators(row: Profile, reference: Profile | None) -> list[OperatorTime]:
    counts = Counter(node.op for node in row.nodes)
    ops = dict.fromkeys(node.op for node in (*row.nodes, *(reference.nodes if reference else ())))
    times = [
        OperatorTime(
            op=op, nodes=counts[op], ms=row.ms({op}), reference_ms=None if reference is None else reference.ms({op})
        )
        for op in ops
    ]
    return sorted(times, key=lambda entry: (entry.reference_ms or 0.0) - entry.ms)


def _nodes(row: Profile, reference: Profile | None) -> list[NodeTime]:
    before = {node.name: node.ms for node in reference.nodes} if reference else {}
    times = [
        NodeTime(name=node.name, op=node.op, kernel=node.kernel, ms=node.ms, reference_ms=before.get(node.name))
        for node in row.nodes
    ]
    lost = [node for node in times if node.ms > (node.reference_ms or 0.0)]
    return sorted(lost, key=lambda node: (node.reference_ms or 0.0) - node.ms)[:SHOWN_NODES]


def _without_profile(row: Evidence, reason: str) -> Explanation:
    causes = [cause for find in WITHOUT_PROFILE for cause in find(row)]
    return Explanation(
        causes=causes, operators=[], nodes=[], between_ms=0.0, reference_between_ms=0.0, providers={}, reason=reason
    )
