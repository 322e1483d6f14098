"""Half precision: weights and computation in float16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_graph import sort_nodes
from pipeline.artifact.onnx_rewriting import make_outputs, name_nodes, own_names_within, write
from pipeline.artifact.proof import floor_of
from pipeline.data.dataset import SplitName
from pipeline.patterns import check_matches
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import Asked, Way, proof, quantized_gently
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.preparation import require_float

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertFp16:
    """Turn an ONNX model's float32 into float16 (``onnxruntime.transformers.float16``)."""

    keep_io_types: bool = True
    """Whether inputs and outputs stay float32; if not, the data must be float16."""
    keep_ops: tuple[str, ...] = ()
    """Operator types that stay in float32, beside the ones that have no float16 kernels."""
    min_sqnr_db: float | None = 20.0
    """The least signal over error of each output (``Floor``); null: the output may be as far from its source as it
    likes."""

    role: ClassVar[Role] = "precision"
    gains_by: ClassVar[Gain] = "float16"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the converted model; raises StageFailed where ``keep_ops`` names a type that the model does not
        have."""
        import onnx

        model = onnx.load(source.onnx_path)
        require_float(model, but=("MatMulNBits",))
        check_matches("keep_ops", "operator type", self.keep_ops, sorted({node.op_type for node in model.graph.node}))
        name_nodes(model)
        own_names_within(model)
        make_outputs(model)
        _forget_types_of_weights(model)
        context.note("clipped_weights", sum(_too_large(tensor) for tensor in model.graph.initializer))
        prove = proof(source, context, floor_of(self, context.override))

        def attempt(way: Way) -> None:
            self._convert(model, way, out, is_large(source))
            prove(out)

        asked = Asked(nodes=model.graph.node, per_channel=False, optimized=False)
        quantized_gently(lambda: asked, attempt, out, context.note)

    def _convert(self, model: onnx.ModelProto, way: Way, out: Path, large: bool) -> None:
        import onnx
        from onnxruntime.transformers import float16

        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        converted = float16.convert_float_to_float16(
            copy,
            keep_io_types=self.keep_io_types,
            disable_shape_infer=large,  # which can't be done in memory beyond 2 GiB
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *self.keep_ops],
            node_block_list=list(way.kept),
        )
        sort_nodes(converted.graph)  # the casts of the inputs were put at the end
        write(converted, out, large)


def _forget_types_of_weights(model: onnx.ModelProto) -> None:
    """Some exporters declare the weights' types a second time, which the conversion would then get wrong."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _too_large(tensor: onnx.TensorProto) -> int:
    """How many of a tensor's numbers are beyond float16's largest, which takes their place."""
    import onnx

    if tensor.data_type != onnx.TensorProto.FLOAT:
        return 0
    return int((np.abs(onnx.numpy_helper.to_array(tensor)) > np.finfo(np.float16).max).sum())
