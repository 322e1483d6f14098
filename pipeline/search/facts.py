"""What a search knows before it builds a candidate: the model's graph, the data, the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact, Format
from pipeline.artifact.count import constants_of, known_tensors, macs_by_node
from pipeline.artifact.onnx_graph import fed_shapes
from pipeline.artifact.onnx_sizes import set_free_sizes
from pipeline.data.dataset import Dataset, SplitName
from pipeline.data.fitted import original
from pipeline.data.noise import Noise
from pipeline.errors import NoExamples
from pipeline.machine.environment import isa
from pipeline.plan import Plan, unavailable
from pipeline.plan.chains import misfit
from pipeline.plan.hints import requires
from pipeline.stages.quantization.nodes import has_attention
from pipeline.stages.quantization.preparation import why_quantized

if TYPE_CHECKING:
    import onnx

_LAYER_NORMS = frozenset(
    {"LayerNormalization", "SkipLayerNormalization", "RMSNormalization"}
    | {"SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What an ONNX graph tells about the work of a model. Shares are fractions; None: it can't be told."""

    convolutions: float | None
    """The convolutions' share of the multiply-accumulates."""
    products: float | None
    """The share of matrix products with constant weights."""
    product_weights: float
    """The share of the weights' elements that such products read."""
    attention: bool
    normalizes: bool
    """Whether it has layer normalizations."""
    quantized: bool
    free: bool
    """Whether an axis of an input takes any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules go by."""

    source: Format
    """The format of the model that the chains start from."""
    graph: Graph | None
    """The baseline's graph; None where the baseline is no ONNX model."""
    isa: frozenset[str]
    splits: Mapping[SplitName, int]
    """How many examples the splits have; one that is empty is not there."""
    drawn: bool = False
    """Whether the examples are random values."""
    labels: bool
    batch_sizes: tuple[int, ...]
    missing: frozenset[str] = frozenset()
    """The packages that stages need and that are not installed."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Why targets can't run here, by name."""


def facts_of(plan: Plan, graph: Graph | None) -> Facts:
    """The facts of a plan; ``graph`` is its baseline's. Reads the splits that stages read which fit the model."""
    fitting = [variant for variant in plan.variants.values() if misfit(variant, plan.model.format) is None]
    stages = [stage for variant in fitting for stage in variant.stages.values()]
    return Facts(
        source=plan.model.format,
        graph=graph,
        isa=isa(),
        splits=_splits(plan.data, {split for stage in stages for split in stage.reads}),
        drawn=isinstance(original(plan.data), Noise),
        labels=plan.data.split("test").labels is not None,
        batch_sizes=tuple(plan.batch_sizes),
        missing=frozenset(name for stage in stages for name in requires(stage) if find_spec(name) is None),
        unavailable={
            name: reason for name, target in plan.targets.items() if (reason := unavailable(target)) is not None
        },
    )


def graph_of(artifact: Artifact, sizes: Mapping[str, Sequence[int]]) -> Graph | None:
    """What an ONNX model's graph tells; None for a model in another format. ``sizes`` has the shape of one example's
    call by input, from which the free axes take their sizes."""
    if artifact.format != "onnx":
        return None
    import onnx

    model = onnx.load(artifact.onnx_path, load_external_data=False)
    shapes = fed_shapes(model)
    set_free_sizes(model, sizes, shapes)
    constants = constants_of(model)
    weighted = [node for node in model.graph.node if _is_weighted(node, constants)]
    convolutions, products = _shares(model, weighted)
    return Graph(
        convolutions=convolutions,
        products=products,
        product_weights=_weight_share(weighted, constants),
        attention=has_attention(model),
        normalizes=any(node.op_type in _LAYER_NORMS for node in model.graph.node),
        quantized=why_quantized(model) is not None,
        free=any(shape is None or None in shape for shape in shapes.values()),
    )


def _is_weighted(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node is a matrix product with constant weights."""
    return node.op_type in ("MatMul", "Gemm") and node.input[1] in constants


def _shares(model: onnx.ModelProto, weighted: Sequence[onnx.NodeProto]) -> tuple[float | None, float | None]:
    """The shares of convolutions, and of weighted products, in the multiply-accumulates."""
    macs = macs_by_node(model, known_tensors(model, constants_of(model)))
    total = sum(cost for _, cost in macs or [])
    if macs is None or not total:
        return None, None
    names = {node.output[0] for node in weighted}
    convolutions = sum(cost for node, cost in macs if "Conv" in node.op_type)
    return convolutions / total, sum(cost for node, cost in macs if node.output[0] in names) / total


def _weight_share(weighted: Sequence[onnx.NodeProto], constants: Mapping[str, onnx.TensorProto]) -> float:
    total = sum(prod(tensor.dims) for tensor in constants.values())
    return sum(prod(constants[name].dims) for name in {node.input[1] for node in weighted}) / max(total, 1)


def _splits(data: Dataset, names: set[SplitName]) -> Mapping[SplitName, int]:
    found: dict[SplitName, int] = {}
    for name in names:
        with suppress(NoExamples):
            if count := len(data.split(name)):
                found[name] = count
    return found
