"""Batch normalization measured anew: the cheap recovery after a stage that changed the values that flow through a
model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from pipeline.artifact import Artifact, Format
from pipeline.bounds import MOST, Hint
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, StageFailed
from pipeline.plan import Context
from pipeline.plan.roles import Role

Several = Annotated[int, Ge(2), Le(MOST), Hint("a single example has no variance")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibrate:
    """Gather the means and variances of batch normalization again, on calibration data; no weight changes.

    They were gathered before channels went or weights were approximated, and no longer fit (Li et al. 2020, EagleEye,
    arXiv:2007.02491). No labels are needed, and only one pass over the examples. Batches count alike, so an incomplete
    last one is left out.
    """

    batch_size: Several = 128
    max_examples: Several | None = None
    """How many calibration examples to use, from the first on; null: all of the split."""

    role: ClassVar[Role] = "training"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration"})
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    tolerance: ClassVar[float | None] = None

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the model; raises Skipped where it has no batch normalization, StageFailed without examples."""
        from pipeline.artifact.torch_module import load_module, load_spec, save_module
        from pipeline.training.examples import batch_norms, best_device, estimate_batch_norms, examples_of

        spec = load_spec(source.path)
        module = load_module(source.path)
        layers = batch_norms(module)
        if not layers:
            raise Skipped("there is nothing to measure anew: the model has no batch normalization")
        examples = examples_of(context, "calibration", spec.inputs).first(self.max_examples)
        if len(examples) < 2:
            raise StageFailed(
                f"batch normalization needs at least 2 calibration examples, and there are {len(examples)}: raise "
                "data.calibration_size"
            )
        estimate_batch_norms(module.to(best_device()), examples, self.batch_size)
        save_module(module.cpu(), spec, out)
        context.note("layers", len(layers))
        context.note("calibration_examples", len(examples))
