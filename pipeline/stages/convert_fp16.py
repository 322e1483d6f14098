"""Half precision: weights and computation in float16."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed
from pipeline.plan import Context
from pipeline.stages.check import first_line
from pipeline.stages.patterns import check_matches
from pipeline.stages.quantization import is_large


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
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                converted = float16.convert_float_to_float16(
                    model,
                    keep_io_types=self.keep_io_types,
                    # Shape inference in memory ends at 2 GiB.
                    disable_shape_infer=is_large(source),
                    op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *self.keep_ops],
                )
            except (ValueError, TypeError, RuntimeError) as error:
                raise StageFailed(f"the model could not be converted to float16: {first_line(error)}") from error
        ONNXModel(converted).topological_sort()  # the casts of the inputs were put at the end
        onnx.save(converted, out / ONNX_FILE, save_as_external_data=is_large(source), location=f"{ONNX_FILE}.data")
        # It warns of every constant that float16 can't hold, and puts the nearest value that it can.
        context.note("truncated_constants", sum("truncated" in str(warning.message) for warning in caught))
