"""Compensation: after a stage that took channels out, what reads them is solved anew, without labels or gradients."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.bounds import Count, NotNegative
from pipeline.data.dataset import SplitName
from pipeline.errors import Unchanged, first_line
from pipeline.plan import Context
from pipeline.plan.roles import Role

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensate:
    """Solve each layer by ridge regression on calibration examples, so that its outputs are as near as they can be to
    those of the same layer of the baseline.

    Put it after ``prune`` (Kwon et al. 2022, arXiv:2204.09656). Layers are solved in the order in which they run, each
    one on what the layers before it make by then. Memory holds sums over the examples only, so their number does not
    matter for it. Files hold what the settled part of the model makes of each example.
    """

    ridge: NotNegative | None = None
    """The pull towards the weights before, as a share of the mean square of what a layer reads; null: for each layer
    the one that does best on examples that had no part in its weights (cross-validation)."""
    max_examples: Count | None = 512
    """How many calibration examples to use, from the first on; null: all of the split."""
    batch_size: Count = 64

    role: ClassVar[Role] = "training"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 5
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration"})
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    tolerance: ClassVar[float | None] = None
    uses_original: ClassVar[bool] = True

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the model; raises Unchanged where no layer has anything to make up for or can be solved, StageFailed
        without examples."""
        from pipeline.artifact.torch_module import load_module, load_spec, save_module
        from pipeline.stages.pruning.cut import FAILURES
        from pipeline.stages.pruning.refit import FOLDS, Refit, mask_of
        from pipeline.training.examples import best_device, calibration_examples

        spec = load_spec(source.path)
        examples = calibration_examples(context, spec.inputs, "compensation", self.max_examples)
        size = max(1, min(self.batch_size, len(examples) // FOLDS))
        device = best_device()
        context.work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=context.work) as folder:
            refit = Refit(
                whole=load_module(context.original().path).to(device),
                pruned=load_module(source.path).to(device),
                kept=spec.kept or {},
                batches=lambda: examples.batches(size, device),
                ridge=self.ridge,
                folder=Path(folder),
                mask=mask_of(spec.inputs),
            )
            try:
                layers = refit.run(context.progress)
            except FAILURES as error:
                logger.info("no compensation", exc_info=True)
                raise Unchanged(f"its layers can't be looked into ({first_line(error)})") from error
        if not layers:
            why = "; ".join(f"{name}: {reason}" for name, reason in refit.reasons.items())
            raise Unchanged(
                f"every layer makes what the baseline's makes{f', or is left alone ({why})' if why else ''}"
            )
        save_module(refit.pruned.cpu(), spec, out)
        context.note("layers", {name: asdict(layer) for name, layer in layers.items()})
        context.note("left_alone", refit.reasons)
        context.note("calibration_examples", len(examples))
