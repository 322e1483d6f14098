"""Half precision: weights and computation in float16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.patterns import check_matches
from pipeline.plan import Context
from pipeline.stages.quantization import is_large

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertFp16:
    """Turn an ONNX model's float32 into float16 (``onnxruntime.transformers.float16``).

    With ``keep_io_types`` inputs and outputs stay float32; without it, the data must be float16. ``keep_ops`` are
    operator types that stay in float32, beside those that have no float16 kernels.
    """

    keep_io_types: bool = True
    keep_ops: tuple[str, ...] = ()

    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the converted model; raises StageFailed where ``keep_ops`` names what the model has not."""
        import onnx
        from onnxruntime.quantization.onnx_model import ONNXModel
        from onnxruntime.transformers import float16

        model = onnx.load(source.onnx_path)
        check_matches("keep_ops", "operator type", self.keep_ops, sorted({node.op_type for node in model.graph.node}))
        _forget_types_of_weights(model)
        context.note("clipped_weights", sum(_too_large(tensor) for tensor in model.graph.initializer))
        try:
            converted = float16.convert_float_to_float16(
                model,
                keep_io_types=self.keep_io_types,
                disable_shape_infer=is_large(source),  # which can't be done in memory beyond 2 GiB
                op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *self.keep_ops],
            )
        except (ValueError, TypeError, RuntimeError) as error:
            raise StageFailed(f"the model could not be converted to float16: {first_line(error)}") from error
        ONNXModel(converted).topological_sort()  # the casts of the inputs were put at the end
        onnx.save(converted, out / ONNX_FILE, save_as_external_data=is_large(source), location=f"{ONNX_FILE}.data")


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
