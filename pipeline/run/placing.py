"""Which machine times which target: this one, or a node of a cluster that the target names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from pipeline.execution import Local
from pipeline.plan import Plan, Target


def node_of(target: Target) -> str | None:
    """The name of the node that a target is timed on; None: this machine."""
    if not target.where:
        return None
    return "-".join(str(value) for value in target.where.values())


def by_node(plan: Plan) -> tuple[Plan, Mapping[str, Plan]]:
    """The plan of this machine's targets, and those of the nodes, by the nodes' names."""
    nodes = dict.fromkeys(name for target in plan.targets.values() if (name := node_of(target)) is not None)
    return _of(plan, None), {name: replace(_of(plan, name), tracking=None) for name in nodes}


def misplaced(plan: Plan) -> Iterator[str]:
    """What is wrong with where targets are to be timed, a line each."""
    execution = plan.execution or Local()
    nodes = [name for name, target in plan.targets.items() if target.where]
    for name in nodes:
        problem = execution.node_problem(plan.targets[name].where)
        if problem is not None:
            yield f"target.{name}.where: {problem}"
    if nodes and plan.search is not None:
        yield f"target.{nodes[0]}.where: a search times on this machine only: leave it out, or search on that machine"


def _of(plan: Plan, node: str | None) -> Plan:
    targets = {name: target for name, target in plan.targets.items() if node_of(target) == node}
    measure = plan.measure
    if measure.reference is not None and _is_elsewhere(measure.reference, targets):
        measure = replace(measure, reference=None)
    return replace(plan, targets=targets, measure=measure)


def _is_elsewhere(reference: str, targets: Collection[str]) -> bool:
    return reference.partition("@")[2] not in targets
