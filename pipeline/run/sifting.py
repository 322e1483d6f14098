"""What a search leaves out before any work, and what its trials are told apart by."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pipeline import __version__
from pipeline.artifact import Artifact
from pipeline.data.batches import Inputs, batch_of
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import UserError
from pipeline.errors.contained import contained
from pipeline.isolated import run
from pipeline.isolated.run import Starter
from pipeline.plan import BASELINE, Plan, Stage, Target, unavailable
from pipeline.results.search import LeftOut
from pipeline.run.build import Builder
from pipeline.run.building import limits_for
from pipeline.run.compare import fingerprint
from pipeline.run.identity import digest_of, identity_of
from pipeline.search.facts import Facts, Graph, facts_of, graph_of
from pipeline.search.rules import left_out
from pipeline.search.space import Candidate, candidate_key

logger = logging.getLogger(__name__)


def with_reference(plan: Plan) -> Plan:
    """The plan with one row that everything is compared with: the baseline on the first target that runs here.

    Raises UserError where none does.
    """
    if plan.measure.reference is not None:
        return plan
    for target in plan.targets.values():
        if unavailable(target) is None:
            return replace(plan, measure=replace(plan.measure, reference=f"{BASELINE}@{target.name}"))
    raise UserError("none of the selected targets runs here: type target=[ort_cpu]")


def sifted(plan: Plan, candidates: Sequence[Candidate], facts: Facts) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates that can be built and run here and that the rules leave, and the others with the reason. The
    reference is neither."""
    name, on = plan.measure.reference_for("")
    kept, left = [], []
    known: dict[str, str] = {}
    for candidate in candidates:
        first = known.setdefault(identity_of_candidate(candidate), candidate.key)
        if candidate.key == candidate_key(name, on):
            continue
        reason = left_out(candidate, facts, rules=plan.searched.rules) or _elsewhere(candidate, plan.targets[on])
        if reason is None and first != candidate.key:
            reason = f"it is the chain of {first} under another name"
        if reason is None:
            kept.append(candidate)
        else:
            left.append(LeftOut(variant=candidate.variant.name, target=candidate.target.name, reason=reason))
    return kept, left


def learnt(plan: Plan, baseline: Artifact, sample: Inputs, start: Starter) -> Facts:
    """What the rules go by; ``sample`` is one example as the model reads it, and ``start`` makes the process that reads
    the model."""
    shapes = {name: array.shape for name, array in batch_of(sample, 1).items()}
    graph: Graph | None = contained(
        "the facts of the model's graph",
        lambda: run(graph_of, baseline, shapes, limits=limits_for(plan), start=start),
        _unknown,
    )
    return facts_of(plan, graph)


def _unknown(reason: str) -> None:
    logger.warning("%s: the rules that go by it leave nothing out", reason)


def _elsewhere(candidate: Candidate, reference: Target) -> str | None:
    device, own = reference.device, candidate.target
    if own.device == device:
        return None
    return (
        f"a search times on one device, its reference's ({device}): type measure.reference={BASELINE}@{own.name} to "
        f"search on {own.device}"
    )


def identity_of_search(plan: Plan, builder: Builder, splits: Mapping[SplitName, Split]) -> str:
    """The digest of all that a trial depends on beside its candidate: what another search would see otherwise."""
    return digest_of(
        {
            "version": __version__,
            "model": builder.source().artifact.digest,
            "data": {name: split.digest() for name, split in splits.items() if name != "test"},
            "preprocessing": {name: spec.to_dict() for name, spec in plan.model.preprocessing.items()},
            "metric": identity_of(plan.metric),
            "machine": fingerprint(plan),
            "measure": asdict(plan.measure),
            "constraints": asdict(plan.constraints),
            "batch_size": plan.batch_sizes[0],
            "seed": plan.seed,
        }
    )


def identity_of_candidate(candidate: Candidate) -> str:
    """The digest of a chain and a target, whatever their names."""
    target = candidate.target
    return digest_of(
        {
            "stages": [_stage(stage) for stage in candidate.variant.stages.values()],
            "target": {
                "backend": identity_of(target.backend),
                "device": target.device,
                "threads": target.threads,
                "session": dict(target.session),
            },
        }
    )


def _stage(stage: Stage) -> Mapping[str, Any]:
    return {**identity_of(stage), "version": stage.version}
