"""Fine-tuning: trains on, after a stage that cost accuracy, on labels, on the baseline's outputs, or on both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.bounds import Count, NotNegative, Positive, Share, ShareBelowOne
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, UserError
from pipeline.machine.instruction_sets import BF16
from pipeline.plan import Context, Metric
from pipeline.plan.roles import Role
from pipeline.training.recipe import Optimizer, Precision, Recipe, Schedule

if TYPE_CHECKING:
    from torch import nn

    from pipeline.training.class_scores import Scores
    from pipeline.training.examples import Examples

logger = logging.getLogger(__name__)
_LOWERED = 2
"""How often training begins anew with a tenth of the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetune:
    """Train on the train split, and follow on the validation split how accurate the model is.

    A stopped training goes on after its last whole epoch.
    """

    epochs: Count = 2
    learning_rate: Positive = 0.02
    """The highest rate of the schedule. Where the loss becomes infinite, training begins anew with a tenth of it, twice
    at most: a network without batch normalization, as in most ONNX files, bears less."""
    batch_size: Count = 128
    optimizer: Optimizer = "sgd"
    schedule: Schedule = "one_cycle"
    """The course of the learning rate (``pipeline.training.recipe.Recipe``)."""
    warmup_fraction: ShareBelowOne = 0.2
    """The share of all steps that lead up to the highest rate."""
    weight_decay: NotNegative = 5e-4
    augmentation: tuple[str, ...] = ()
    distill_weight: Share | None = None
    """The share of the loss that the distance to the baseline's output makes (knowledge distillation, Hinton et al.
    2015, arXiv:1503.02531). At 1 no labels are needed, and any model will do whose output the metric judges. null: 0
    where there are labels and the model tells classes, else 1."""
    temperature: Positive = 4.0
    """Scores of classes are divided by it before they are compared; vectors are compared by their cosine."""
    average: ShareBelowOne | None = None
    """Keep a moving average of the weights instead of the last ones; this share of it stays at each step (0.99,
    say)."""
    patience: Count | None = None
    """Stop after this many epochs without a better one, and keep the best epoch's weights; null: keep the last
    epoch's."""
    group_lasso: NotNegative = 0.0
    """Sparse training, before pruning: the weight in the loss of the norms of whole channels (1e-4, say), which makes
    channels small that do little."""
    precision: Precision | None = None
    """``bfloat16`` is faster on GPUs and on processors with AMX or AVX512_BF16, and slower on others. null: bfloat16
    where the processor has one of the two and the model runs in it, else float32."""
    max_examples: Count | None = None
    """How many training examples to use, from the first on; null: the whole train split."""

    role: ClassVar[Role] = "training"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 4
    reads: ClassVar[frozenset[SplitName]] = frozenset({"train", "validation"})
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    tolerance: ClassVar[float | None] = None

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"precision": self._precision(isa)}

    def __post_init__(self) -> None:
        self._recipe(seed=0)  # knows which augmentations there are

    @property
    def uses_original(self) -> bool:
        """Whether the stage may learn from the baseline."""
        return self.distill_weight is None or self.distill_weight > 0

    @property
    def needs_labels(self) -> bool:
        """Whether labels must have a share of the loss."""
        return self.distill_weight is not None and self.distill_weight < 1

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the trained model; raises StageFailed where there is nothing to learn from, or to judge by."""
        from pipeline.artifact.torch_module import load_module, load_spec, save_module
        from pipeline.stages.pruning.lasso import group_lasso
        from pipeline.training.class_scores import scores_of
        from pipeline.training.examples import best_device, score
        from pipeline.training.loop import fit
        from pipeline.training.loss import Diverged, runs_in_precision
        from pipeline.training.teacher import Teacher

        spec = load_spec(source.path)
        train, validation = self._data(context, spec.inputs)
        device = best_device()
        module = load_module(source.path)
        penalty = group_lasso(module, spec) if self.group_lasso else None
        module.to(device)
        original, weight, vectors, truth = self._lesson(module, train, validation, context)
        labelled = weight < 1

        recipe = self._recipe(context.seed, weight, self._precision(context.isa))
        chosen_here = self.precision is None and recipe.precision != "float32"
        if chosen_here and not runs_in_precision(module, train.tensors(slice(0, 2), device), recipe):
            recipe = replace(recipe, precision="float32")

        def scores(model: nn.Module) -> Scores:
            return scores_of(model, train, context.metric, labelled=labelled and not vectors)

        def judge(model: nn.Module) -> float:
            return score(model, validation, context.metric, truth)

        try:
            before = judge(module)
        except UserError as error:
            raise StageFailed(str(error)) from error
        teacher = None if original is None else Teacher(original, vectors, scores(original))
        lower = [replace(recipe, learning_rate=recipe.learning_rate / 10**power) for power in range(1, _LOWERED + 1)]
        while True:
            try:
                history = fit(
                    module,
                    train,
                    judge,
                    recipe,
                    context.work / "finetune.ckpt",
                    context.progress,
                    teacher,
                    penalty,
                    before,
                    scores(module),
                )
                break
            except Diverged as error:
                if not lower:
                    raise
                logger.info("%s", error)
                recipe = lower.pop(0)
                module = load_module(source.path).to(device)
                penalty = group_lasso(module, spec) if self.group_lasso else None
        save_module(module.cpu(), spec, out)
        labelled = validation.labels is not None and (not vectors or _needs_labels(context.metric))
        judged_by = "labels" if labelled else "the baseline's output"
        context.note("distill_weight", weight)
        context.note("precision", recipe.precision)
        context.note("learning_rate", recipe.learning_rate)
        context.note("validation_judged_by", judged_by)
        context.note("validation_accuracy_before", before)
        context.note("validation_accuracy_by_epoch", history)
        context.note("kept_epoch", len(history) if self.patience is None else history.index(max(history)) + 1)
        context.note("training_examples", len(train))

    def _lesson(
        self, module: nn.Module, train: Examples, validation: Examples, context: Context
    ) -> tuple[nn.Module | None, float, bool, NDArray[Any]]:
        """The baseline where it teaches, and its share of the loss; then what ``_truth`` tells.

        Where no share was asked for, the baseline has all of it if labels are of no use, and none if they are.
        """
        from pipeline.artifact.torch_module import load_module
        from pipeline.training.examples import best_device

        asked = self.distill_weight
        labelled = train.labels is not None and validation.labels is not None
        weight = asked if asked is not None else 0.0 if labelled else 1.0
        if weight == 0:
            vectors, truth = self._truth(module, validation, context)
            if asked is not None or not vectors:
                return None, weight, vectors, truth
            weight = 1.0
        original = load_module(context.original().path).to(best_device())
        return original, weight, *self._truth(original, validation, context)

    def _precision(self, isa: frozenset[str]) -> Precision:
        return self.precision or ("bfloat16" if isa & set(BF16) else "float32")

    def _recipe(self, seed: int, distill_weight: float = 1.0, precision: Precision = "float32") -> Recipe:
        return Recipe(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            optimizer=self.optimizer,
            schedule=self.schedule,
            warmup_fraction=self.warmup_fraction,
            augmentation=tuple(self.augmentation),
            distill_weight=distill_weight,
            temperature=self.temperature,
            average=self.average,
            patience=self.patience,
            group_lasso=self.group_lasso,
            precision=precision,
            seed=seed,
        )

    def _data(self, context: Context, inputs: tuple[Any, ...]) -> tuple[Examples, Examples]:
        """The examples to train on, and those that tell how it goes."""
        from pipeline.training.examples import training_examples

        if self.augmentation and len(inputs) > 1:
            names = ", ".join(entry.name for entry in inputs)
            raise StageFailed(f"augmentation is for models with one input, and this one has {names}: set it to []")
        return training_examples(
            context,
            inputs,
            what="fine-tuning",
            batch_size=self.batch_size,
            max_examples=self.max_examples,
            without_labels=": set distill_weight to 1 to learn from the baseline's outputs alone"
            if self.needs_labels
            else None,
        )

    def _truth(self, model: nn.Module, validation: Examples, context: Context) -> tuple[bool, NDArray[Any]]:
        """Whether the metric judges vectors; and what is right for the validation examples: their labels where they
        have any, else what ``model`` says."""
        from pipeline.training.examples import tells_classes, truth_of

        try:
            truth = truth_of(model, validation, context.metric)
            vectors = not tells_classes(model, validation, context.metric)
        except UserError as error:
            raise StageFailed(str(error)) from error
        if vectors and self.needs_labels:
            raise StageFailed(
                f"labels are of no use to a model without classes (metric {context.metric.name}): set distill_weight "
                "to 1 to learn from the baseline's outputs"
            )
        return vectors, truth


def _needs_labels(metric: Metric) -> bool:
    return bool(getattr(getattr(metric, "judging", None), "needs_labels", False))
