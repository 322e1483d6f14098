"""Makes a variant's map: its graph beside the baseline's, with the error in each place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.artifact.openvino_model import write_converted
from pipeline.data.batches import Inputs
from pipeline.errors import SlimlineError, StageFailed, reasoned
from pipeline.measure.map.blocks import blocks
from pipeline.measure.map.errors import Compared, compare
from pipeline.measure.map.graph import Graph
from pipeline.measure.map.makers import Written, makers
from pipeline.measure.map.openvino_graph import read_layers
from pipeline.measure.map.openvino_watching import OpenVinoModel
from pipeline.measure.map.places import edges, owners
from pipeline.measure.map.watching import OnnxModel, Watchable
from pipeline.results.map import MapNode, MapPlace, VariantMap

if TYPE_CHECKING:
    import onnx

MOST_NODES = 6000
"""A larger graph is not drawn."""
LIMIT_S = 6.0
"""No further example is run once a variant's examples have taken so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A model of a variant's chain, and the stages that it came from, joined by ``+``."""

    artifact: Artifact
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTask:
    """A variant to map."""

    variant: str
    baseline: Artifact
    chain: Sequence[Step]
    """The models of its chain in ONNX and in OpenVINO's own format, from the first one on that no stage made a PyTorch
    model of."""
    reference: int | None
    """The model of the chain that errors are taken against, by its number; None: the baseline."""
    examples: Inputs
    limit_s: float = LIMIT_S


def mapped(task: MapTask) -> VariantMap:
    """The map, without times. Raises StageFailed where a graph is too large, or shares no value with the baseline's."""
    baseline = _onnx(task.baseline)
    models: list[Watchable] = []
    written: list[Written] = []
    before: Artifact | None = None
    for step in task.chain:
        # A chain begins with the baseline's own file as a rule: it is held in memory once.
        model = baseline if step.artifact.path == task.baseline.path else _watchable(step.artifact, baseline.graph)
        if before is not None and (before.format, step.artifact.format) == ("onnx", "openvino"):
            written.append(Written(graph=_converted(before, baseline.graph), stage=None))
        models.append(model)
        written.append(Written(graph=model.graph, stage=step.stage))
        before = step.artifact
    variant, reference = models[-1], baseline if task.reference is None else models[task.reference]
    against = "baseline" if task.reference is None else f"the model after {task.chain[task.reference].stage}"
    bare = VariantMap(variant=task.variant, against=against)
    compared: Compared | None = None
    failures: list[SlimlineError] = []
    with reasoned(failures.append):  # the graphs can be shown all the same
        compared = compare(reference, variant, task.examples, task.limit_s)
    floats = None if compared is None else compared.floats
    places = _places(baseline.graph, variant.graph, floats, makers(baseline.graph, written))
    if compared is None:
        bare = replace(bare, why_no_error=str(failures[0]))
    else:
        places = [_measured(place, places, compared) for place in places]
        bare = replace(bare, examples=compared.examples, why_no_error=_why_no_error(places, compared))
    return replace(bare, places=places)


def _watchable(artifact: Artifact, baseline: Graph) -> Watchable:
    if artifact.format == "onnx":
        return _onnx(artifact)
    layers = read_layers(artifact.path, baseline.live)
    return OpenVinoModel(artifact=artifact, graph=_small(layers.graph), ports=layers.ports)


def _onnx(artifact: Artifact) -> OnnxModel:
    import onnx

    return OnnxModel(graph=_small(Graph(onnx.load(artifact.onnx_path))))


def _converted(source: Artifact, baseline: Graph) -> Graph:
    """An ONNX model's graph in OpenVINO's own format."""
    with TemporaryDirectory(prefix="slimline-map-") as folder:
        write_converted(source, Path(folder))
        return read_layers(Path(folder), baseline.live).graph


def _small(graph: Graph) -> Graph:
    if len(graph.nodes) > MOST_NODES:
        raise StageFailed(f"its graph has {len(graph.nodes):,} nodes, and a map is drawn of {MOST_NODES:,} at most")
    return graph


def _places(baseline: Graph, variant: Graph, floats: frozenset[str] | None, stages: dict[str, str]) -> list[MapPlace]:
    tensors = shared(baseline, variant, floats)
    if all(name in baseline.fed for name in tensors):
        raise StageFailed("no value of its graph has the name of one of the baseline's")
    numbers = {name: place for place, name in enumerate(tensors)}
    before, after = owners(baseline, numbers), owners(variant, numbers)
    inside = blocks(baseline, tensors, before)
    reads = edges(baseline, numbers, before)
    own = _by_place(baseline, before, len(tensors), {})
    theirs = _by_place(variant, after, len(tensors), stages)
    return [
        MapPlace(tensor=name, block=inside[place], reads=reads[place], before=own[place], after=theirs[place])
        for name, place in numbers.items()
    ]


def shared(baseline: Graph, variant: Graph, floats: frozenset[str] | None) -> list[str]:
    """The values that have a place: what is fed, and what nodes of both make of it in floating point, in the
    baseline's order. ``floats`` names the latter, as far as that was seen; None: the operators tell it."""
    both = [name for name in baseline.live if name in variant.live]
    if floats is not None:
        return [name for name in both if name in floats or name in baseline.fed]
    whole = {name for node in baseline.nodes if node.op_type in _WHOLE for name in node.output}
    return [name for name in both if name not in whole]


_WHOLE = frozenset({"Shape", "Size", "ArgMax", "ArgMin", "NonZero", "Not", "And", "Or", "Equal", "Greater", "Less"})
"""Operators whose results are never in floating point."""


def _by_place(graph: Graph, owned: Sequence[int | None], count: int, stages: dict[str, str]) -> list[list[MapNode]]:
    found: list[list[MapNode]] = [[] for _ in range(count)]
    for node, place in zip(graph.nodes, owned, strict=True):
        if place is not None:
            found[place].append(_node(node, stages))
    return found


def _node(node: onnx.NodeProto, stages: dict[str, str]) -> MapNode:
    made = node.output[0] if node.output else ""
    return MapNode(name=node.name, op=node.op_type, makes=made, stage=stages.get(made, ""))


def _measured(place: MapPlace, places: Sequence[MapPlace], compared: Compared) -> MapPlace:
    """The place with its errors; its own one is known where all that it reads could be given to it."""
    found = compared.errors.get(place.tensor)
    if found is None:
        return replace(place, reason=compared.reasons.get(place.tensor))
    inputs = [places[number] for number in place.reads]
    given = all(
        one.tensor in compared.errors or (not one.before and one.tensor not in compared.floats) for one in inputs
    )
    return replace(
        place,
        sqnr_db=found.sqnr_db,
        own_sqnr_db=found.own_sqnr_db if given else None,
        before_range=found.before,
        after_range=found.after,
    )


def _why_no_error(places: Sequence[MapPlace], compared: Compared) -> str | None:
    """Why no place has an error of its own; None where one has."""
    if any(place.own_sqnr_db is not None for place in places):
        return None
    if compared.reasons:
        return "its tensors have other shapes, as its layers have other sizes"
    return "its graph shares no value with the one that errors are taken against"
