"""Makes a PyTorch model of an ONNX model, so that stages can prune and train it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_graph import fed_inputs, fixed_batch_of
from pipeline.artifact.torch_module import DTYPES, ModelInput, ModelSpec, save_module
from pipeline.data.batches import Inputs, axes_of
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, Unchanged, first_line
from pipeline.importing.interface import fed_type
from pipeline.libraries.installed import version
from pipeline.plan import Context
from pipeline.plan.roles import Role
from pipeline.stages.graphs.torch_ready import ready
from pipeline.stages.quantization.preparation import require_float

if TYPE_CHECKING:
    import onnx

PACKAGE = "onnx2pytorch"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromOnnx:
    """Make a PyTorch model of an ONNX model (onnx2pytorch, the extra ``onnx-training``); a PyTorch model is handed on.

    It stands in front of each chain that begins with a PyTorch stage, where the model is an ONNX file and the package
    is installed. The module gives what the file gives, on calibration examples. Its batch is free; its other free axes
    take the sizes of the data's examples.
    """

    role: ClassVar[Role] = "import"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx", "torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 3
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", PACKAGE)
    requires: ClassVar[tuple[str, ...]] = (PACKAGE,)
    tolerance: ClassVar[float | None] = 1e-4
    sized_by_data: ClassVar[bool] = True

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the module.

        Raises Unchanged for a PyTorch model; Skipped without the package, for a model that is quantized, and for one
        whose inputs have no batch first; StageFailed with the operator that the package can't read.
        """
        if source.format == "torch":
            raise Unchanged("the model is a PyTorch model")
        if find_spec(PACKAGE) is None:
            raise Skipped(f"it needs {PACKAGE}, which is not installed: pip install {PACKAGE}")
        import onnx

        try:
            from pipeline.artifact.onnx_network import as_text, fixed_in, from_text, network_of
        except (ImportError, RuntimeError) as error:
            raise Skipped(
                f"{PACKAGE} can't be imported ({first_line(error)}): torchvision, which it needs, has to be the build "
                f"that belongs to torch {version('torch')}"
            ) from error

        model = onnx.load(source.onnx_path)
        require_float(model)
        sample = context.sample(1)
        inputs = tuple(_inputs(model, source, sample))
        graph = ready(model, fixed_batch_of(source, axes_of(sample)))
        fixed = fixed_in(graph)
        factory = {
            "_target_": f"{from_text.__module__}.{from_text.__name__}",
            "graph": as_text(graph),
            "fixed": fixed,
        }
        outputs = tuple(value.name for value in model.graph.output)
        save_module(network_of(graph, fixed), ModelSpec(factory=factory, inputs=inputs, outputs=outputs), out)


def _inputs(model: onnx.ModelProto, source: Artifact, sample: Inputs) -> Iterator[ModelInput]:
    """The inputs as a PyTorch model has them, in the sizes of an example."""
    axes = axes_of(sample)
    for value in fed_inputs(model.graph):
        axis = axes.get(value.name, 0)
        if axis != 0:
            where = "no axis for the examples" if axis is None else f"the examples in axis {axis}"
            raise Skipped(f"input '{value.name}' has {where}, and a PyTorch model is trained with them in axis 0")
        kind = fed_type(value, source.onnx_path)
        if kind not in DTYPES:
            raise Skipped(f"input '{value.name}' is of type {kind}, which PyTorch models here don't take")
        yield ModelInput(name=value.name, shape=tuple(sample[value.name].shape[1:]), dtype=kind)
