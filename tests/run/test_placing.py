"""Targets that are timed on nodes of a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.execution import Ray, Slurm
from pipeline.plan import Execution, Plan, SearchSettings, Target
from pipeline.run.placing import by_node, misplaced
from tests.example import plan

XEON = Target(name="xeon", backend=OnnxRuntime(), where={"resource": "amx"})


def placed(folder: Path, *targets: Target, execution: Execution | None = None) -> Plan:
    chosen = plan(folder, {"baseline": {}}, targets={target.name: target for target in targets})
    return replace(chosen, execution=execution)


def test_each_machine_has_a_plan_with_its_own_targets_and_reference(tmp_path: Path) -> None:
    here = Target(name="here", backend=OnnxRuntime())
    chosen = placed(tmp_path, here, XEON, replace(XEON, name="xeon_again"), execution=Ray())
    chosen = replace(chosen, measure=replace(chosen.measure, reference="baseline@here"))
    home, nodes = by_node(chosen)
    assert list(home.targets) == ["here"]
    assert home.measure.reference == "baseline@here"
    assert {name: list(one.targets) for name, one in nodes.items()} == {"amx": ["xeon", "xeon_again"]}
    assert nodes["amx"].measure.reference is None
    assert list(misplaced(chosen)) == []


def test_without_nodes_the_plan_stays_as_it_is(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}})
    assert by_node(chosen) == (chosen, {})
    assert list(misplaced(chosen)) == []


def test_a_target_that_can_not_be_timed_where_it_should_is_told_with_what_to_type(tmp_path: Path) -> None:
    here = Target(name="here", backend=OnnxRuntime())
    assert list(misplaced(placed(tmp_path, here, XEON))) == [
        "target.xeon.where: there is this machine only: type execution=ray or execution=slurm"
    ]
    assert list(misplaced(placed(tmp_path, here, XEON, execution=Slurm()))) == [
        "target.xeon.where: there is no resource: type such as slurm_nodelist: node7, or slurm_constraint: amx"
    ]
    assert list(misplaced(placed(tmp_path, XEON, execution=Ray()))) == []
    searching = replace(placed(tmp_path, here, XEON, execution=Ray()), search=SearchSettings())
    assert list(misplaced(searching)) == [
        "target.xeon.where: a search times on this machine only: leave it out, or search on that machine"
    ]
