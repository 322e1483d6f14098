"""Times targets on the machines that they are about: nodes of a cluster, each alone, with a baseline and checks of its
own.

What a node measures is a whole run's record: its rows in the same rounds, its clone, its machine. It stands beside this
machine's rows as a kit's samples do, and nothing is compared across machines.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.artifact.store import key_of
from pipeline.data.dataset import Split
from pipeline.data.handed import handed
from pipeline.data.steps import carry_in
from pipeline.errors import SlimlineError
from pipeline.errors.contained import Faults
from pipeline.folders.locks import InUse
from pipeline.measure.outputs import OutputAxes
from pipeline.plan import PlacedCall, Places, Plan
from pipeline.results.map import VariantMap
from pipeline.results.record import NODES, SAMPLES, Record, save_record
from pipeline.run.building import Said, limits_for
from pipeline.run.built import Built
from pipeline.run.making import stored
from pipeline.run.measure import measure
from pipeline.run.progress import ProgressDisplay
from pipeline.run.recorded import make_record
from pipeline.run.spread import Together
from pipeline.store import StorePlace, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOrder:
    """What a node is to measure. Its models are named by their keys: paths differ from node to node."""

    plan: Plan
    built: Mapping[str, Built]
    keys: Mapping[Path, str]
    """The keys of the models, by their paths on the machine that asks."""
    store: StorePlace
    test: Split
    output_axes: OutputAxes | None


def measure_nodes(
    plans: Mapping[str, Plan],
    places: Places,
    built: Mapping[str, Built],
    test: Split,
    display: ProgressDisplay,
    output_axes: OutputAxes | None,
    faults: Faults,
) -> dict[str, Record]:
    """The records of the nodes, by name, which are written beside the run's own samples. All nodes measure at the same
    time; one that fails is told in ``faults``."""
    if not plans:
        return {}

    together = Together(display, len(plans), label="measuring on nodes")

    def measured(name: str) -> Record:
        plan = plans[name]
        display.say(f"  measuring on {name}: {', '.join(plan.targets)}")

        def hear(said: Said) -> None:
            done, step = said
            together(name, 0.0, f"{step} {done:.0%}")

        where = next(iter(plan.targets.values())).where
        order = _order(plan, built, test, output_axes)
        call = PlacedCall(function=measure_there, arguments=(order,), limits=limits_for(plan), hear=hear, where=where)
        record = places.run(call)
        save_record(record, plan.output / SAMPLES / NODES / name)  # kept, however the run goes on
        together(name, 1.0, f"measured, {record.machine.cpu}")
        return record

    with ThreadPoolExecutor(len(plans), thread_name_prefix="node") as threads:
        orders = {name: threads.submit(measured, name) for name in plans}
        try:
            found = {name: faults.contain(f"the rows of {name}", one.result, None) for name, one in orders.items()}
        except BaseException:
            places.end()
            raise
    return {name: record for name, record in found.items() if record is not None}


def as_own(
    plan: Plan, plans: Mapping[str, Plan], records: dict[str, Record], maps: Sequence[VariantMap], notes: Sequence[str]
) -> tuple[Plan, Record]:
    """Where this machine times nothing, the first node that has measured stands for it: its plan, and its record, which
    becomes the run's own. The others stay beside it.

    Raises SlimlineError where none has measured.
    """
    if not records:
        raise SlimlineError(f"no node has measured anything: {', '.join(plans)}")
    name = next(iter(records))
    record = records.pop(name)
    record = replace(record, notes=[*notes, *record.notes], maps=list(maps))
    save_record(record, plan.output / SAMPLES)
    shutil.rmtree(plan.output / SAMPLES / NODES / name)
    return replace(plans[name], tracking=plan.tracking), record


def _order(plan: Plan, built: Mapping[str, Built], test: Split, output_axes: OutputAxes | None) -> NodeOrder:
    whole = carry_in(plan.data) is not None
    data = plan.data if whole else handed(plan.data, frozenset({"test"}), frozenset({"calibration"}), 1)
    return NodeOrder(
        plan=replace(plan, data=data, execution=None),
        built=built,
        keys={artifact.path: key_of(artifact) for item in built.values() for artifact in item.artifacts},
        store=plan.store.for_nodes(),
        test=test,
        output_axes=output_axes,
    )


def measure_there(order: NodeOrder, *, say: Callable[[Said], None]) -> Record:
    """Measure on this node, as a run on it would; returns the whole record. Raises WorkerFailed for a missing model."""
    with (
        InUse() as in_use,
        ProgressDisplay(Console(quiet=True), lambda label, done, text: say((done, label))) as display,
    ):
        store = open_store(order.store, in_use)
        there = {path: stored(order.store, store, key) for path, key in order.keys.items()}
        built = {name: _moved(item, there) for name, item in order.built.items()}
        measured = measure(order.plan, built, order.test, display, order.output_axes)
        return make_record(order.plan, built, measured)


def _moved(item: Built, there: Mapping[Path, Artifact]) -> Built:
    artifacts = [there[artifact.path] for artifact in item.artifacts]
    path = str(artifacts[-1].path) if artifacts else item.record.path
    return replace(item, artifacts=artifacts, record=replace(item.record, path=path))
