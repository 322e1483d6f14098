"""Makes an ONNX graph clean, in the form that every stage expects: named, sorted, declared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifact.onnx_graph import (
    MAIN_DOMAINS,
    all_graphs,
    all_nodes,
    fed_inputs,
    inner_graphs,
    shape_of,
    sort_nodes,
)
from pipeline.errors import StageFailed
from pipeline.importing.declared import drop_wrong_shapes
from pipeline.results.numbers import counted

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

OPSET = 13
"""The first opset with Q/DQ per channel, which 8-bit quantization uses."""
_IR_VERSION = 7
"""The format version of opset 13; from 4 on, weights are no inputs."""
_DOMAINS: Mapping[str, int] = {"com.microsoft": 1, "ai.onnx.ml": 3}
"""Versions of domains that runtimes know without a declaration."""


def clean(model: onnx.ModelProto) -> list[str]:
    """Mend a graph in place and say what was mended, a sentence each; it computes the same afterwards."""
    return [note for mend in MENDS if (note := mend(model)) is not None]


def raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A clean copy of the model at ``OPSET``; raises the errors of ONNX's version converter."""
    from onnx import version_converter

    converted = version_converter.convert_version(model, OPSET)
    clean(converted)
    return converted


def _inline_functions(model: onnx.ModelProto) -> str | None:
    """Put functions in place of their calls, at the model's opset; where ONNX can't, they stay, and run."""
    from onnx import inliner
    from onnx.shape_inference import InferenceError

    names = [function.name for function in model.functions]
    if not names:
        return None
    try:
        inlined = inliner.inline_local_functions(_with_types(model), convert_version=True)
    except (RuntimeError, ValueError, InferenceError) as error:
        logger.info("the functions %s stay: %s", ", ".join(names), error)
        return None
    weights = {tensor.name for tensor in inlined.graph.initializer}
    for value in [value for value in inlined.graph.value_info if value.name in weights]:
        inlined.graph.value_info.remove(value)
    model.CopyFrom(inlined)
    return f"the functions {', '.join(names)} were put in place of their calls"


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the types of all values and weights, which converting a function to another opset asks for."""
    from onnx import helper, shape_inference

    typed = shape_inference.infer_shapes(model)
    typed.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in typed.graph.initializer
    )
    return typed


def _declare_domains(model: onnx.ModelProto) -> str | None:
    """Give ONNX's own domain its short name, and declare the domains that are not."""
    from onnx.helper import make_opsetid

    for node in all_nodes(model.graph):
        node.domain = "" if node.domain in MAIN_DOMAINS else node.domain
    declared: dict[str, int] = {}
    for entry in model.opset_import:
        declared.setdefault("" if entry.domain in MAIN_DOMAINS else entry.domain, entry.version)
    used = {node.domain for node in all_nodes(model.graph)}
    missing = sorted(domain for domain in used & _DOMAINS.keys() if domain not in declared)
    declared |= {domain: _DOMAINS[domain] for domain in missing}
    del model.opset_import[:]
    model.opset_import.extend(make_opsetid(domain, version) for domain, version in declared.items())
    return f"the domains {', '.join(missing)} were not declared" if missing else None


def _raise_ir(model: onnx.ModelProto) -> str | None:
    if model.ir_version >= _IR_VERSION:
        return None
    before, model.ir_version = model.ir_version, _IR_VERSION
    return f"the file's format is {_IR_VERSION} now (ir_version, it was {before})"


def lower_ir(model: onnx.ModelProto) -> str | None:
    """Give a file that is newer than its operators the oldest format that has them, because runtimes refuse newer
    ones."""
    from onnx.helper import find_min_ir_version_for

    lowest = max(_IR_VERSION, find_min_ir_version_for(list(model.opset_import), ignore_unknown=True))
    if model.ir_version <= lowest:
        return None
    before, model.ir_version = model.ir_version, lowest
    return f"the file's format is {lowest} now (ir_version, it was {before})"


def _drop_weights_from_inputs(model: onnx.ModelProto) -> str | None:
    fed = fed_inputs(model.graph)
    dropped = len(model.graph.input) - len(fed)
    if not dropped:
        return None
    kept = [value.SerializeToString() for value in fed]
    del model.graph.input[:]
    for value in kept:
        model.graph.input.add().ParseFromString(value)
    return f"{counted(dropped, 'weight')} stood among the inputs"


def _fill_sparse(model: onnx.ModelProto) -> str | None:
    filled = 0
    for graph in all_graphs(model.graph):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse, sparse.values.name))
            filled += 1
        del graph.sparse_initializer[:]
    return f"{counted(filled, 'sparse weight')} became dense" if filled else None


def _fold_constants(model: onnx.ModelProto) -> str | None:
    """Constant nodes become weights, where their result is no output of its graph."""
    folded = 0
    for graph in all_graphs(model.graph):
        outputs = {value.name for value in graph.output}
        for node in [node for node in graph.node if node.op_type == "Constant" and not node.domain]:
            tensor = None if node.output[0] in outputs else _value(node)
            if tensor is not None:
                graph.initializer.append(tensor)
                graph.node.remove(node)
                folded += 1
    return f"{counted(folded, 'Constant node')} became weights" if folded else None


def _value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """What a Constant node gives, under the name of its result."""
    from onnx import helper, numpy_helper

    attribute = node.attribute[0]
    name = node.output[0]
    if attribute.name == "value":
        tensor = type(attribute.t)()
        tensor.CopyFrom(attribute.t)
        tensor.name = name
        return tensor
    if attribute.name == "sparse_value":
        return _dense(attribute.sparse_tensor, name)
    value: Any = helper.get_attribute_value(attribute)
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if attribute.name in kinds:
        return numpy_helper.from_array(np.asarray(value, kinds[attribute.name]), name)
    return None


def _dense(sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    """A sparse tensor in full: its indices count in the flat tensor [nnz], or in each axis [nnz, rank]."""
    from onnx import numpy_helper

    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    full = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        full.reshape(-1)[indices] = values
    else:
        full[tuple(indices.T)] = values
    return numpy_helper.from_array(full, name)


def _name_nodes(model: onnx.ModelProto) -> str | None:
    nodes = list(all_nodes(model.graph))
    taken = {node.name for node in nodes if node.name}
    seen: set[str] = set()
    unnamed = doubled = 0
    for node in nodes:
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        unnamed, doubled = unnamed + (not node.name), doubled + bool(node.name)
        node.name = _free(node.name or node.op_type, taken)
        seen.add(node.name)
    parts = [f"{counted(unnamed, 'node')} had no name"] if unnamed else []
    parts += [f"{counted(doubled, 'node')} had another's name"] if doubled else []
    return ", ".join(parts) or None


def _rename_inner_values(model: onnx.ModelProto) -> str | None:
    """A name that two graphs give to different values stays with the first: stages look values up by name alone."""
    taken = set(_defined(model.graph))
    renamed = sum(_rename_inside(inner, taken, {}) for inner in _directly_inside(model.graph))
    return f"{counted(renamed, 'value')} inside branches or loops had another's name" if renamed else None


def _rename_inside(graph: onnx.GraphProto, taken: set[str], outer: Mapping[str, str]) -> int:
    own = dict.fromkeys(_defined(graph))
    fresh = {name: _free(name, taken) for name in own if name in taken}
    taken.update(own)
    names = {**{name: other for name, other in outer.items() if name not in own}, **fresh}
    for node in graph.node:
        for values in (node.input, node.output):
            for position, name in enumerate(values):
                values[position] = names.get(name, name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return len(fresh) + sum(_rename_inside(inner, taken, names) for inner in _directly_inside(graph))


def _defined(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (name for node in graph.node for name in node.output if name)


def _directly_inside(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    return (inner for node in graph.node for inner in inner_graphs(node))


def _sort_nodes(model: onnx.ModelProto) -> str | None:
    try:
        moved = sort_nodes(model.graph)
    except StageFailed as error:  # a cycle: no order is right, and the runtime says so
        logger.info("%s", error)
        return None
    return "nodes stood before what they read" if moved else None


def _drop_impossible_sizes(model: onnx.ModelProto) -> str | None:
    """A size of 0 or below stands for a free one in some converters' files."""
    freed = 0
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if shape_of(value) is None:
            continue
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value <= 0:
                size.ClearField("dim_value")
                freed += 1
    _name_free_axes(model)
    return f"{counted(freed, 'size')} of 0 or -1 in declared shapes mean any size" if freed else None


def _name_free_axes(model: onnx.ModelProto) -> None:
    """Give free axes of the inputs names of their own, so that sizes that follow from them are known to be free."""
    for value in fed_inputs(model.graph):
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if not size.HasField("dim_value") and not size.dim_param:
                size.dim_param = f"{value.name}_{axis}"


def _free(wanted: str, taken: set[str]) -> str:
    """A name that is not taken, like the one wanted; it is taken from now on."""
    name = next(name for number in count() if (name := f"{wanted}_{number}") not in taken)
    taken.add(name)
    return name


MENDS: tuple[Callable[[onnx.ModelProto], str | None], ...] = (
    _inline_functions,
    _declare_domains,
    _raise_ir,
    _drop_weights_from_inputs,
    _fill_sparse,
    _fold_constants,
    _rename_inner_values,
    _name_nodes,
    _sort_nodes,
    _drop_impossible_sizes,
    drop_wrong_shapes,
)
