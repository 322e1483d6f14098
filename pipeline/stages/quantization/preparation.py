"""Makes a model ready for the quantizers of ONNX Runtime."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.artifact.agreement import unlike
from pipeline.artifact.onnx_graph import all_nodes, opset
from pipeline.artifact.onnx_rewriting import drop_unused, expose_inner_reads, name_nodes, trim_inputs, write
from pipeline.artifact.run import run
from pipeline.errors import Skipped, StageFailed, first_line
from pipeline.importing.clean import OPSET, raised
from pipeline.libraries.muted import saves_in
from pipeline.plan import Context
from pipeline.stages.graphs.library import is_large, library_call
from pipeline.stages.quantization.products import plain_gemms, separate_constants

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

_COMPARED = 8
"""Examples, to see whether a newer opset gives the same."""
_SAME = 1e-2
"""Largest difference, of the largest value, that rounding explains, in float16 too."""
_QUANTIZED = ("DequantizeLinear", "MatMulNBits", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "QGemm")


def require_float(model: onnx.ModelProto, but: Sequence[str] = ()) -> None:
    """Raise Skipped where a model is already quantized (``why_quantized``)."""
    why = why_quantized(model, but)
    if why is not None:
        raise Skipped(why)


def why_quantized(model: onnx.ModelProto, but: Sequence[str] = ()) -> str | None:
    """What tells that a model is already quantized, in the graphs within its nodes, too; None where it is not.
    Operators that don't matter (``but``) are left out."""
    kinds = [node.op_type for node in all_nodes(model.graph)]
    found = Counter(kind for kind in kinds if kind not in but and (kind in _QUANTIZED or kind.startswith("QLinear")))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    return f"the model is already quantized ({told})" if found else None


def prepare(source: Artifact, context: Context, *, optimized: bool = True) -> Path:
    """A copy of the model in the stage's folder, in the form that ONNX Runtime's quantizers want.

    Where ``optimized``, all shapes are inferred, constants folded, and batch normalization is in the convolutions
    (``onnxruntime.quantization.shape_inference.quant_pre_process``). Every node has a name. A value that graphs within
    nodes read has a reader in the main graph. Every Gemm is a plain one. No product shares a constant that it can't
    share when quantized. The opset is at least 13; where it can't be raised, a note says so. Raises StageFailed where
    the library can't follow the model.
    """
    import onnx

    work = context.work
    path = _optimized(source, work) if optimized else source.onnx_path
    model = onnx.load(path)
    if opset(model) < OPSET:
        model = _raised(model, source, context)
    _fold_casts(model)
    trim_inputs(model)
    name_nodes(model)
    expose_inner_reads(model)
    plain_gemms(model)
    separate_constants(model)
    prepared = work / f"prepared{'' if optimized else '-plainly'}.onnx"
    location = f"{prepared.name}.data"
    (work / location).unlink(missing_ok=True)  # or it would be appended to
    onnx.save(model, prepared, save_as_external_data=is_large(source), location=location)
    return prepared


def _optimized(source: Artifact, work: Path) -> Path:
    """Symbolic shape inference stops at some valid models, with all kinds of errors: they are prepared without it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from onnxruntime.tools import symbolic_shape_infer

    path = work / "optimized.onnx"

    def attempt(symbolic: bool) -> None:
        quant_pre_process(
            source.onnx_path, path, skip_symbolic_shape=not symbolic, save_as_external_data=is_large(source)
        )

    with library_call(work), saves_in(sys.modules[symbolic_shape_infer.__name__], work):
        try:
            attempt(symbolic=True)
        except Exception as first:  # noqa: BLE001 - the library raises what it likes, and the second attempt decides
            logger.info("%s: prepared without symbolic shape inference: %s", source.path, first_line(first))
            try:
                attempt(symbolic=False)
            except Exception as error:
                raise StageFailed(f"the model could not be prepared for quantization: {first_line(error)}") from error
    return path


def _raised(model: onnx.ModelProto, source: Artifact, context: Context) -> onnx.ModelProto:
    """The model at the opset that scales for each channel need, or as it is where that gives something else."""
    import onnx

    before = opset(onnx.load(source.onnx_path, load_external_data=False))
    try:
        newer = raised(model)
        reason = _unlike(newer, source, context)
    except Exception as error:  # noqa: BLE001 - the converter raises what it likes
        reason = first_line(error)
    if reason is not None:
        context.note("opset", f"{before}, and it can't be raised to {OPSET}: {reason}")
        return model
    context.note("opset", f"raised from {before} to {OPSET}, which scales for each channel need")
    return newer


def _unlike(model: onnx.ModelProto, source: Artifact, context: Context) -> str | None:
    """How the model differs from the source on a few examples; None where it does not."""
    folder = context.work / "raised"
    folder.mkdir(parents=True, exist_ok=True)
    write(model, folder, is_large(source))
    feed = context.sample(_COMPARED)
    return unlike(run(source, feed), run(Artifact(folder, "onnx", ""), feed), _SAME)


def _fold_casts(model: onnx.ModelProto) -> None:
    """Cast constants here: ONNX Runtime's CPU provider puts casts before the weights of a model in half precision, and
    the quantizers look for weights beside their readers."""
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in constants]:
        wanted = next(entry.i for entry in node.attribute if entry.name == "to")
        if wanted not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            continue
        values = numpy_helper.to_array(constants[node.input[0]])
        graph.initializer.append(
            numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(wanted)), node.output[0])
        )
        graph.node.remove(node)
    drop_unused(model)
